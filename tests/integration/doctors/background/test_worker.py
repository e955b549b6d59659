"""Background tasks: enqueued with the transaction, tried again, given up, visible, and attributed to nobody else."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone
from django_tasks_db.models import DBTaskResult
from prometheus_client import REGISTRY

from auditlog.errors import RegistrationError
from auditlog.registry import auditlog
from doctors.background import queue
from doctors.background.claims import Claim
from doctors.background.outcomes import Succeeded
from tests.integration.doctors.background import work
from tests.integration.doctors.background.conftest import Notes
from tests.integration.doctors.conftest import RETRIES, MakeWorker

pytestmark = pytest.mark.django_db(transaction=True)


def only() -> Any:
    """Return the one task there is."""
    return DBTaskResult.objects.get()


def make_due() -> None:
    """Let the pauses between attempts be over."""
    DBTaskResult.objects.update(run_after=timezone.now() - timedelta(seconds=1))


def report(*arguments: str) -> Any:
    """Return what `manage.py tasks --json` says."""
    output = io.StringIO()
    call_command("tasks", *arguments, "--json", stdout=output)
    return json.loads(output.getvalue())


def test_a_task_is_run_once_and_its_result_is_kept(make_worker: MakeWorker, notes: Notes) -> None:
    result = work.note.enqueue("hello")
    assert make_worker().run_until_idle() == 1
    assert make_worker().run_until_idle() == 0
    result.refresh()
    assert (result.status, result.return_value, result.attempts) == ("SUCCESSFUL", "hello", 1)
    assert notes() == {"hello"}


def counted(task: str, outcome: str) -> float:
    """Return how many attempts at a task of the tests ended so, in this process."""
    labels = {"task": f"{work.__name__}.{task}", "outcome": outcome}
    return REGISTRY.get_sample_value("auditlog_worker_attempts_total", labels) or 0


def test_attempts_are_counted_by_how_they_ended(make_worker: MakeWorker) -> None:
    expected = {("note", "done"): 1, ("note_at_attempt", "retried"): 2, ("note_at_attempt", "done"): 1,
                ("give_up", "failed"): 1}  # fmt: skip
    before = {each: counted(*each) for each in expected}
    worker = make_worker()
    for task, arguments in ((work.note, ["hello"]), (work.note_at_attempt, [3]), (work.give_up, [])):
        task.enqueue(*arguments)
    for _ in range(3):
        worker.run_until_idle()
        make_due()
    assert {each: counted(*each) - before[each] for each in expected} == expected
    timed = REGISTRY.get_sample_value("auditlog_worker_attempt_seconds_count", {"task": f"{work.__name__}.give_up"})
    assert timed
    assert timed >= 1


def test_what_waits_is_counted_from_when_it_could_have_run(db: None) -> None:
    assert queue.due() == queue.Due(0, None)
    now = timezone.now()
    work.note.enqueue("at once")
    DBTaskResult.objects.update(enqueued_at=now - timedelta(minutes=5))
    work.note.using(run_after=now + timedelta(hours=1)).enqueue("later")
    assert queue.due() == queue.Due(1, now - timedelta(minutes=5))
    DBTaskResult.objects.filter(run_after__lt=now + timedelta(days=1)).update(run_after=now - timedelta(hours=2))
    assert queue.due() == queue.Due(2, now - timedelta(hours=2))


def test_a_coroutine_is_run_too(make_worker: MakeWorker, notes: Notes) -> None:
    work.note_later.enqueue("later")
    make_worker().run_until_idle()
    assert notes() == {"later"}


def test_a_rollback_enqueues_nothing(make_worker: MakeWorker) -> None:
    with transaction.atomic():
        work.note.enqueue("never")
        transaction.set_rollback(True)
    assert make_worker().run_until_idle() == 0
    assert not DBTaskResult.objects.exists()


def test_a_task_of_an_open_transaction_is_not_run_before_it_commits(
    make_worker: MakeWorker, notes: Notes, owner_connection: Any
) -> None:
    with transaction.atomic():
        work.note.enqueue("soon")
        seen = owner_connection.execute("SELECT count(*) FROM django_tasks_database_dbtaskresult").fetchone()
        assert seen == (0,)
    make_worker().run_until_idle()
    assert notes() == {"soon"}


def test_a_task_that_fails_is_tried_again_after_a_pause_that_grows(make_worker: MakeWorker, notes: Notes) -> None:
    worker = make_worker()
    work.note_at_attempt.enqueue(3)
    pauses = []
    for _ in range(2):
        make_due()
        before = timezone.now()
        assert worker.run_until_idle() == 1
        pauses.append((only().run_after - before).total_seconds() // 10 * 10)
        assert (only().status, only().finished_at) == ("READY", None)
        assert only().exception_class_path == "builtins.ConnectionRefusedError"
    assert pauses == [100, 150]
    make_due()
    worker.run_until_idle()
    assert (only().status, only().exception_class_path) == ("SUCCESSFUL", "")
    assert notes() == {"attempt 3"}


def test_a_task_that_never_succeeds_is_given_up_and_can_be_tried_again(make_worker: MakeWorker) -> None:
    worker = make_worker()
    work.note_at_attempt.enqueue(9)
    for _ in range(5):
        make_due()
        worker.run_until_idle()
    assert (only().status, len(only().worker_ids)) == ("FAILED", RETRIES.attempts)
    assert "ConnectionRefusedError: attempt 3" in only().traceback
    listed = report("list", "--status", "failed")
    assert listed["counts"] == {"ready": 0, "running": 0, "failed": 1, "successful": 0}
    assert listed["results"][0]["error"] == "builtins.ConnectionRefusedError"
    assert report("retry", listed["results"][0]["id"]) == {"retried": 1}
    assert worker.run_until_idle() == 1
    assert (only().status, len(only().worker_ids)) == ("READY", 1)


def test_what_can_never_succeed_is_not_tried_again(make_worker: MakeWorker) -> None:
    work.give_up.enqueue()
    make_worker().run_until_idle()
    assert (only().status, len(only().worker_ids)) == ("FAILED", 1)
    assert report("retry", "--all-failed") == {"retried": 1}


def test_a_result_that_json_cannot_hold_is_a_failure_of_the_task(make_worker: MakeWorker) -> None:
    work.name_nothing.enqueue()
    make_worker().run_until_idle()
    assert only().exception_class_path == "builtins.TypeError"


def test_a_task_that_the_code_does_not_know_yet_waits_for_a_worker_that_does(
    make_worker: MakeWorker, notes: Notes
) -> None:
    work.note.enqueue("known")
    DBTaskResult.objects.update(task_path="doctors.no_such_module.note")
    make_worker().run_until_idle()
    assert (only().status, only().exception_class_path) == ("READY", "builtins.ModuleNotFoundError")
    DBTaskResult.objects.update(task_path="tests.integration.doctors.background.work.note")
    make_due()
    make_worker().run_until_idle()
    assert notes() == {"known"}


def test_a_task_that_fails_harms_no_other_one(make_worker: MakeWorker, notes: Notes) -> None:
    work.give_up.enqueue()
    work.write_and_fail.enqueue("first")
    work.note.enqueue("second")
    assert make_worker().run_until_idle() == 3
    assert {"second"} <= notes()


def test_only_failed_tasks_can_be_retried_by_hand() -> None:
    waiting = work.note.enqueue("waiting")
    with pytest.raises(CommandError, match=f"did not fail: {waiting.id}"):
        report("retry", waiting.id)
    with pytest.raises(CommandError, match="Name the tasks"):
        report("retry")


def test_a_claimed_task_is_not_claimed_by_another_worker(make_worker: MakeWorker) -> None:
    work.note.enqueue("mine")
    holder, other = Claim("default"), Claim("default")
    try:
        entry = queue.claim(holder, worker="one")
        assert entry is not None
        assert queue.claim(other, worker="two") is None
        assert queue.take_over(retries=RETRIES, now=timezone.now()) == 0
    finally:
        holder.close()
        other.close()


def test_an_attempt_that_was_taken_over_notes_nothing(make_worker: MakeWorker) -> None:
    work.note.enqueue("mine")
    holder = Claim("default")
    entry = queue.claim(holder, worker="one")
    assert entry is not None
    holder.release()
    assert queue.take_over(retries=RETRIES, now=timezone.now()) == 1
    second = queue.claim(holder, worker="two")
    assert second is not None
    outcome = Succeeded("late")
    assert not queue.finish(entry, outcome, retries=RETRIES, now=timezone.now())
    assert only().status == "RUNNING"
    assert queue.finish(second, outcome, retries=RETRIES, now=timezone.now())
    holder.close()


def test_a_task_over_which_each_worker_dies_is_given_up() -> None:
    work.note.enqueue("deadly")
    holder = Claim("default")
    for number in range(RETRIES.attempts):
        assert queue.claim(holder, worker=f"{number}") is not None
        holder.release()
        assert queue.take_over(retries=RETRIES, now=timezone.now()) == 1
    assert only().status == "FAILED"
    assert only().exception_class_path == "doctors.background.outcomes.WorkersDied"
    holder.close()


def test_tasks_that_ended_long_ago_are_removed(make_worker: MakeWorker) -> None:
    work.note.enqueue("old")
    make_worker().run_until_idle()
    DBTaskResult.objects.update(finished_at=timezone.now() - timedelta(days=2))
    work.note.enqueue("new")
    make_worker().run_until_idle()
    assert [task.args_kwargs["args"] for task in DBTaskResult.objects.all()] == [["new"]]


def test_running_tasks_are_found_by_their_index() -> None:
    running = DBTaskResult.objects.running().order_by("started_at")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        assert "doctors_tasks_running" in running.explain()


def test_tasks_are_shown_in_the_admin(make_worker: MakeWorker, client: Client) -> None:
    work.give_up.enqueue()
    make_worker().run_until_idle()
    client.force_login(get_user_model().objects.create_superuser("root"))
    page = client.get("/admin/django_tasks_database/dbtaskresult/")
    assert page.status_code == 200
    assert "give_up" in page.content.decode()


def test_i2_the_tables_of_the_tasks_are_never_captured(events: Any, make_worker: MakeWorker) -> None:
    with pytest.raises(RegistrationError, match="never captured"):
        auditlog.register(DBTaskResult)
    work.note.enqueue("audited elsewhere")
    make_worker().run_until_idle()
    assert events() == []
