"""What operators ask the read model: dead letters, partitions, whether anything is missing."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.utils import timezone

from auditlog.partitions import month_of, partition_name
from auditlog.roles import Role
from consumers.projector import Projector
from consumers.records import Batch, Partition
from tests.integration.consumers.books import acknowledge, execute, store, wait_in_outbox
from tests.integration.consumers.conftest import Connect, acting_as
from tests.unit.consumers.builders import event, record, uuid7

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])
AT = Partition("test.doctors.doctor", 0)


def report_of(*arguments: str) -> dict[str, Any]:
    """Run a command and return its JSON report."""
    out = StringIO()
    call_command(*arguments, "--json", stdout=out)
    report: dict[str, Any] = json.loads(out.getvalue())
    return report


def text_of(*arguments: str) -> str:
    """Run a command and return what it says."""
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_nothing_is_missing_where_all_events_are_stored(read_model: None) -> None:
    at = timezone.now()
    ids = [uuid7(at) for _ in range(3)]
    acknowledge(*ids, at=at)
    store(*ids, at=at)
    report = report_of("audit_reconcile", "--wait", "0")
    assert [report[name] for name in ("committed", "published", "stored", "missing")] == [3, 3, 3, []]
    assert report["unrecoverable"] == []


def test_missing_events_are_named_and_fail_the_command(read_model: None) -> None:
    at = timezone.now()
    stored, lost, waiting = (uuid7(at) for _ in range(3))
    acknowledge(stored, lost, at=at)
    wait_in_outbox(waiting, at=at)
    store(stored, at=at)
    out = StringIO()
    with pytest.raises(SystemExit) as stopped:
        call_command("audit_reconcile", "--wait", "0", "--json", stdout=out)
    assert stopped.value.code == 1
    report = json.loads(out.getvalue())
    assert [report[name] for name in ("committed", "published", "stored")] == [3, 2, 1]
    assert report["missing"] == sorted([str(lost), str(waiting)])
    assert report["pending"] == [str(waiting)]


def test_events_of_many_days_are_compared(read_model: None) -> None:
    now = timezone.now()
    times = [now - timedelta(days=days) for days in (0, 1, 3)]
    ids = [uuid7(at) for at in times]
    acknowledge(*ids, at=times[0])
    execute("UPDATE auditlog_outboxledger SET first_occurred_at = %s", [times[-1]])
    for number, (event_id, at) in enumerate(zip(ids, times, strict=True)):
        one = Partition("test.doctors.doctor", number)
        value = record(event(at=at, event_id=str(event_id)), partition=one)
        Projector(group="test").store(Batch((value,), {one: None}))
    report = report_of("audit_reconcile", "--wait", "0")
    assert [report[name] for name in ("committed", "published", "stored")] == [3, 3, 3]
    since = (now - timedelta(days=2)).isoformat()
    assert report_of("audit_reconcile", "--wait", "0", "--from", since)["committed"] == 2


def test_a_stored_event_that_nobody_committed_is_counted(read_model: None) -> None:
    at = timezone.now()
    committed, forged = uuid7(at), uuid7(at)
    acknowledge(committed, at=at)
    store(committed, forged, at=at)
    assert report_of("audit_reconcile", "--wait", "0", "--from", "2020-01-01T00:00:00Z")["unaccounted"] == 1


def test_events_on_their_way_are_waited_for(read_model: None) -> None:
    at = timezone.now()
    late = uuid7(at)
    acknowledge(late, at=at)

    def arrive() -> None:
        try:
            store(late, at=at)
        finally:
            connections.close_all()

    timer = threading.Timer(0.5, arrive)
    timer.start()
    try:
        assert report_of("audit_reconcile", "--wait", "20")["missing"] == []
    finally:
        timer.join()


def test_the_reader_may_reconcile(read_model: None) -> None:
    at = timezone.now()
    only = uuid7(at)
    acknowledge(only, at=at)
    store(only, at=at)
    default = connections["default"]
    owner = default.settings_dict["USER"]
    with acting_as(Role.READER):
        default.close()
        default.settings_dict["USER"] = Role.READER.value
        try:
            assert report_of("audit_reconcile", "--wait", "0")["stored"] == 1
        finally:
            default.close()
            default.settings_dict["USER"] = owner


def test_dead_letters_are_listed_newest_first_and_shown_whole(projector: Projector) -> None:
    bad = [record(b"{", partition=AT, offset=4), record(b"\xff", partition=AT, offset=5, headers=[("a", b"b")])]
    for number, one in enumerate(bad):
        projector.store(Batch((one,), {AT: None if number == 0 else 5}))
    report = report_of("dead_letters", "list")
    assert [(r["topic"], r["partition"], r["offset"], r["reason"]) for r in report["results"]] == [
        (*AT, 5, "invalid_utf8"),
        (*AT, 4, "invalid_json"),
    ]
    assert {"id", "at"} <= report["results"][0].keys()
    newest = report_of("dead_letters", "show", str(report["results"][0]["id"]))
    assert (newest["value_base64"], newest["headers"]) == ("/w==", [{"name": "a", "value": "b"}])
    assert report_of("dead_letters", "show", str(report["results"][1]["id"]))["value"] == "{"
    assert len(report_of("dead_letters", "list", "--reason", "invalid_json")["results"]) == 1
    assert len(report_of("dead_letters", "list", "--limit", "1")["results"]) == 1
    assert f"{AT.topic}[0]@5" in text_of("dead_letters", "list")


def test_a_dead_letter_that_is_not_there_is_an_error(read_model: None) -> None:
    with pytest.raises(CommandError, match="no dead letter 1"):
        call_command("dead_letters", "show", "1")


def test_partitions_are_made_ahead_once(read_model: None) -> None:
    ahead = [partition_name(month_of(timezone.now() + timedelta(days=31 * n))) for n in (5, 6)]
    report = report_of("audit_partitions", "--months-ahead", "7")
    assert set(ahead) <= set(report["created"])
    assert set(report["created"]) <= set(report["partitions"])
    assert report_of("audit_partitions", "--months-ahead", "7")["created"] == []


def test_partitions_made_twice_at_once_are_made_once(as_role: Connect) -> None:
    one, other = as_role(Role.OWNER), as_role(Role.OWNER)
    one.autocommit = False
    ensure = "SELECT auditlog_ensure_partition(now() + interval '9 months')"
    assert one.execute(ensure).fetchone() == (True,)
    answers: list[Any] = []
    waiting = threading.Thread(target=lambda: answers.append(other.execute(ensure).fetchone()))
    waiting.start()
    one.commit()
    waiting.join(20)
    assert answers == [(False,)]


@pytest.mark.parametrize("months", ["-1", "25", "x"])
def test_an_absurd_number_of_months_is_refused(read_model: None, months: str) -> None:
    with pytest.raises(CommandError):
        call_command("audit_partitions", "--months-ahead", months)
