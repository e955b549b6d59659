"""Whether each process of the stack does its work: asked from outside, of the process that runs now."""

from __future__ import annotations

import http.client
import re
import urllib.request
from collections.abc import Sequence
from typing import LiteralString

import psycopg

ANSWER_SECONDS = 3
# Shards that the relay with this process id holds; owners are `host:pid:random`. 64 rows, no index.
HELD = """
SELECT count(*) FROM publishers_shardlease
WHERE until > clock_timestamp() AND split_part(owner, ':', 2) = %s
"""
# Sessions of workers: they name themselves after their command (`settings.databases`).
WORKING = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'auditlog-run_worker'"
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
    return _counted(database_url, HELD, [str(pid)]) > 0


def worker_ready(database_url: str) -> bool:
    """Tell whether a worker is connected to the tasks."""
    return _counted(database_url, WORKING, []) > 0


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


def _counted(database_url: str, query: LiteralString, parameters: Sequence[str]) -> int:
    """Return the number that a query gives; 0 where the database does not answer."""
    try:
        with psycopg.connect(database_url, connect_timeout=ANSWER_SECONDS) as connection:
            row = connection.execute(query, parameters).fetchone()
    except psycopg.Error:
        return 0
    return int(row[0]) if row else 0


def _get(url: str) -> str | None:
    """Return the body of a 200; None for everything else."""
    try:
        # Straight to the loopback interface, whatever proxy is set.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=ANSWER_SECONDS) as answer:
            return str(answer.read().decode())
    except (OSError, ValueError, http.client.HTTPException):
        return None
