"""Chains of images out of real writes: tampering and raw SQL are found, what is explained is no alarm."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.utils import timezone
from prometheus_client import REGISTRY

from auditlog.context import disable_auditlog
from auditlog.events import record
from auditlog.models import AuditLog
from auditlog.queries.accounts import MINUTE, Window, minute_of
from auditlog.registry import auditlog
from auditlog.roles import Role
from consumers.models import ChainGap
from consumers.reconciliation.chains import Chains
from consumers.reconciliation.comparison import Sides
from consumers.reconciliation.memory import Memory, Progress
from consumers.reconciliation.rounds import Rounds
from doctors.models import Department
from tests.integration.consumers.books import execute, reconciled
from tests.integration.consumers.captured import project
from tests.integration.consumers.conftest import Connect, acting_as
from tests.samples.models import Manuscript

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])


@pytest.fixture(autouse=True)
def mask_key(read_model: None) -> Iterator[Callable[[timedelta], None]]:
    """An old key of masks, as in production; called, it makes a new one, which is so old."""
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT inner_pad, outer_pad, created_at FROM auditlog_secret WHERE name = 'mask'")
        before = cursor.fetchone()
    execute("UPDATE auditlog_secret SET created_at = now() - interval '1 day'")

    def replace(age: timedelta) -> None:
        execute(
            "UPDATE auditlog_secret SET inner_pad = outer_pad, outer_pad = inner_pad, created_at = now() - %s", [age]
        )

    yield replace
    execute("UPDATE auditlog_secret SET inner_pad = %s, outer_pad = %s, created_at = %s", list(before))


def raw(statement: str, parameters: list[Any] | None = None) -> None:
    """Write past the ORM."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def gaps() -> list[tuple[str, str, list[str]]]:
    """Store what was captured, and return model, kind and columns of the gaps that the command names."""
    project()
    with acting_as(Role.READER, alias="default"):
        report, code = reconciled("--chains")
    assert code == int(bool(report["missing"]) or any(gap["kind"] == "unexplained" for gap in report["gaps"]))
    return [(gap["model"], gap["kind"], gap["columns"]) for gap in report["gaps"]]


def a_life() -> Manuscript:
    """Return an object with some events."""
    manuscript = Manuscript.objects.create(body="one", code="1", secret="s", margin={"a": [1.50, None]})
    manuscript.body = "two"
    manuscript.save()
    manuscript.body = "three"
    manuscript.save()
    return manuscript


LABEL = "samples.manuscript"


def test_a_whole_life_has_no_gap() -> None:
    manuscript = a_life()
    pk = manuscript.pk
    manuscript.delete()
    Manuscript.objects.create(pk=pk, body="again")
    Manuscript.objects.filter(pk=pk).update(id=pk + 1_000)
    Manuscript.objects.get(pk=pk + 1_000).delete()
    assert gaps() == []


def test_an_image_that_the_owner_of_the_audit_log_changed_is_found() -> None:
    a_life()
    assert gaps() == []
    middle = AuditLog.objects.using("default").filter(model=LABEL).order_by("sequence")[1]
    execute(
        "UPDATE auditlog_auditlog SET after = jsonb_set(after, '{body}', '\"forged\"') WHERE event_id = %s", [middle.pk]
    )
    assert gaps() == [(LABEL, "unexplained", ["body"])]


def test_a_row_of_the_audit_log_that_was_removed_leaves_a_gap() -> None:
    a_life()
    assert gaps() == []
    middle = AuditLog.objects.using("default").filter(model=LABEL).order_by("sequence")[1]
    execute("DELETE FROM auditlog_auditlog WHERE event_id = %s", [middle.pk])
    assert gaps() == [(LABEL, "unexplained", ["body"])]


def test_raw_sql_before_the_next_change_is_an_unexplained_gap() -> None:
    manuscript = a_life()
    raw("UPDATE samples_manuscript SET body = 'raw', code = 'raw'")
    manuscript.refresh_from_db()
    manuscript.body = "four"
    manuscript.save()
    ((model, kind, columns),) = gaps()
    assert (model, kind, sorted(columns)) == (LABEL, "unexplained", ["body", "code"])


def test_raw_sql_that_was_adopted_is_a_labelled_gap_and_the_chain_goes_on() -> None:
    manuscript = a_life()
    project()
    raw("UPDATE samples_manuscript SET body = 'raw'")
    with acting_as(Role.APP, alias="default"), acting_as(Role.READER):
        execute_as_app("audit_bypass", LABEL, "--adopt", "--grace", "0")
    manuscript.refresh_from_db()
    manuscript.body = "four"
    manuscript.save()
    assert [(model, kind) for model, kind, _ in gaps()] == [(LABEL, "bypass")]


def execute_as_app(*arguments: str) -> None:
    """Run a command, whatever its exit code."""
    with contextlib.suppress(CommandError, SystemExit):
        call_command(*arguments)


def test_what_is_no_row_change_stands_in_no_chain_also_where_its_topic_was_moved() -> None:
    manuscript = a_life()
    record(manuscript, action="reviewed")
    raw("UPDATE samples_manuscript SET body = 'raw'")
    manuscript.refresh_from_db()
    manuscript.body = "four"
    manuscript.save()
    project()
    execute("UPDATE auditlog_auditlog SET topic = topic || '.v2'")
    assert AuditLog.objects.using("default").filter(topic__endswith=".events.v2", action="reviewed").count() == 1
    assert gaps() == [(LABEL, "unexplained", ["body"])]


