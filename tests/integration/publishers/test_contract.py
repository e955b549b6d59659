"""What a consumer finds on a topic: the key's partition, the headers, and the very bytes of the outbox."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from doctors.models import Doctor
from publishers.kafka import PROPERTIES
from tests.integration.publishers.conftest import StartRelay
from tests.integration.publishers.rows import Outbox
from tests.integration.publishers.topics import Broker

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

# Murmur2 of these keys as the Java client's own tests state it, without the sign, modulo six.
PARTITIONS = {
    "21": 1_173_551_340 % 6,
    "foobar": 1_357_151_166 % 6,
    "abc": 479_470_107 % 6,
    "a-little-bit-long-string": 1_161_502_112 % 6,
    "a-little-bit-longer-string": 661_178_819 % 6,
    "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": 2_088_585_677 % 6,
}


def test_a_key_goes_to_the_partition_that_the_java_client_would_choose(
    broker: Broker, topic_prefix: str, outbox: Outbox, start_relay: StartRelay, wait_for_empty: Callable[[], None]
) -> None:
    topic = f"{topic_prefix}.keys"
    broker.create(topic, partitions=6)
    outbox.add(topic, *PARTITIONS)
    start_relay()
    wait_for_empty()
    assert {record.key: record.partition for record in broker.read(topic)} == PARTITIONS
    assert len(set(PARTITIONS.values())) == 4


def test_few_events_wait_for_no_others_to_travel_with(
    broker: Broker,
    topic: str,
    outbox: Outbox,
    start_relay: StartRelay,
    wait_for_empty: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Longer than anything here waits.
    monkeypatch.setitem(PROPERTIES, "linger.ms", 300_000)
    outbox.add(topic, "1", "2")
    start_relay()
    wait_for_empty()
    assert {record.key for record in broker.read(topic)} == {"1", "2"}


def test_an_event_is_published_byte_for_byte_with_the_headers_of_the_contract(
    broker: Broker,
    topic: str,
    outbox: Outbox,
    start_relay: StartRelay,
    wait_for_empty: Callable[[], None],
) -> None:
    doctor = Doctor.objects.create(first_name="Žofie", last_name="O'Neill", bio='"quoted" \N{GRINNING FACE}')
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    # The capture named the topic by its setting; the test's own stands for it.
    outbox.run(
        "UPDATE auditlog_outboxevent SET topic = %s, traceparent = %s, occurred_at = %s, timeline = 10 "
        "WHERE event_type = 'auditlog.doctors.doctor.create.v1'",
        topic,
        trace,
        datetime(2026, 11, 23, 9, 5, 0, 1, tzinfo=UTC),
    )
    row = outbox.connection.execute(
        "SELECT id, event_id::text, value, schema_version FROM auditlog_outboxevent "
        "WHERE event_type = 'auditlog.doctors.doctor.create.v1'"
    ).fetchone()
    assert row is not None
    number, event_id, value, schema_version = row
    outbox.run("DELETE FROM auditlog_outboxevent WHERE id <> %s", number)  # the doctor's profile
    start_relay()
    wait_for_empty()
    (record,) = broker.read(topic)
    assert record.key == str(doctor.pk)
    assert record.value == value.encode()
    assert json.loads(record.value)["after"]["first_name"] == "Žofie"
    assert dict(record.headers) == {
        "ce_specversion": "1.0",
        "ce_id": event_id,
        "ce_source": "/clinic",
        "ce_type": "auditlog.doctors.doctor.create.v1",
        "ce_subject": str(doctor.pk),
        "ce_time": "2026-11-23T09:05:00.000001Z",
        "ce_dataschema": schema_version,
        "ce_partitionkey": str(doctor.pk),
        "ce_sequence": f"0000000A:{number:020d}",
        "content-type": "application/json",
        "traceparent": trace,
    }
    assert len(record.headers) == 11
