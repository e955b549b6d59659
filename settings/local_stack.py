"""
What `manage.py devstack` left in its state file: used where the environment names no other server.

So every command works against the running local stack with nothing set, each with the database role of its own.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from settings.databases import command
from settings.env import Environment

PROJECT = Path(__file__).resolve().parent.parent
# Who a command connects as; every other one is the application.
ROLES = {
    "run_relay": "auditlog_relay",
    "outbox_status": "auditlog_relay",
    "outbox_requeue": "auditlog_relay",
    "kafka_topics": "auditlog_relay",
    "run_consumer": "auditlog_consumer",
    "consumer_seek": "auditlog_consumer",
    "audit_replay": "auditlog_consumer",
    "audit_reconcile": "auditlog_reader",
    "dead_letters": "auditlog_consumer",
}
# What an option of audit_reconcile makes it do needs other roles: for the domain, and for the audit log.
PROOF_ROLES = {
    "--every": ("auditlog_reader", "auditlog_consumer"),
    "--repair": ("auditlog_relay", "auditlog_consumer"),
    "--explain": ("auditlog_relay", "auditlog_consumer"),
}
NAMES = (
    "DATABASE_URL",
    "DATABASE_OWNER_URL",
    "AUDIT_DATABASE_URL",
    "AUDIT_DATABASE_OWNER_URL",
    "KAFKA_BOOTSTRAP_SERVERS",
)


def data_dir(env: Environment) -> Path:
    """Return the folder of the local stack."""
    return (PROJECT / Path(env.text("DEVSTACK_DATA_DIR", default=".devstack")).expanduser()).resolve()


def given(env: Environment) -> dict[str, str]:
    """Return the servers that the environment names; the stack starts the others itself."""
    return {name: value for name in NAMES if (value := env.text(name))}


def fallbacks(env: Environment) -> dict[str, str]:
    """Return values for names that the environment does not set."""
    folder = data_dir(env)
    folders = {"MEDIA_ROOT": "media", "HEARTBEAT_DIR": "heartbeats", "EMAIL_DIR": "mail"}
    values = {name: str(folder / below) for name, below in folders.items()}
    # The stack itself must not take what an earlier one left behind for the user's wish.
    if command() == "devstack" or not (wanted := {"DATABASE_URL", "KAFKA_BOOTSTRAP_SERVERS"} - given(env).keys()):
        return values
    try:
        running: dict[str, Any] = json.loads((folder / "state.json").read_bytes()).get("running") or {}
    except FileNotFoundError:
        return values
    except (OSError, ValueError, AttributeError) as exc:
        for name in wanted:
            env.problems[name] = f"is not set, and {folder / 'state.json'} of the local stack cannot be read: {exc}"
        return values
    if "DATABASE_URL" in wanted and running.get("database_urls"):
        values |= _databases(running)
    if "KAFKA_BOOTSTRAP_SERVERS" in wanted and running.get("kafka_bootstrap_servers"):
        values["KAFKA_BOOTSTRAP_SERVERS"] = running["kafka_bootstrap_servers"]
        values["KAFKA_TOPIC_PREFIX"] = running["topic_prefix"]
    return values


def _databases(running: dict[str, Any]) -> dict[str, str]:
    role, reading = _roles()
    domain, audit = running["database_urls"], running["audit_database_urls"]
    return {
        "DATABASE_URL": domain[role],
        "RELAY_DATABASE_URL": domain["auditlog_relay"],
        "DATABASE_OWNER_URL": domain["auditlog_owner"],
        "AUDIT_DATABASE_URL": audit[reading],
        "AUDIT_DATABASE_OWNER_URL": audit["auditlog_owner"],
    }


def _roles() -> tuple[str, str]:
    """Return who this process connects as: to the domain, and to the audit log."""
    role = ROLES.get(command(), "auditlog_app")
    if command() == "audit_reconcile":
        for option, roles in PROOF_ROLES.items():
            if any(argument.partition("=")[0] == option for argument in sys.argv):
                return roles
    return role, role if role == "auditlog_consumer" else "auditlog_reader"
