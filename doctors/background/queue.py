"""The tasks in the database: claiming one, noting how it ended, taking over what dead workers left, pruning."""

from __future__ import annotations

import traceback
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import router, transaction
from django.db.models import Case, Count, F, Min, When
from django_tasks.base import DEFAULT_TASK_BACKEND_ALIAS, TaskResultStatus
from django_tasks_db.models import DBTaskResult, get_date_max

from auditlog.text import clean
from doctors.background.claims import Claim, is_free
from doctors.background.outcomes import Failed, GiveUp, Outcome, Retries, Succeeded, WorkersDied

log = structlog.get_logger(__name__)

TRACEBACK_CHARACTERS = 20_000

Entry = DBTaskResult[Any, Any]
# A task that may run at once has the end of all days in `run_after`.
DUE_SINCE = Case(When(run_after=get_date_max(), then=F("enqueued_at")), default=F("run_after"))


@dataclass(frozen=True, slots=True)
class Due:
    """Tasks that wait for a worker: how many, and since when the oldest of them does."""

    count: int
    since: datetime | None


def database() -> str:
    """Return the alias that holds the tasks: that of the domain, whose transactions enqueue them."""
    return router.db_for_write(DBTaskResult)


def claim(holder: Claim, *, worker: str) -> Entry | None:
    """
    Take the next task that is due, and return it; None where there is none.

    `holder` holds it before others can see that it runs. Served by the index `tasks_db_new_ordering_idx`.
    """
    with transaction.atomic(using=database()):
        entry = DBTaskResult.objects.ready().filter(backend_name=DEFAULT_TASK_BACKEND_ALIAS).get_locked()
        if entry is None or not holder.take(entry.pk):
            return None
        entry.claim(worker)
        return entry


def due() -> Due:
    """Return what waits for a worker. Served by the index `tasks_db_new_ordering_idx`."""
    ready = DBTaskResult.objects.using(database()).ready().filter(backend_name=DEFAULT_TASK_BACKEND_ALIAS)
    found = ready.aggregate(count=Count("pk"), since=Min(DUE_SINCE))
    return Due(found["count"], found["since"])


def finish(entry: Entry, outcome: Outcome, *, retries: Retries, now: datetime) -> bool:
    """
    Note how an attempt ended; a task that failed becomes due again, until its attempts are used up.

    Returns False, having noted nothing, where another worker has taken over in the meantime.
    """
    match outcome:
        case Succeeded(value):
            return _leave(
                entry,
                status=TaskResultStatus.SUCCESSFUL,
                finished_at=now,
                return_value=value,
                exception_class_path="",
                traceback="",
            )
        case Failed(error):
            return _failed(entry, error, retries=retries, now=now)


def take_over(*, retries: Retries, now: datetime) -> int:
    """
    Let the tasks of workers that died be claimed again, and return how many there were.

    Safe to run anywhere at any time. Served by the index `doctors_tasks_running`.
    """
    found = 0
    with transaction.atomic(using=database()):
        running = DBTaskResult.objects.running().filter(backend_name=DEFAULT_TASK_BACKEND_ALIAS)
        for entry in running.select_for_update(skip_locked=True).order_by("started_at"):
            if is_free(entry.pk, database()):
                _orphaned(entry, retries=retries, now=now)
                found += 1
    return found


def retry(ids: Iterable[uuid.UUID], *, now: datetime) -> int:
    """Give tasks that were given up all their attempts again, and return how many that were."""
    failed = DBTaskResult.objects.failed().filter(pk__in=list(ids))
    return failed.update(status=TaskResultStatus.READY, run_after=now, finished_at=None, worker_ids=[])


def prune(*, finished_before: datetime) -> int:
    """Remove tasks that ended before a time, and return how many; what failed is kept for as long."""
    count, _ = DBTaskResult.objects.finished().filter(finished_at__lt=finished_before).delete()
    return count


def _failed(entry: Entry, error: Exception, *, retries: Retries, now: datetime) -> bool:
    pause = None if isinstance(error, GiveUp) else retries.pause_after(len(entry.worker_ids))
    text = "".join(traceback.format_exception(error))
    changes: dict[str, Any] = {
        "exception_class_path": f"{type(error).__module__}.{type(error).__qualname__}",
        # The end names the error.
        "traceback": clean(text[-TRACEBACK_CHARACTERS:]),
        "return_value": None,
    }
    if pause is None:
        changes |= {"status": TaskResultStatus.FAILED, "finished_at": now}
    else:
        changes |= {"status": TaskResultStatus.READY, "run_after": now + pause}
    if not _leave(entry, **changes):
        return False
    _tell(entry, error, pause)
    return True


def _orphaned(entry: Entry, *, retries: Retries, now: datetime) -> None:
    if len(entry.worker_ids) >= retries.attempts:
        _failed(entry, WorkersDied(str(entry.worker_ids)), retries=retries, now=now)
        return
    _leave(entry, status=TaskResultStatus.READY, run_after=now)
    log.warning("task.taken_over", id=str(entry.pk), task=entry.task_path, attempt=len(entry.worker_ids))


def _leave(entry: Entry, **changes: Any) -> bool:
    """Write the outcome of an attempt, if it is still this attempt that counts."""
    mine = DBTaskResult.objects.running().filter(pk=entry.pk, worker_ids=entry.worker_ids)
    if not mine.update(**changes):
        log.warning("task.lost", id=str(entry.pk), task=entry.task_path)
        return False
    for name, value in changes.items():
        setattr(entry, name, value)
    return True


def _tell(entry: Entry, error: Exception, pause: timedelta | None) -> None:
    facts = {
        "id": str(entry.pk),
        "task": entry.task_path,
        "attempt": len(entry.worker_ids),
        "error": type(error).__name__,
    }
    if pause is None:
        log.error("task.failed", **facts)
    else:
        log.warning("task.retried", **facts, retry_in_seconds=pause.total_seconds())
