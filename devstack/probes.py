"""Whether each process of the stack does its work: asked from outside, of the process that runs now."""

from __future__ import annotations

import http.client
import re
import urllib.request

import psycopg

ANSWER_SECONDS = 3
# Shards that the relay with this process id holds; owners are `host:pid:random`. 64 rows, no index.
HELD = """
SELECT count(*) FROM publishers_shardlease
WHERE until > clock_timestamp() AND split_part(owner, ':', 2) = %s
"""
# The cluster's identifier is made by initdb, the database's by CREATE DATABASE.
IDENTITY = """
SELECT c.system_identifier || '-' || d.oid FROM pg_control_system() c, pg_database d
WHERE d.datname = current_database()
"""
ASSIGNED = re.compile(r"^auditlog_consumer_partitions_assigned (\S+)$", re.MULTILINE)


def api_ready(url: str) -> bool:
    """Tell whether the API says that it is ready."""
    return _get(f"{url}/readyz") is not None


def relay_ready(database_url: str, pid: int) -> bool:
    """Tell whether this relay holds shards."""
    try:
        with psycopg.connect(database_url, connect_timeout=ANSWER_SECONDS) as connection:
            row = connection.execute(HELD, [str(pid)]).fetchone()
    except psycopg.Error:
        return False
    return row is not None and row[0] > 0


def consumer_ready(metrics_url: str) -> bool:
    """Tell whether the consumer was assigned partitions, by its own word."""
    found = ASSIGNED.search(_get(metrics_url) or "")
    return found is not None and float(found.group(1)) > 0


def database_identity(database_url: str) -> tuple[int, str]:
    """
    Return the version of a PostgreSQL, as 180006 for 18.6, and what tells the database from all others.

    :raises psycopg.Error: if it does not let us in.
    """
    with psycopg.connect(database_url, connect_timeout=ANSWER_SECONDS) as connection:
        row = connection.execute(IDENTITY).fetchone()
        return connection.info.server_version, str(row[0]) if row else ""


def _get(url: str) -> str | None:
    """Return the body of a 200; None for everything else."""
    try:
        # Straight to the loopback interface, whatever proxy is set.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=ANSWER_SECONDS) as answer:
            return str(answer.read().decode())
    except (OSError, ValueError, http.client.HTTPException):
        return None
