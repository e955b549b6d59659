"""The loop of `run_worker`: one task after the other, until it is told to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import structlog
from django.db import InterfaceError, OperationalError, close_old_connections, connections
from django.utils import timezone
from django_tasks.base import TaskContext, TaskResultStatus
from django_tasks.signals import task_finished, task_started
from django_tasks.utils import normalize_json

from auditlog.frames import frames_scope
from doctors.background import metrics, queue
from doctors.background.claims import Claim
from doctors.background.metrics import Attempt
from doctors.background.outcomes import Failed, Outcome, Retries, Succeeded

log = structlog.get_logger(__name__)

# How soon a task of a worker that died is noticed.
TAKE_OVER_SECONDS = 2.0
PRUNE_SECONDS = 3_600.0
SURVEY_SECONDS = 5.0
FIRST_WAIT_SECONDS = 0.25
LONGEST_WAIT_SECONDS = 10.0


@dataclass(slots=True)
class Regularly:
    """Something that is done now and then, for the first time at once."""

    seconds: float
    work: Callable[[], object]
    _due_at: float = 0.0

    def when_due(self) -> None:
        """Do it if it is time."""
        if time.monotonic() >= self._due_at:
            self.work()
            self._due_at = time.monotonic() + self.seconds


@dataclass(slots=True)
class Worker:
    """Works on tasks; `name` tells it from all other workers, and `keep` is for how long ended tasks are kept."""

    name: str
    stop: threading.Event
    poll_seconds: float
    retries: Retries
    keep: timedelta
    _claim: Claim = field(init=False)
    _chores: tuple[Regularly, ...] = field(init=False)

    def __post_init__(self) -> None:
        self._claim = Claim(queue.database())
        self._chores = (
            Regularly(TAKE_OVER_SECONDS, self._take_over),
            Regularly(PRUNE_SECONDS, self._prune),
            Regularly(SURVEY_SECONDS, _survey),
        )

    def run(self) -> None:
        """Work until `stop` is set; the task under way is finished first."""
        wait = FIRST_WAIT_SECONDS
        try:
            while not self.stop.is_set():
                metrics.LAST_LOOP.set_to_current_time()
                try:
                    worked = self.work_on_one()
                except (OperationalError, InterfaceError) as exc:
                    log.warning("worker.waiting_for_database", error=type(exc).__name__, next_attempt_seconds=wait)
                    self._disconnect()
                    self.stop.wait(wait)
                    wait = min(wait * 2, LONGEST_WAIT_SECONDS)
                    continue
                wait = FIRST_WAIT_SECONDS
                if not worked:
                    self.stop.wait(self.poll_seconds)
        finally:
            self._claim.close()

    def run_until_idle(self) -> int:
        """
        Work until no task is due, or `stop` is set, and return how many attempts were made.

        :raises django.db.DatabaseError: if the database is away.
        """
        attempts = 0
        try:
            while not self.stop.is_set() and self.work_on_one():
                attempts += 1
        finally:
            self._claim.close()
        return attempts

    def work_on_one(self) -> bool:
        """Make one attempt at one task; False where none is due."""
        close_old_connections()
        for chore in self._chores:
            chore.when_due()
        entry = queue.claim(self._claim, worker=self.name)
        if entry is None:
            return False
        try:
            began = time.monotonic()
            outcome = _attempt(entry)
            seconds = time.monotonic() - began
            noted = queue.finish(entry, outcome, retries=self.retries, now=timezone.now())
            _count(entry, outcome, seconds=seconds, noted=noted)
            if noted:
                _announce(entry, outcome, seconds=seconds)
        finally:
            # After the outcome is committed: until then nobody may take the task over.
            self._claim.release()
        return True

    def _take_over(self) -> None:
        queue.take_over(retries=self.retries, now=timezone.now())

    def _prune(self) -> None:
        queue.prune(finished_before=timezone.now() - self.keep)

    def _disconnect(self) -> None:
        self._claim.close()
        connections[queue.database()].close()


def _attempt(entry: queue.Entry) -> Outcome:
    """Run a task, with nothing of another one's circumstances."""
    with frames_scope():
        try:
            task, result = entry.task, entry.task_result
            task_started.send_robust(sender=type(task.get_backend()), task_result=result)
            # The backend's stub for Django 5 knows nothing of its being a result.
            context = (TaskContext(task_result=result),) if task.takes_context else ()  # type: ignore[arg-type]
            return Succeeded(normalize_json(task.call(*context, *result.args, **result.kwargs)))
        except Exception as exc:  # noqa: BLE001 - whatever a task raises is noted with it, and it is tried again
            return Failed(exc)


def _survey() -> None:
    found = queue.due()
    metrics.DUE.set(found.count)
    metrics.OLDEST_DUE_SECONDS.set(0 if found.since is None else (timezone.now() - found.since).total_seconds())


def _count(entry: queue.Entry, outcome: Outcome, *, seconds: float, noted: bool) -> None:
    ended = Attempt.DONE
    if not noted:
        ended = Attempt.LOST
    elif isinstance(outcome, Failed):
        ended = Attempt.FAILED if entry.status == TaskResultStatus.FAILED else Attempt.RETRIED
    metrics.ATTEMPTS.labels(entry.task_path, ended).inc()
    metrics.ATTEMPT_SECONDS.labels(entry.task_path).observe(seconds)


def _announce(entry: queue.Entry, outcome: Outcome, *, seconds: float) -> None:
    if isinstance(outcome, Succeeded):
        log.info("task.done", id=str(entry.pk), task=entry.task_path, milliseconds=round(seconds * 1000))
        task_finished.send_robust(sender=type(entry.task.get_backend()), task_result=entry.task_result)
