"""The worker's metrics. Names are an interface: dashboards and alerts use them."""

from __future__ import annotations

from enum import StrEnum

from prometheus_client import Counter, Gauge, Histogram


class Attempt(StrEnum):
    """How an attempt at a task ended."""

    DONE = "done"  # the task succeeded
    RETRIED = "retried"  # it failed, and there will be another attempt
    FAILED = "failed"  # it was given up: `manage.py tasks retry` tries again
    LOST = "lost"  # another worker had taken it over; nothing was noted


ATTEMPTS = Counter("auditlog_worker_attempts", "Attempts at tasks, by how they ended.", ["task", "outcome"])
ATTEMPT_SECONDS = Histogram(
    "auditlog_worker_attempt_seconds",
    "Seconds that an attempt at a task took.",
    ["task"],
    buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300),
)
DUE = Gauge("auditlog_worker_due_tasks", "Tasks in the database that could run now, and wait for a worker.")
OLDEST_DUE_SECONDS = Gauge("auditlog_worker_oldest_due_seconds", "For how long the oldest of them could have run.")
LAST_LOOP = Gauge("auditlog_worker_last_loop_timestamp_seconds", "When the run loop last went round, in Unix time.")
