"""The read model is built again from the topics, and a topic from the read model; both go on after a stop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from io import StringIO
from itertools import islice
from typing import Any

import pytest
from confluent_kafka import KafkaException
from django.conf import LazySettings, settings
from django.core.management import CommandError, call_command
from django.db import connections
from django.utils import timezone
from msgspec import structs

from auditlog.models import AuditLog, LateEvent
from auditlog.roles import Role
from consumers import originals, replay
from consumers.kafka import TopicReader, TopicWriter, partition_of
from consumers.models import DeadLetter
from consumers.projector import Projector
from consumers.records import Partition, Record
from doctors.models import Doctor
from tests.integration.consumers.captured import published
from tests.integration.consumers.conftest import Connect, acting_as
from tests.integration.consumers.processes import wait_until
from tests.integration.consumers.test_dead_letters import told
from tests.integration.consumers.test_kafka import Reader
from tests.integration.consumers.test_originals import parsed
from tests.integration.consumers.topics import Topic

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])


@pytest.fixture
def topic(read_model: None) -> Iterator[Topic]:
    """A topic with what became of 12 doctors: 36 events, four of them twice, and a malformed record."""
    made = Topic(partitions=3)
    made.create()
    doctors = [Doctor.objects.create(first_name="Ada", last_name=f"Byron {n}", slug=f"byron-{n}") for n in range(12)]
    for doctor in doctors:
        doctor.first_name = "Augusta"
        doctor.save()
    for doctor in doctors:
        doctor.delete()
    rows = [record for record in published() if record.partition.topic.endswith(".doctors.doctor")]
    records = [structs.replace(record, partition=Partition(made.name, 0)) for record in rows]
    assert len(records) == 36
    writer = TopicWriter(connection=settings.KAFKA_CONNECTION)
    assert writer.write([*records, *records[:4]]) == 40
    made.produce([b"malformed"], partition=0)
    connections["default"].cursor().execute("DELETE FROM auditlog_outboxevent")
    yield made
    made.delete()


@pytest.fixture
def consumed(topic: Topic, projector: Projector) -> Iterator[list[dict[str, Any]]]:
    """The rows of the topic, which a consumer has stored; commands act as the consumer's role."""
    _consume(topic, projector)
    with acting_as(Role.CONSUMER, alias="default"):
        yield rows()


def _consume(topic: Topic, projector: Projector) -> None:
    with TopicReader(connection=settings.KAFKA_CONNECTION) as reader:
        # Twelve keys leave a partition empty now and then, and nothing is stored from it.
        ends = {partition: end for partition, (_first, end) in reader.bounds(topic.name).items() if end}
    with closing(Reader(topic, projector, group=projector.group)) as reader:
        reader.run_until(lambda: projector.positions(ends) == ends)


def rows(*without: str) -> list[dict[str, Any]]:
    """Return the read model without when it was stored."""
    found = AuditLog.objects.order_by("event_id").values()
    when = {"stored_at", "late"}
    return [{name: value for name, value in row.items() if name not in {*when, *without}} for row in found]


def on_topic(topic: Topic) -> list[Record]:
    """Return the records of a topic, partition by partition."""
    with TopicReader(connection=settings.KAFKA_CONNECTION) as reader:
        return [
            record
            for partition, (first, end) in reader.bounds(topic.name).items()
            for record in reader.read(partition, start=first, end=end)
        ]


def empty_read_model(connect: Connect) -> None:
    """Empty the read model as its owner may."""
    connect(Role.OWNER).execute("TRUNCATE auditlog_auditlog")


def recreate(topic: Topic) -> None:
    """Lose a topic, and make it anew."""
    topic.delete()

    def created() -> bool:
        try:
            topic.create()
        except KafkaException:  # it is still being deleted
            return False
        return True

    wait_until(created)


def run(*arguments: str) -> dict[str, Any]:
    """Run the command and return its report."""
    out = StringIO()
    call_command("audit_replay", *arguments, "--reason", "a drill", "--json", stdout=out)
    report: dict[str, Any] = json.loads(out.getvalue())
    return report


