"""Records are made again out of the read model, and stand on a topic as they stood before."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.conf import settings
from django.db import connections
from django.utils import timezone

from auditlog.context import set_actor, set_reason
from auditlog.events import record as record_event
from auditlog.events import record_access
from auditlog.models import AuditLog, ContentChunk, EventShape
from auditlog.roles import Role
from consumers import originals
from consumers.kafka import NotWritten, TopicReader, TopicWriter
from consumers.projector import Projector
from consumers.records import Batch, Partition, Record
from doctors.models import Appointment, Doctor, Patient, Specialty
from tests.integration.consumers.captured import published
from tests.integration.consumers.conftest import acting_as
from tests.integration.consumers.topics import Topic, events, new_prefix
from tests.samples.models import Manuscript

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])


@pytest.fixture
def reader() -> Iterator[TopicReader]:
    with TopicReader(connection=settings.KAFKA_CONNECTION) as reading:
        yield reading


def store(records: list[Record]) -> None:
    """Store records, each partition from its first offset on."""
    with acting_as(Role.CONSUMER):
        batch = Batch(tuple(records), {record.partition: None for record in records})
        assert Projector(group="test").store(batch).dead_letters == 0


def parsed(value: bytes | None) -> Any:
    """Return JSON with every digit."""
    return json.loads(value or b"", parse_float=Decimal)


def same(made: list[Record], before: list[Record]) -> None:
    """Fail unless these are the same records, in this order."""
    assert [(r.partition, r.offset, r.key, r.headers) for r in made] == [
        (r.partition, r.offset, r.key, r.headers) for r in before
    ]
    assert [parsed(r.value) for r in made] == [parsed(r.value) for r in before]


def test_what_capture_wrote_is_made_again_out_of_the_read_model(read_model: None) -> None:
    with set_actor("importer"), set_reason('because "ä" \\ \u2028'):
        doctor = Doctor.objects.create(first_name="Ada", last_name="Byron", consultation_fee=Decimal("120.50"))
        doctor.tax_id = "secret"
        doctor.save()
        doctor.specialties.add(Specialty.objects.create(name="Cardiology"))
        record_event(doctor, action="activated", data={"zeta": 1.5e-7, "a": {"y": None, "b": [1, 2.50]}})
        Manuscript.objects.create(body="x" * 100_000)
        doctor.delete()
    before = published()
    assert len(before) >= 7
    store(before)
    ids = [record.header("ce_id") for record in before]
    made = list(originals.by_ids(connections["audit"], [_uuid(event_id) for event_id in ids]))
    chunks = [r for r in before if r.partition.topic.endswith(".blobs")]
    assert chunks
    same(made, chunks + [r for r in before if r not in chunks])
    assert EventShape.objects.using("audit").count() < len(before) + 1


def test_accesses_to_different_patients_share_a_shape_and_are_made_again(read_model: None) -> None:
    doctor = Doctor.objects.create(first_name="Ada", last_name="Byron")
    start = timezone.now()
    for number in range(3):
        patient = Patient.objects.create(last_name=f"Noor {number}")
        begin = start + timedelta(hours=number)
        visit = Appointment.objects.create(doctor=doctor, patient=patient, start=begin, end=begin + timedelta(hours=1))
        record_access(visit)
    before = [record for record in published() if record.partition.topic.endswith("appointment.events")]
    store(before)
    about = AuditLog.objects.using("audit").values_list("subjects", flat=True)
    assert [len(subjects) for subjects in about] == [2, 2, 2]
    assert EventShape.objects.using("audit").count() == 1
    ids = [_uuid(record.header("ce_id")) for record in before]
    same(list(originals.by_ids(connections["audit"], ids)), before)


def _uuid(text: bytes | None) -> Any:
    return AuditLog._meta.get_field("event_id").to_python((text or b"").decode())


def test_bytes_that_were_stored_before_are_found_for_a_repeated_chunk(read_model: None) -> None:
    Manuscript.objects.create(body="x" * 100_000)
    (chunk,) = [r for r in published() if r.partition.topic.endswith(".blobs")]
    again = json.loads(chunk.value or b"")
    again["event_id"] = again["event_id"].replace("-7", "-7", 1)[:-4] + "0000"
    repeated = Record(chunk.partition, chunk.offset + 1, chunk.key, json.dumps(again).encode())
    store([chunk, repeated])
    assert ContentChunk.objects.using("audit").filter(data__isnull=True).count() == 1
    now = timezone.now()
    made = list(
        originals.of_topic(
            connections["audit"], topic=chunk.partition.topic, since=now - timedelta(hours=1), until=now + timedelta(1)
        )
    )
    assert {parsed(r.value)["event_id"]: parsed(r.value)["data"] for r in made} == {
        parsed(chunk.value)["event_id"]: again["data"],
        again["event_id"]: again["data"],
    }


def test_an_event_that_was_stored_without_a_shape_is_said_so(read_model: None) -> None:
    (value,) = events(1)
    at = Partition("test.doctors.doctor", 0)
    store([Record(at, 0, b"17", json.dumps(value).encode())])
    with connections["default"].cursor() as cursor:
        cursor.execute("UPDATE auditlog_auditlog SET shape = NULL")
    with pytest.raises(originals.WithoutShape, match=value["audit"]["event_id"]):
        list(originals.by_ids(connections["audit"], [value["audit"]["event_id"]]))


def test_a_topic_is_written_again_and_read_by_its_offsets(read_model: None, reader: TopicReader) -> None:
    topic = Topic(partitions=3)
    topic.create()
    Doctor.objects.create(first_name="Ada", last_name="Byron")
    Doctor.objects.create(first_name="Eve", last_name="Byron")
    before = [
        Record(Partition(topic.name, 0), n, r.key, r.value, r.headers)
        for n, r in enumerate(r for r in published() if r.partition.topic.endswith("doctors.doctor"))
    ]
    assert TopicWriter(connection=settings.KAFKA_CONNECTION).write(before) == len(before) == 2
    bounds = reader.bounds(topic.name)
    assert sum(end - start for start, end in bounds.values()) == 2
    found = [r for at, (start, end) in bounds.items() for r in reader.read(at, start=start, end=end)]
    assert {(r.key, r.value, r.headers) for r in found} == {(r.key, r.value, r.headers) for r in before}


def test_records_are_found_by_their_time_and_up_to_an_offset(reader: TopicReader) -> None:
    topic = Topic()
    topic.create()
    topic.produce(events(5))
    at = Partition(topic.name, 0)
    assert [r.offset for r in reader.read(at, start=1, end=3)] == [1, 2]
    assert reader.offset_at(at, datetime(2020, 1, 1, tzinfo=UTC)) == 0
    assert reader.offset_at(at, timezone.now() + timedelta(days=1)) is None
    topic.truncate(partition=0, before=4)
    assert reader.bounds(topic.name) == {at: (4, 5)}
    assert reader.bounds(f"{new_prefix()}.absent") == {}


def test_records_for_a_topic_that_is_not_there_are_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(settings.KAFKA_CONNECTION, "message.timeout.ms", 2_000)
    monkeypatch.setattr("consumers.kafka.writer.PROPERTIES", {"message.timeout.ms": 2_000, "log_level": 0})
    absent = Record(Partition(f"{new_prefix()}.absent!", 0), 0, b"17", b"{}")
    with pytest.raises(NotWritten):
        TopicWriter(connection=settings.KAFKA_CONNECTION).write([absent])
