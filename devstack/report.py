"""What runs where: `devstack info` and `devstack status`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from auditlog.roles import Role
from devstack import probes, processes
from devstack.folder import Folder
from devstack.state import Demo, Running, State

PROCESSES = ("postgres", "kafka", "api", "worker", "relay", "consumer")


@dataclass(frozen=True, slots=True)
class Report:
    """What was found; `lacking` says in words what keeps the stack from being ready."""

    members: Mapping[str, Any]  # as `info --json` prints them
    lacking: list[str] = field(default_factory=list)

    @property
    def ready(self) -> bool:
        """Whether everything answers."""
        return not self.lacking

    def text(self) -> str:
        """Return it for people."""
        lines = ["ready" if self.ready else f"NOT READY: {'; '.join(self.lacking)}"]
        lines += [f"  {name:<12} {f'process {pid}' if pid else '-'}" for name, pid in self.members["pids"].items()]
        places = {"API": self.members["api"], "brokers": self.members["kafka_bootstrap_servers"]}
        places["data"] = self.members["data_dir"]
        return "\n".join([*lines, *(f"  {name:<12} {place}" for name, place in places.items() if place)])


def inspect(state: State, folder: Folder, *, topic_prefix: str) -> Report:
    """Ask everything that should run whether it does its work."""
    running = state.running
    if running is None or processes.alive(running.supervisor) is None:
        return _unsupervised(running, folder, topic_prefix)
    pids = {name: one.pid for name, one in running.processes.items() if processes.alive(one)}
    demo = state.demos.get(running.database)
    lacking = [text for text, is_well in _checks(running, pids, demo) if not is_well()]
    members = _members(running, folder, topic_prefix, pids, demo.users if demo else [])
    return Report({**members, "ready": not lacking}, lacking)


def _unsupervised(running: Running | None, folder: Folder, topic_prefix: str) -> Report:
    """Report on what a supervisor that was killed left behind."""
    known = running.processes if running else {}
    left = processes.orphans(known, folder.path)
    if not left:
        return Report(_members(None, folder, topic_prefix, {}, []), ["nothing runs; `make run` starts it"])
    pids = {orphan.name: orphan.pid for orphan in reversed(left)}
    pids |= {name: one.pid for name, one in known.items() if processes.alive(one)}
    lacking = ["the supervisor was killed; `make run` begins anew, `manage.py devstack down` stops what is left"]
    return Report(_members(running, folder, topic_prefix, pids, []), lacking)


def _checks(running: Running, pids: Mapping[str, int], demo: Demo | None) -> list[tuple[str, Callable[[], bool]]]:
    app_url, relay_url = (running.database_urls.get(role, "") for role in (Role.APP, Role.RELAY))
    checks = [(f"{name} does not run", lambda name=name: name in pids) for name in running.processes]
    return [
        *checks,
        ("the API is not ready", lambda: "api" in pids and probes.api_ready(running.api)),
        ("the worker is not connected", lambda: "worker" in pids and probes.worker_ready(app_url)),
        ("the relay holds no shards", lambda: "relay" in pids and probes.relay_ready(relay_url, pids["relay"])),
        (
            "the consumer reads no partitions",
            lambda: "consumer" in pids and probes.consumer_ready(running.consumer_metrics),
        ),
        ("the demo is not loaded", lambda: demo is not None and demo.stored),
    ]


def _members(
    running: Running | None,
    folder: Folder,
    topic_prefix: str,
    pids: Mapping[str, int],
    users: list[dict[str, Any]],
) -> dict[str, Any]:
    domain, audit = (running.database_urls, running.audit_database_urls) if running else ({}, {})
    return {
        "ready": False,
        "api": (running.api or None) if running else None,
        "database_url": domain.get(Role.APP),
        "audit_database_url": audit.get(Role.CONSUMER),
        "database_owner_url": domain.get(Role.OWNER),
        "kafka_bootstrap_servers": (running.kafka_bootstrap_servers or None) if running else None,
        "topic_prefix": (running.topic_prefix or topic_prefix) if running else topic_prefix,
        "data_dir": folder.shown,
        # None: does not run, or is not ours.
        "pids": {name: pids.get(name) for name in PROCESSES},
        "users": users,
    }