def test_i6_an_emptied_read_model_is_built_again_row_for_row(
    topic: Topic, consumed: list[dict[str, Any]], as_role: Connect, settings: LazySettings
) -> None:
    empty_read_model(as_role)
    settings.CONSUMER_BATCH_ROWS = 5
    with TopicReader(connection=settings.KAFKA_CONNECTION) as reader:
        spans = replay.spans(reader, topic.name, since=None, until=None)
        interrupted = Projector(group="replay-drill")
        first = list(islice(replay.to_read_model(spans, reader=reader, projector=interrupted, batch_rows=5), 2))
    read = sum(step.stored.events + step.stored.repeated + step.stored.dead_letters for step in first)
    report = run("read-model", "--topic", topic.name, "--name", "drill")
    assert (0 < read <= 10, report["read"]) == (True, 41 - read)
    assert len(consumed) == 36
    assert rows() == consumed
    # Whoever has seen them once is to see them again.
    assert LateEvent.objects.count() == AuditLog.objects.filter(late__isnull=False).count() == 36
    assert DeadLetter.objects.count() == 1
    assert run("read-model", "--topic", topic.name, "--name", "drill")["read"] == 0
    again = run("read-model", "--topic", topic.name)
    assert (again["stored"], again["repeated"], again["dead_letters"]) == (0, 40, 1)
    assert rows() == consumed
    assert {audit["action"] for audit in told(as_role)} == {"audit_log_replayed"}


def test_a_window_of_a_topic_is_replayed(topic: Topic, consumed: list[dict[str, Any]], as_role: Connect) -> None:
    empty_read_model(as_role)
    now = timezone.now().isoformat()
    assert run("read-model", "--topic", topic.name, "--from", now)["read"] == 0
    assert run("read-model", "--topic", topic.name, "--to", "2020-01-01")["read"] == 0
    assert run("read-model", "--topic", topic.name, "--to", now)["stored"] == 36


def test_i4_i6_a_lost_topic_is_filled_out_of_the_read_model(
    topic: Topic, consumed: list[dict[str, Any]], as_role: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    before: dict[Any, Record] = {}
    for record in on_topic(topic):
        if record.value != b"malformed":
            before.setdefault(record.header("ce_id"), record)
    recreate(topic)
    monkeypatch.setattr("consumers.replay.WRITTEN_AT_ONCE", 7)
    writer = TopicWriter(connection=settings.KAFKA_CONNECTION)
    audit = connections["audit"]
    records = originals.of_topic(audit, topic=topic.name, since=timezone.now().replace(year=2020), until=timezone.now())
    interrupted = replay.to_topic(
        records,
        there={number: iter(()) for number in range(3)},
        partition_of=lambda key: partition_of(key, partitions=3),
        write=writer.write,
    )
    assert next(interrupted) == (0, 7)
    # Lets the statement go, as the end of a process does.
    del interrupted, records
    report = run("topic", "--topic", topic.name)
    assert (report["found"], report["written"]) == (7, 29)
    made = on_topic(topic)
    assert [one.header("ce_id") for one in sorted(made, key=lambda one: one.header("ce_sequence") or b"")] == sorted(
        before, key=lambda event_id: before[event_id].header("ce_sequence") or b""
    )
    for one in made:
        original = before[one.header("ce_id")]
        assert (one.partition, one.key, one.headers) == (original.partition, original.key, original.headers)
        assert parsed(one.value) == parsed(original.value)
    assert {key: _sequences(made, key) for key in _keys(made)} == {
        key: _sequences(before.values(), key) for key in _keys(made)
    }
    assert run("topic", "--topic", topic.name)["written"] == 0
    # Another group fills an empty table out of the new topic.
    empty_read_model(as_role)
    _consume(topic, Projector(group="another"))
    assert rows("offset") == [{name: value for name, value in row.items() if name != "offset"} for row in consumed]


def _keys(records: Any) -> set[bytes | None]:
    return {record.key for record in records}


def _sequences(records: Any, key: bytes | None) -> list[bytes | None]:
    return [record.header("ce_sequence") for record in records if record.key == key]


def test_a_topic_to_which_somebody_else_wrote_is_left_alone(topic: Topic, consumed: list[dict[str, Any]]) -> None:
    newest = max(on_topic(topic), key=lambda record: record.header("ce_sequence") or b"")
    recreate(topic)
    TopicWriter(connection=settings.KAFKA_CONNECTION).write([newest])
    with pytest.raises(CommandError, match="is not the next of this replay"):
        run("topic", "--topic", topic.name)
    assert len(on_topic(topic)) == 1
