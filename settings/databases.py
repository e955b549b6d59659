"""
Databases: `default` holds the domain and the outbox, `audit` the read model; both may be one physical database.

Commands that change the schema connect as the owner of the tables (`DATABASE_OWNER_URL`, `AUDIT_DATABASE_OWNER_URL`)
where these are set; everything else runs with the narrow role of its process.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from settings.env import env

# Commands that need the tables' owner: DDL, partitions, grants.
OWNER_COMMANDS = frozenset(
    {"migrate", "audit_migrate", "audit_partitions", "audit_rollups", "audit_roles", "sqlflush", "flush"}
)
LOCAL_DATABASE_URL = "postgres://auditlog_app@127.0.0.1:5433/clinic"
KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 30_000}
# A pooler in transaction mode stands before DATABASE_URL: nothing that belongs to a session survives a transaction.
BEHIND_PGBOUNCER = env.boolean("DATABASE_BEHIND_PGBOUNCER", default=False)
# So long relay and consumer wait for an answer before they give a connection up; both their statements are brief.
ANSWER_SECONDS = env.integer("DATABASE_ANSWER_SECONDS", default=30, minimum=1, maximum=3_600)
PLACEHOLDER: dict[str, Any] = {"ENGINE": "django.db.backends.postgresql", "NAME": "unset"}


def database_settings() -> dict[str, dict[str, Any]]:
    """Return DATABASES for this process."""
    default = env.database("DATABASE_URL", default="" if env.production else LOCAL_DATABASE_URL, required=True)
    audit = env.database("AUDIT_DATABASE_URL", default="")
    owner = env.database("DATABASE_OWNER_URL", default="")
    audit_owner = env.database("AUDIT_DATABASE_OWNER_URL", default="")
    if command() in OWNER_COMMANDS:
        default, audit = owner or default, audit_owner or (audit if _apart(default, audit) else owner) or audit
    chosen = default or dict(PLACEHOLDER)
    return {"default": _finished(chosen), "audit": _finished(audit or chosen)}


def same_server(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Tell whether two aliases are one physical database."""
    return all(one.get(key) == other.get(key) for key in ("HOST", "PORT", "NAME"))


def command() -> str:
    """Return the name of the management command that this process runs, or nothing."""
    is_manage = Path(sys.argv[0]).name in {"manage.py", "django-admin"} if sys.argv else False
    return sys.argv[1] if is_manage and len(sys.argv) > 1 else ""


def _apart(default: dict[str, Any] | None, audit: dict[str, Any] | None) -> bool:
    return default is not None and audit is not None and not same_server(default, audit)


def _finished(config: dict[str, Any]) -> dict[str, Any]:
    options = dict(config.get("OPTIONS") or {})
    options.setdefault("connect_timeout", env.integer("DATABASE_CONNECT_TIMEOUT_SECONDS", default=5, minimum=1))
    # A server that vanished without a word is noticed: seconds, and milliseconds.
    for name, value in KEEPALIVE.items():
        options.setdefault(name, value)
    # Shown in pg_stat_activity, so that an operator sees which role of the service holds a connection.
    options.setdefault("application_name", f"auditlog-{command() or 'api'}"[:63])
    return {
        **config,
        "OPTIONS": options,
        # A new session reads the catalogue of every partition at its first question without a window: 230 ms.
        "CONN_MAX_AGE": env.integer("DATABASE_CONN_MAX_AGE_SECONDS", default=600),
        "CONN_HEALTH_CHECKS": True,
        "DISABLE_SERVER_SIDE_CURSORS": BEHIND_PGBOUNCER,
    }
