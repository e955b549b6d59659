"""
What the local stack remembers: secrets, the demo's credentials, and what runs where.

`settings.local_stack` reads `running` of the same file as plain JSON: the names of its members are an interface.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import msgspec

from auditlog.roles import Role
from devstack.errors import DevstackError

PASSWORD_BYTES = 24
SUPERUSER = "postgres"


class Identity(msgspec.Struct, frozen=True):
    """A process, told apart from a later one with the same id by the time at which it started (Unix time)."""

    pid: int
    started: float


class Running(msgspec.Struct):
    """What was started by the supervisor; left behind where that was killed."""

    supervisor: Identity
    processes: dict[str, Identity] = {}
    api: str = ""
    consumer_metrics: str = ""
    database: str = ""  # the key of its demo
    # By role; the read model may be on a server of its own.
    database_urls: dict[str, str] = {}
    audit_database_urls: dict[str, str] = {}
    kafka_bootstrap_servers: str = ""
    topic_prefix: str = ""


class Demo(msgspec.Struct):
    """The demo in one database."""

    users: list[dict[str, Any]]
    since: str  # its first event is not older; ISO 8601
    stored: bool = False  # the audit log was seen to hold all of it


class State(msgspec.Struct):
    """The content of the state file."""

    secrets: dict[str, str] = {}
    demos: dict[str, Demo] = {}  # by database: `local`, or what identifies a given one
    running: Running | None = None


class _WhatRuns(msgspec.Struct):
    running: Running | None = None


def load(path: Path) -> State:
    """
    Return the state; an empty one where there is no file yet.

    :raises DevstackError: if the file cannot be read or is not ours.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=State)
    except FileNotFoundError:
        return State()
    except (OSError, msgspec.DecodeError) as exc:
        raise DevstackError(
            f"{path} cannot be read ({exc}): run it as the user who started the stack, or begin anew with `make clean`."
        ) from exc


def salvaged(path: Path) -> State:
    """Return what can be read of a file that `load` refuses, one of another version or a damaged one: what runs."""
    try:
        return State(running=msgspec.json.decode(path.read_bytes(), type=_WhatRuns).running)
    except (OSError, msgspec.DecodeError):
        return State()


def save(path: Path, state: State) -> None:
    """
    Replace the file by a whole new one that only its owner may read.

    :raises DevstackError: if it cannot be written.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(state), indent=1))
        partial.replace(path)
    except OSError as exc:
        raise DevstackError(
            f"{path} cannot be written ({exc.strerror}): it was removed under a running stack, or the disk is full."
        ) from exc


def new_secrets() -> dict[str, str]:
    """Return a random password for the superuser and for each role of the service."""
    return {name: secrets.token_urlsafe(PASSWORD_BYTES) for name in (SUPERUSER, *(role.value for role in Role))}
