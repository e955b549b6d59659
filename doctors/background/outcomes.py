"""How an attempt at a task ended, and whether there is another one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings


class GiveUp(Exception):
    """The task can never succeed: it is not tried again."""


class WorkersDied(Exception):
    """Each worker that began this task died over it: it is not tried again by itself; `manage.py tasks retry` does."""


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The task returned this, as JSON has it."""

    value: Any


@dataclass(frozen=True, slots=True)
class Failed:
    """The task raised this."""

    error: Exception


Outcome = Succeeded | Failed


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a task is attempted, and how long is waited in between: doubling, up to a limit."""

    attempts: int
    first_seconds: int
    longest_seconds: int

    @classmethod
    def of_settings(cls) -> Retries:
        """Return what the environment says."""
        return cls(
            attempts=settings.WORKER_ATTEMPTS,
            first_seconds=settings.WORKER_FIRST_RETRY_SECONDS,
            longest_seconds=settings.WORKER_LONGEST_RETRY_SECONDS,
        )

    def pause_after(self, attempt: int) -> timedelta | None:
        """Return how long to wait after this attempt, counted from 1; None after the last one."""
        if attempt >= self.attempts:
            return None
        # Beyond 30 doublings every pause is the longest; the power itself would not end.
        return timedelta(seconds=min(self.first_seconds * 2 ** min(attempt - 1, 30), self.longest_seconds))
