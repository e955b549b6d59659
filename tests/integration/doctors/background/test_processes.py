"""Workers as processes: killed, asked to end, several at once, without a database."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django_tasks_db.models import DBTaskResult

from tests.conftest import WaitUntil
from tests.integration.doctors.background import work
from tests.integration.doctors.background.conftest import Notes, WorkerProcess

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]

Start = Callable[[], WorkerProcess]


def test_a_task_whose_worker_is_killed_is_taken_over_by_another(
    start_worker: Start, notes: Notes, wait_until: WaitUntil
) -> None:
    work.wait_for.enqueue("go on")
    first = start_worker()
    wait_until(lambda: "begun 1" in notes())
    first.send(signal.SIGKILL)
    first.ended()
    second = start_worker()
    wait_until(lambda: "begun 2" in notes())
    Group.objects.create(name="go on")
    wait_until(lambda: DBTaskResult.objects.successful().exists())
    assert notes() == {"begun 1", "begun 2", "go on", "ended 2"}
    assert "task.taken_over" in second.log


def test_a_worker_that_is_asked_to_end_finishes_its_task_and_begins_no_other(
    start_worker: Start, notes: Notes, wait_until: WaitUntil
) -> None:
    work.wait_for.enqueue("go on")
    worker = start_worker()
    wait_until(lambda: "begun 1" in notes())
    work.note.enqueue("not begun")
    worker.send(signal.SIGTERM)
    Group.objects.create(name="go on")
    assert worker.ended() == 0
    assert notes() == {"begun 1", "go on", "ended 1"}
    assert sorted(DBTaskResult.objects.values_list("status", flat=True)) == ["READY", "SUCCESSFUL"]


def test_several_workers_run_each_task_once(start_worker: Start, wait_until: WaitUntil) -> None:
    for _ in range(2):
        start_worker()
    for number in range(60):
        work.note.enqueue(f"note {number}")
    wait_until(lambda: DBTaskResult.objects.successful().count() == 60)
    attempts = DBTaskResult.objects.values_list("worker_ids", flat=True)
    assert {len(workers) for workers in attempts} == {1}
    assert len({workers[0] for workers in attempts}) == 2
    assert Group.objects.count() == 60


def test_a_worker_whose_connections_are_cut_goes_on_and_loses_nothing(
    start_worker: Start, notes: Notes, wait_until: WaitUntil, connect_as: Any
) -> None:
    work.wait_for.enqueue("go on")
    worker = start_worker()
    wait_until(lambda: "begun 1" in notes())
    connect_as("auditlog_app").execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'auditlog-run_worker'"
    )
    Group.objects.create(name="go on")
    wait_until(lambda: DBTaskResult.objects.successful().exists())
    assert {"begun 2", "ended 2"} <= notes()
    assert "worker.waiting_for_database" in worker.log