def test_what_happened_while_auditing_was_disabled_is_a_labelled_gap() -> None:
    manuscript = a_life()
    with disable_auditlog(reason="bulk load"):
        Manuscript.objects.update(body="unseen")
    manuscript.refresh_from_db()
    manuscript.body = "four"
    manuscript.save()
    assert gaps() == [(LABEL, "auditing_disabled", ["body"])]


def test_a_new_key_of_masks_is_no_alarm(mask_key: Callable[[timedelta], None]) -> None:
    manuscript = a_life()
    mask_key(timedelta(0))
    manuscript.body = "four"
    manuscript.save()
    assert gaps() == [(LABEL, "mask_key", ["code"])]


def test_another_registration_is_no_alarm() -> None:
    manuscript = a_life()
    registered = auditlog.find(LABEL)
    assert registered is not None
    auditlog.unregister(Manuscript)
    auditlog.register(Manuscript, mask_fields={"secret": "full", "code": "hash", "body": "full"})
    try:
        manuscript.code = "2"
        manuscript.save()
    finally:
        auditlog.unregister(Manuscript)
        auditlog.register(Manuscript, mask_fields={"secret": "full", "code": "hash"})
    assert gaps() == [(LABEL, "registration", ["body"])]


def test_large_values_that_come_and_go_leave_no_gap() -> None:
    manuscript = a_life()
    for body in ("x" * 100_000, "y" * 100_000, "short"):
        manuscript.body = body
        manuscript.save()
    assert gaps() == []


def test_concurrent_writers_leave_no_gap() -> None:
    department = Department.objects.create(code="CARD", name="0")

    def write(number: int) -> None:
        try:
            for turn in range(15):
                Department.objects.filter(pk=department.pk).update(name=f"{number}-{turn}")
        finally:
            connections.close_all()

    writers = [threading.Thread(target=write, args=[number]) for number in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert gaps() == []
    assert AuditLog.objects.using("default").filter(model="doctors.department").count() == 61


def test_the_proof_keeps_unexplained_gaps_until_they_are_explained_or_filled(
    caplog: pytest.LogCaptureFixture,
) -> None:
    a_life()
    project()
    rows = AuditLog.objects.using("default").filter(model=LABEL).order_by("sequence")
    first, middle, last = rows.values_list("event_id", flat=True)
    sides = Sides(connections["default"], connections["audit"])
    chains = Chains(sides)
    window = Window(timezone.now() - timedelta(hours=1), timezone.now() + timedelta(hours=1))
    execute("CREATE TEMPORARY TABLE kept AS SELECT * FROM auditlog_auditlog WHERE event_id = %s", [middle])
    execute("DELETE FROM auditlog_auditlog WHERE event_id = %s", [middle])
    chains.check(window)
    chains.check(window)
    gap = ChainGap.objects.using("default").get()
    assert (gap.event_id, gap.previous_event_id, gap.kind, gap.columns) == (last, first, "unexplained", ["body"])
    assert sum(isinstance(one.msg, dict) and one.msg["event"] == "chain.unexplained" for one in caplog.records) == 1
    assert chains.counts()["unexplained"] == 1
    execute("INSERT INTO auditlog_auditlog SELECT * FROM kept")
    chains.judge_again()
    assert chains.counts()["unexplained"] == 0
    assert ChainGap.objects.using("default").get().kind == "filled"
    execute("UPDATE auditlog_auditlog SET before = jsonb_set(before, '{body}', '\"x\"') WHERE event_id = %s", [last])
    chains.check(window)
    with acting_as(Role.RELAY, alias="default"), acting_as(Role.CONSUMER):
        call_command("audit_reconcile", "--explain", str(last), "--reason", "restored from a backup")
    chains.check(window)
    chains.judge_again()
    assert (chains.counts()["unexplained"], chains.counts()["explained"]) == (0, 1)
    with pytest.raises(CommandError, match="No unexplained gap"):
        call_command("audit_reconcile", "--explain", str(last), "--reason", "again")


def test_rounds_check_the_chains_of_what_is_closed() -> None:
    # Before there are events: the next minute may begin meanwhile.
    begin = minute_of(timezone.now())
    a_life()
    project()
    ids = AuditLog.objects.using("default").filter(model=LABEL).order_by("sequence").values_list("pk", flat=True)
    execute('UPDATE auditlog_auditlog SET after = \'{"body": "forged"}\' WHERE event_id = %s', [ids[0]])
    rounds = Rounds(Sides(connections["default"], connections["audit"]), Memory(connections["audit"]))
    with acting_as(Role.READER, alias="default"), acting_as(Role.CONSUMER):
        rounds.memory.save(Progress(begin, begin + 2 * MINUTE, begin, begin))
        rounds.run()
    assert REGISTRY.get_sample_value("auditlog_chain_gaps", {"kind": "unexplained"}) == 1
    gap = ChainGap.objects.using("default").get()
    assert (gap.kind, gap.event_id) == ("unexplained", ids[1])


@pytest.mark.parametrize("role", [Role.READER, Role.RELAY])
def test_whoever_compares_sees_when_the_key_was_made_and_not_the_key(as_role: Connect, role: Role) -> None:
    seen = as_role(role)
    assert seen.execute("SELECT count(created_at) FROM auditlog_secret").fetchone() == (1,)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        seen.execute("SELECT inner_pad FROM auditlog_secret")
