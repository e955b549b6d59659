"""What is missing is restored from where it still is, with the same ids; what is nowhere is named."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings as configured
from django.core.management import CommandError, call_command
from django.db import connections
from django.utils import timezone
from pytest_django.fixtures import Settings

from auditlog.models import AuditLog, LateEvent
from auditlog.roles import Role
from consumers.kafka import TopicReader, TopicWriter
from consumers.models import ReconciledMinute
from consumers.projector import Projector
from consumers.records import Batch, Partition, Record
from publishers import ledger
from tests.conftest import ConnectAs
from tests.integration.consumers.books import acknowledge, execute, reconciled
from tests.integration.consumers.conftest import acting_as
from tests.integration.consumers.test_proof import Proof
from tests.integration.consumers.topics import Topic
from tests.unit.consumers.builders import event, uuid7

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])
REPAIR = ("--repair", "--reason", "records were deleted by mistake")


class Stand:
    """Events that committed, that stand on a topic of their own, and that are stored."""

    def __init__(self, count: int, *, age: timedelta = timedelta(0)) -> None:
        """`age` is how long ago all of it happened."""
        self.topic = Topic()
        self.topic.create()
        self.at: datetime = timezone.now() - age
        self.ids: list[UUID] = [uuid7(self.at) for _ in range(count)]
        self.records = [self._record(number, event_id) for number, event_id in enumerate(self.ids)]
        TopicWriter(connection=configured.KAFKA_CONNECTION).write(self.records)
        acknowledge(*self.ids, at=self.at, topic=self.topic.name, acknowledged_at=self.at)
        place = Partition(self.topic.name, 0)
        with acting_as(Role.CONSUMER):
            Projector(group="test").store(Batch(tuple(self.records), {place: None}))

    def _record(self, number: int, event_id: UUID) -> Record:
        sequence = f"00000001:{number:020d}"
        value = event(at=self.at, event_id=str(event_id), object_pk=str(number))
        value["source"]["sequence"] = sequence
        headers = (
            ("ce_specversion", b"1.0"),
            ("ce_id", str(event_id).encode()),
            ("ce_type", b"auditlog.doctors.doctor.update.v1"),
            ("ce_sequence", sequence.encode()),
        )
        key = str(number).encode()
        return Record(Partition(self.topic.name, 0), number, key, json.dumps(value).encode(), headers)

    def remove_rows(self, *numbers: int) -> None:
        """Remove rows of the read model, as only their owner can."""
        execute("DELETE FROM auditlog_auditlog WHERE event_id = ANY(%s)", [[self.ids[number] for number in numbers]])

    def on_topic(self) -> list[Record]:
        """Return what stands on the topic."""
        return read_all(self.topic)

    def stored(self) -> dict[UUID, dict[str, Any]]:
        """Return the rows without when they were stored."""
        rows = AuditLog.objects.using("default").filter(event_id__in=self.ids).values()
        when = {"stored_at", "late"}
        return {row["event_id"]: {name: value for name, value in row.items() if name not in when} for row in rows}


@pytest.fixture
def stand(read_model: None) -> Stand:
    return Stand(5)


def repaired(*arguments: str) -> tuple[dict[str, Any], int]:
    """Repair with the roles of the command: who reads the outbox and tells, who stores."""
    with acting_as(Role.RELAY, alias="default"), acting_as(Role.CONSUMER):
        return reconciled(*REPAIR, *arguments)


def told() -> list[dict[str, Any]]:
    """Return the events of the system that wait in the outbox."""
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT value FROM auditlog_outboxevent WHERE topic LIKE '%%auditlog.system.events' ORDER BY id")
        return [json.loads(value)["audit"] for (value,) in cursor.fetchall()]


def same(found: list[Record], expected: list[Record]) -> None:
    """Fail unless these records have the same keys, headers and values, number for number."""
    assert [(record.key, record.headers) for record in found] == [(record.key, record.headers) for record in expected]
    assert [json.loads(record.value or b"") for record in found] == [
        json.loads(record.value or b"") for record in expected
    ]


def test_rows_that_the_owner_removed_come_back_from_the_topic(stand: Stand) -> None:
    before = stand.stored()
    stand.remove_rows(1, 3)
    lost = sorted(str(stand.ids[number]) for number in (1, 3))
    report, code = reconciled()
    assert (report["missing"], code) == (lost, 1)
    report, code = repaired()
    assert code == 0
    assert sorted(report["restored"]["read_model"]) == lost
    assert (report["missing"], report["unrecoverable"]) == ([], [])
    assert stand.stored() == before
    assert {str(one.event_id) for one in LateEvent.objects.filter(number__gt=5)} == set(lost)
    (about,) = told()
    assert (about["action"], about["reason"]) == ("events_restored", REPAIR[2])
    assert sorted(about["data"]["events"]) == lost
    assert about["data"]["restored_to"] == "read_model"


def test_a_repair_of_what_is_whole_changes_nothing(stand: Stand) -> None:
    before = stand.stored()
    report, code = repaired("--topics")
    assert (report["restored"], code) == ({"read_model": [], "topic": []}, 0)
    assert (stand.stored(), told(), len(stand.on_topic())) == (before, [], 5)


def test_records_that_a_topic_lost_are_published_again_from_the_read_model(stand: Stand) -> None:
    stand.topic.truncate(partition=0, before=3)
    lost = sorted(str(event_id) for event_id in stand.ids[:3])
    report, code = reconciled("--topics")
    assert (sorted(report["lost_on_topic"]), code) == (lost, 1)
    report, code = repaired("--topics")
    assert code == 0
    assert sorted(report["restored"]["topic"]) == lost
    found = stand.on_topic()
    same(found[:2], stand.records[3:])
    same(found[2:], stand.records[:3])
    assert [about["data"]["restored_to"] for about in told()] == ["topic"]
    # What tells of the repair waits in the outbox: it is younger.
    again, code = repaired("--topics", "--to", (stand.at + timedelta(milliseconds=1)).isoformat())
    assert (again["restored"]["topic"], code, len(stand.on_topic())) == ([], 0, 5)


def test_a_topic_that_was_deleted_and_made_anew_is_filled_again(stand: Stand) -> None:
    stand.topic.delete()
    with TopicReader(connection=configured.KAFKA_CONNECTION) as reader:
        while reader.bounds(stand.topic.name):
            pass
    stand.topic.create()
    report, code = repaired("--topics")
    assert (len(report["restored"]["topic"]), code) == (5, 0)
    same(stand.on_topic(), stand.records)


def test_records_of_a_topic_that_was_moved_are_published_again_where_it_is_now(
    stand: Stand, settings: Settings
) -> None:
    settings.AUDITLOG_TOPIC_PREFIX = stand.topic.name.partition(".")[0]
    moved, unused = (Topic(f"{stand.topic.name}.v{number}", partitions=3) for number in (2, 10))
    moved.create()
    moved.produce([b"an event since the move"])
    # A move that was not finished leaves a topic behind that nothing goes to.
    unused.create()
    stand.topic.truncate(partition=0, before=2)
    report, code = repaired("--topics")
    assert (sorted(report["restored"]["topic"]), code) == (sorted(str(one) for one in stand.ids[:2]), 0)
    same(stand.on_topic(), stand.records[2:])
    again = [record for record in read_all(moved) if record.header("ce_id")]
    same(sorted(again, key=lambda record: record.key or b""), stand.records[:2])
    assert read_all(unused) == []


def read_all(topic: Topic) -> list[Record]:
    """Return what stands on a topic."""
    with TopicReader(connection=configured.KAFKA_CONNECTION) as reader:
        bounds = reader.bounds(topic.name)
        return [record for at, (start, end) in bounds.items() for record in reader.read(at, start=start, end=end)]


class Remembered:
    """Events of which the ledger has forgotten the ids, and what the continuous proof remembers of them."""

    def __init__(self, connect_as: ConnectAs) -> None:
        self.stand = Stand(5, age=timedelta(hours=30))
        self.proof = Proof()
        self.proof.round()
        assert ledger.purge(connect_as(Role.RELAY), days=1, rows=10) == 1

    def changed(self, *, stored: int) -> list[dict[str, Any]]:
        """Return what a report says where so many are stored."""
        minute = self.stand.at.replace(second=0, microsecond=0).isoformat()
        return [{"topic": self.stand.topic.name, "minute": minute, "remembered": 5, "stored": stored}]

    def open_minutes(self) -> int:
        """Return how many topics and minutes differ, as the continuous proof has it."""
        with acting_as(Role.CONSUMER):
            return ReconciledMinute.objects.using("audit").filter(is_open=True).count()


@pytest.fixture
def remembered(read_model: None, connect_as: ConnectAs) -> Remembered:
    return Remembered(connect_as)


def test_a_minute_that_the_ledger_has_forgotten_is_restored_from_the_topic(remembered: Remembered) -> None:
    before = remembered.stand.stored()
    remembered.stand.remove_rows(1, 3)
    remembered.proof.round()
    assert remembered.open_minutes() == 1
    report, code = reconciled()
    assert (report["missing"], report["forgotten"], code) == ([], remembered.changed(stored=3), 1)
    report, code = repaired()
    assert sorted(report["restored"]["read_model"]) == sorted(str(remembered.stand.ids[number]) for number in (1, 3))
    assert (report["forgotten"], code) == ([], 0)
    assert remembered.stand.stored() == before
    remembered.proof.round()
    assert remembered.open_minutes() == 0


def test_what_changed_in_a_forgotten_minute_is_found_in_the_window_that_is_asked_for(remembered: Remembered) -> None:
    """Also before the continuous proof comes by again."""
    remembered.stand.remove_rows(4)
    window = ("--from", "2020-01-01T00:00:00Z")
    assert reconciled()[0]["forgotten"] == []
    report, code = reconciled(*window)
    assert (report["forgotten"], code) == (remembered.changed(stored=4), 1)
    report, code = repaired(*window)
    assert (report["restored"]["read_model"], report["forgotten"], code) == ([str(remembered.stand.ids[4])], [], 0)


def test_what_a_forgotten_minute_lost_on_both_sides_stays_a_difference(remembered: Remembered) -> None:
    remembered.stand.topic.truncate(partition=0, before=2)
    remembered.stand.remove_rows(0, 4)
    remembered.proof.round()
    report, code = repaired()
    assert report["restored"]["read_model"] == [str(remembered.stand.ids[4])]
    assert (report["forgotten"], code) == (remembered.changed(stored=4), 1)


def test_what_is_on_neither_side_is_named_and_fails_the_command(stand: Stand) -> None:
    stand.topic.truncate(partition=0, before=2)
    stand.remove_rows(0, 4)
    report, code = repaired("--topics")
    assert code == 1
    assert report["unrecoverable"] == [str(stand.ids[0])]
    assert report["missing"] == [str(stand.ids[0])]
    assert report["restored"]["read_model"] == [str(stand.ids[4])]
    assert report["restored"]["topic"] == [str(stand.ids[1])]


def test_a_record_that_is_dated_by_a_wrong_clock_is_found(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    """The relay's clock was hours behind: the record seems to be older than its event."""
    stand.remove_rows(2)
    monkeypatch.setattr(TopicReader, "offset_at", lambda *_: None)
    report, code = repaired("--topics")
    assert (report["restored"], code) == ({"read_model": [str(stand.ids[2])], "topic": []}, 0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--repair"], "reason"),
        (["--repair", "--reason", " "], "reason"),
        (["--every", "1", "--topics"], "repairs nothing"),
        (["--every", "0"], "more than 0"),
    ],
)
def test_arguments_that_contradict_each_other_are_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        call_command("audit_reconcile", *arguments)
