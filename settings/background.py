"""Background work: where tasks are kept, how often and how long they are tried."""

from __future__ import annotations

from typing import Any

from settings.env import env

TASKS: dict[str, Any] = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend", "QUEUES": ["default"]}}
# How long an idle worker sleeps.
WORKER_POLL_MILLISECONDS = env.integer("WORKER_POLL_MILLISECONDS", default=500, minimum=10, maximum=60_000)
WORKER_ATTEMPTS = env.integer("WORKER_ATTEMPTS", default=12, minimum=1, maximum=100)
# Pause after the first failure; it doubles with each further one, up to the longest.
WORKER_FIRST_RETRY_SECONDS = env.integer("WORKER_FIRST_RETRY_SECONDS", default=5, minimum=1, maximum=86_400)
WORKER_LONGEST_RETRY_SECONDS = env.integer("WORKER_LONGEST_RETRY_SECONDS", default=3_600, minimum=1, maximum=604_800)
# How long tasks that ended are kept to be looked at.
WORKER_KEEP_DAYS = env.integer("WORKER_KEEP_DAYS", default=30, minimum=1, maximum=3_650)
