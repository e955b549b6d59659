"""I7: dead letters are tried again or discarded by a command; each decision is whole, and an event itself."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.db import connections, transaction
from django.utils import timezone
from prometheus_client import REGISTRY

from auditlog.context import set_actor
from auditlog.models import AuditLog, LateEvent
from auditlog.partitions import month_of
from auditlog.roles import Role
from auditlog.vocabulary import Action
from consumers import decisions
from consumers.models import DeadLetter
from consumers.projector import Projector
from consumers.records import Batch, Partition, Positions, Record
from consumers.survey import Survey
from tests.integration.consumers.conftest import Connect, acting_as, stored_ids
from tests.integration.consumers.processes import ROOT, environment, wait_until
from tests.unit.consumers.builders import event, record, uuid7

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])
AT = Partition("test.doctors.doctor", 3)
LATER = month_of(timezone.now()).replace(day=28)


def in_months(number: int) -> Any:
    """Return a time in a later month."""
    months = LATER.year * 12 + LATER.month - 1 + number
    return LATER.replace(year=months // 12, month=months % 12 + 1)


@pytest.fixture
def early(settings: LazySettings, projector: Projector) -> Iterator[list[Record]]:
    """Three records that are dead letters because the partitions did not reach so far; now they would."""
    settings.AUDITLOG_PARTITION_MONTHS_AHEAD = 0
    at = in_months(2)
    records = [
        record(
            event(at=at, event_id=str(uuid7(at))), partition=AT, offset=offset, headers=[("a", b"\xff"), ("b", None)]
        )
        for offset in (7, 8, 9)
    ]
    projector.store(Batch(tuple(records), {AT: None}))
    settings.AUDITLOG_PARTITION_MONTHS_AHEAD = 3
    with acting_as(Role.CONSUMER, alias="default"):
        yield records


class Nothing:
    """A source that reads nothing."""

    followed: frozenset[Partition] = frozenset()

    def follow(self, stored: Positions) -> None:
        """There is nothing to follow."""
        assert stored == {}

    def lag(self) -> dict[str, int]:
        """Nowhere behind."""
        return {}


def decide(*arguments: str) -> dict[str, Any]:
    """Run the command as somebody, and return its report."""
    out = StringIO()
    with set_actor("night shift"):
        call_command("dead_letters", *arguments, "--json", stdout=out)
    report: dict[str, Any] = json.loads(out.getvalue())
    return report


def letters(**wanted: Any) -> list[DeadLetter]:
    """Return dead letters in the order of their offsets."""
    return list(DeadLetter.objects.filter(**wanted).order_by("offset"))


def ids_of(records: list[Record]) -> list[str]:
    """Return the ids of the events in these records."""
    return [json.loads(one.value or b"")["audit"]["event_id"] for one in records]


def told(connect: Connect) -> list[dict[str, Any]]:
    """Return the `audit` of what was put into the outbox."""
    rows = connect(Role.OWNER).execute("SELECT value FROM auditlog_outboxevent ORDER BY id").fetchall()
    return [json.loads(value)["audit"] for (value,) in rows]


def test_i6_a_requeued_record_is_stored_as_if_it_had_just_been_read(
    early: list[Record], projector: Projector, as_role: Connect
) -> None:
    chosen = letters()[1]
    assert decide("requeue", "--id", str(chosen.id), "--reason", "the months are there now") == {
        "requeued": [chosen.id],
        "refused": [],
    }
    row = AuditLog.objects.get()
    assert (str(row.event_id), row.topic, row.partition, row.offset) == (ids_of(early)[1], *AT, 8)
    # The offset had been passed.
    assert (row.late, LateEvent.objects.get().event_id) == (1, row.event_id)
    assert [letter.decision for letter in letters()] == [None, "requeued", None]
    decided = letters()[1]
    assert (decided.decided_by, decided.decided_because) == ("night shift", "the months are there now")
    (audit,) = told(as_role)
    assert (audit["action"], audit["category"], audit["reason"]) == (
        "dead_letters_requeued",
        "admin",
        "the months are there now",
    )
    assert audit["data"]["dead_letters"] == [
        {
            "id": chosen.id,
            "topic": AT.topic,
            "partition": 3,
            "offset": 8,
            "reason": "out_of_horizon",
            "stored": True,
        }
    ]


def test_i6_what_is_delivered_again_before_and_after_its_requeue_is_stored_once(
    early: list[Record], projector: Projector
) -> None:
    again = Batch(tuple(early), {AT: None})
    Projector(group="before").store(again)
    assert decide("requeue", "--all", "--reason", "they can be stored")["refused"] == []
    Projector(group="after").store(again)
    assert stored_ids() == ids_of(early)
    assert [letter.decision for letter in letters()] == ["requeued"] * 3


def test_i7_a_record_that_is_still_no_event_stays_open_with_its_new_error(
    settings: LazySettings, projector: Projector, as_role: Connect
) -> None:
    at, long = in_months(2), "".join(chr(0x4E00 + i * 7 % 20_000) for i in range(3_000))
    settings.AUDITLOG_PARTITION_MONTHS_AHEAD = 0
    good = record(event(at=at, event_id=str(uuid7(at))), partition=AT, offset=0)
    bad = record(event(at=at, event_id=str(uuid7(at)), object_pk=long), partition=AT, offset=1)
    projector.store(Batch((good, bad, record(b"{", partition=AT, offset=2)), {AT: None}))
    settings.AUDITLOG_PARTITION_MONTHS_AHEAD = 3
    out = StringIO()
    with acting_as(Role.CONSUMER, alias="default"), pytest.raises(SystemExit) as stopped:
        call_command("dead_letters", "requeue", "--topic", AT.topic, "--reason", "again", "--json", stdout=out)
    assert stopped.value.code == 1
    stored, refused, malformed = letters()
    assert json.loads(out.getvalue()) == {"requeued": [stored.id], "refused": [refused.id, malformed.id]}
    assert [(letter.reason, letter.decision) for letter in (refused, malformed)] == [
        ("refused_by_database", None),
        ("invalid_json", None),
    ]
    assert "54000" in refused.detail
    assert stored_ids() == ids_of([good])
    (audit,) = told(as_role)
    assert [letter["stored"] for letter in audit["data"]["dead_letters"]] == [True, False, False]


def test_a_discarded_dead_letter_stays_and_says_who_and_why(early: list[Record], as_role: Connect) -> None:
    report = decide("discard", "--topic", AT.topic, "--partition", "3", "--offset", "9", "--reason", "test data")
    (discarded,) = letters(decision="discarded")
    assert (report, discarded.offset) == ({"discarded": [discarded.id]}, 9)
    assert (discarded.decided_by, discarded.decided_because) == ("night shift", "test data")
    assert bytes(discarded.value or b"") == early[2].value
    assert [audit["action"] for audit in told(as_role)] == ["dead_letters_discarded"]
    assert stored_ids() == []
    assert {one["state"] for one in decide("list", "--open")["results"]} == {"open"}
    with pytest.raises(CommandError, match=f"No open dead letters: {discarded.id}"):
        decide("requeue", "--id", str(discarded.id), "--reason", "after all")


def test_dead_letters_of_one_error_are_chosen_in_batches(
    early: list[Record], projector: Projector, monkeypatch: pytest.MonkeyPatch, as_role: Connect
) -> None:
    monkeypatch.setattr("consumers.requeue.BATCH_LETTERS", 2)
    projector.store(Batch((record(b"{", partition=AT, offset=10),), {AT: 10}))
    assert len(decide("requeue", "--kind", "out_of_horizon", "--reason", "now")["requeued"]) == 3
    assert [letter.reason for letter in letters(decision=None)] == ["invalid_json"]
    assert [len(audit["data"]["dead_letters"]) for audit in told(as_role)] == [2, 1]


@pytest.mark.parametrize(
    "arguments",
    [[], ["--all", "--kind", "invalid_json"], ["--partition", "3"], ["--topic", "x", "--offset", "1"]],
)
def test_a_selection_that_says_nothing_or_too_much_is_refused(early: list[Record], arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        decide("discard", *arguments, "--reason", "why")
    assert {letter.decision for letter in letters()} == {None}


def test_a_decision_needs_a_reason(early: list[Record]) -> None:
    with pytest.raises(CommandError, match="--reason"):
        decide("discard", "--all", "--reason", " ")
    assert {letter.decision for letter in letters()} == {None}


def test_i7_a_requeue_that_is_killed_in_the_middle_has_changed_nothing(
    early: list[Record], tmp_path: Path, as_role: Connect
) -> None:
    # Whoever holds one event's id blocks the requeue after some of its work.
    blocker = as_role(Role.OWNER)
    blocker.execute("SELECT auditlog_ensure_partition(%s)", [in_months(2)])
    blocker.autocommit = False
    blocker.execute(
        "INSERT INTO auditlog_auditlog (event_id, occurred_at, model, action, category, topic, partition, "
        "\"offset\", sequence) VALUES (%s, now(), '', '', '', '', 0, 0, '')",
        [ids_of(early)[2]],
    )
    (xid,) = blocker.execute("SELECT pg_current_xact_id()::xid::text").fetchone() or ("",)
    command = [sys.executable, "manage.py", "dead_letters", "requeue", "--all", "--reason", "x", "--json"]
    with subprocess.Popen(command, cwd=ROOT, env=environment(prefix="test"), stdout=subprocess.PIPE) as process:
        watcher = as_role(Role.OWNER)
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND transactionid::text = %s"
        wait_until(lambda: watcher.execute(waiting, [xid]).fetchone() == (1,))
        process.kill()
    blocker.rollback()
    wait_until(lambda: watcher.execute(waiting, [xid]).fetchone() == (0,))
    assert ({letter.decision for letter in letters()}, stored_ids(), told(as_role)) == ({None}, [], [])
    done = subprocess.run(command, cwd=ROOT, env=environment(prefix="test"), capture_output=True, check=True)
    assert len(json.loads(done.stdout)["requeued"]) == 3
    assert stored_ids() == ids_of(early)


def test_i7_of_two_operators_at_once_one_decides(early: list[Record], as_role: Connect) -> None:
    chosen = letters()[0]
    first = as_role(Role.OWNER)
    first.autocommit = False
    first.execute(
        "UPDATE consumers_deadletter SET decision = 'discarded', decided_at = now(), decided_by = 'other', "
        "decided_because = 'first' WHERE id = %s",
        [chosen.id],
    )
    errors: list[str] = []

    def second() -> None:
        try:
            decide("requeue", "--id", str(chosen.id), "--reason", "second")
        except CommandError as exc:
            errors.append(str(exc))
        finally:
            connections.close_all()

    operator = threading.Thread(target=second)
    operator.start()
    watcher = as_role(Role.OWNER)
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    wait_until(lambda: watcher.execute(waiting).fetchone() == (1,))
    first.commit()
    operator.join(30)
    assert errors == [f"Decided about meanwhile: {chosen.id}. 0 dead letters were requeued before."]
    assert (letters()[0].decided_by, stored_ids(), told(as_role)) == ("other", [], [])


@pytest.mark.parametrize("apart", [False, True])
def test_a_decision_is_told_with_what_it_changes_or_before(
    early: list[Record], settings: LazySettings, as_role: Connect, monkeypatch: pytest.MonkeyPatch, apart: bool
) -> None:
    if apart:  # under another address
        monkeypatch.setitem(settings.DATABASES, "audit", {**settings.DATABASES["audit"], "HOST": "elsewhere"})
    with transaction.atomic(using="audit"):
        decisions.record(action=Action.DEAD_LETTERS_DISCARDED, data={}, reason="x")
        transaction.set_rollback(True, using="audit")
    assert len(told(as_role)) == int(apart)


def test_only_open_dead_letters_are_counted(
    early: list[Record], projector: Projector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.survey.SECONDS", 0)

    def shown() -> float | None:
        return REGISTRY.get_sample_value("auditlog_consumer_open_dead_letters", {"reason": "out_of_horizon"})

    Survey(Nothing(), projector).look()
    assert shown() == 3
    decide("discard", "--id", str(letters()[0].id), "--reason", "test data")
    Survey(Nothing(), projector).look()
    assert shown() == 2
