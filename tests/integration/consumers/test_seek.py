"""Planned moves of offsets: shown first, audited, followed by consumers that run, and never a silent skip."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.utils import timezone
from prometheus_client import REGISTRY

from auditlog.context import set_actor
from auditlog.models import AuditLog
from auditlog.roles import Role
from consumers.models import DeadLetter
from consumers.projector import Projector
from tests.integration.consumers.conftest import GROUP, Connect, acting_as, stored_ids
from tests.integration.consumers.test_dead_letters import told
from tests.integration.consumers.test_kafka import Reader, next_offsets, stored_count
from tests.integration.consumers.topics import Topic, events, ids_of

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch, read_model: None) -> Iterator[Topic]:
    """A topic of one partition; its consumers look often for what others have moved."""
    monkeypatch.setattr("consumers.survey.SECONDS", 0.1)
    made = Topic()
    made.create()
    with acting_as(Role.CONSUMER, alias="default"):
        yield made
    made.delete()


def seek(topic: Topic, *arguments: str) -> dict[str, Any]:
    """Run the command as somebody, and return its report."""
    out = StringIO()
    with set_actor("night shift"):
        call_command("consumer_seek", "--group", GROUP, "--topic", topic.name, *arguments, "--json", stdout=out)
    report: dict[str, Any] = json.loads(out.getvalue())
    return report


def metric(name: str) -> float:
    """Return a counter of this process."""
    return REGISTRY.get_sample_value(f"auditlog_consumer_{name}_total") or 0.0


def test_i6_a_topic_that_is_read_again_from_its_beginning_changes_nothing(
    topic: Topic, projector: Projector, as_role: Connect
) -> None:
    topic.produce([*events(40), b"malformed"])
    with closing(Reader(topic, projector)) as reader:
        reader.run_until(lambda: next_offsets(topic) == [41])
        before = list(AuditLog.objects.using("default").order_by("event_id").values())
        (shown,) = seek(topic, "--earliest")["moves"]
        assert (shown["from"], shown["to"], shown["read_again"], shown["skipped"]) == (41, 0, 41, 0)
        assert (next_offsets(topic), told(as_role)) == ([41], [])
        # Nothing new is on the topic: the consumer has to find out by itself.
        repeated = metric("events_repeated")
        assert seek(topic, "--earliest", "--execute", "--reason", "a drill")["moves"] == [shown]
        reader.run_until(lambda: metric("events_repeated") == repeated + 40 and next_offsets(topic) == [41])
    assert list(AuditLog.objects.using("default").order_by("event_id").values()) == before
    assert DeadLetter.objects.using("default").count() == 1
    (audit,) = told(as_role)
    assert (audit["action"], audit["reason"]) == ("consumer_offsets_moved", "a drill")
    assert audit["data"] == {"group": GROUP, "moves": [shown]}


def test_i6_a_consumer_with_a_batch_in_hand_follows_a_move(
    topic: Topic, projector: Projector, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It does not look: its next batch tells it.
    monkeypatch.setattr("consumers.survey.SECONDS", 3_600)
    values = events(60)
    topic.produce(values)
    moved: list[float] = []

    def done() -> bool:
        if not moved and stored_count() >= 20:
            moved.append(metric("events_repeated"))
            seek(topic, "--back", "15", "--execute", "--reason", "a drill")
        return stored_count() == 60 and next_offsets(topic) == [60]

    with closing(Reader(topic, projector, batch_rows=10)) as reader:
        reader.run_until(done)
    assert metric("events_repeated") == moved[0] + 15
    assert stored_ids() == ids_of(values)


def test_what_is_skipped_is_counted_allowed_and_then_missing(topic: Topic, projector: Projector) -> None:
    values = events(8)
    topic.produce(values[:3])
    with closing(Reader(topic, projector)) as reader:
        reader.run_until(lambda: next_offsets(topic) == [3])
    # Twice the same, one that is stored, and what is no event: four of seven are lost to the audit log.
    topic.produce([*values[3:7], values[3], values[0], b"malformed"])
    with pytest.raises(CommandError, match="4 events would be skipped"):
        seek(topic, "--latest", "--execute", "--reason", "a poisoned topic")
    assert next_offsets(topic) == [3]
    (move,) = seek(topic, "--latest", "--execute", "--allow-skip", "--reason", "a poisoned topic")["moves"]
    assert (move["from"], move["to"], move["skipped"], move["skipped_events"]) == (3, 10, 7, 4)
    topic.produce(values[7:])
    with closing(Reader(topic, projector)) as reader:
        reader.run_until(lambda: next_offsets(topic) == [11])
    with acting_as(Role.OWNER, alias="default"):
        connections["default"].cursor().execute(
            "INSERT INTO auditlog_outboxledger (topic, outbox_ids, event_ids, digest, relay, first_occurred_at, "
            "last_occurred_at, acknowledged_at) VALUES (%s, '{}', %s::uuid[], 0, 'x', now() - interval '1 hour', "
            "now(), now())",
            [topic.name, ids_of(values)],
        )
        out = StringIO()
        with pytest.raises(SystemExit):
            call_command("audit_reconcile", "--wait", "0", "--json", stdout=out)
    report = json.loads(out.getvalue())
    # Beside the event that tells of the move, which waits for a relay.
    assert sorted(set(report["missing"]) - set(report["pending"])) == sorted(ids_of(values[3:7]))


def test_a_partition_that_was_stopped_goes_on_where_it_is_moved_to(topic: Topic, projector: Projector) -> None:
    topic.produce(events(5))
    with closing(Reader(topic, projector)) as reader:
        reader.run_until(lambda: next_offsets(topic) == [5])
    values = events(5)
    topic.produce(values)
    topic.truncate(partition=0, before=8)
    labels = {"topic": topic.name, "partition": "0"}
    with closing(Reader(topic, projector)) as reader:
        reader.run_until(lambda: REGISTRY.get_sample_value("auditlog_consumer_partition_stopped", labels) == 1)
        with pytest.raises(CommandError, match="would be skipped"):
            seek(topic, "--earliest", "--execute", "--reason", "retention took them")
        (move,) = seek(topic, "--earliest", "--execute", "--allow-skip", "--reason", "retention took them")["moves"]
        assert (move["from"], move["to"], move["skipped_events"], move["skipped_gone"]) == (5, 8, 0, 3)
        reader.run_until(lambda: next_offsets(topic) == [10])
        assert REGISTRY.get_sample_value("auditlog_consumer_partition_stopped", labels) is None
    assert stored_ids()[5:] == ids_of(values[3:])


def test_targets_are_found_on_the_topic(topic: Topic, projector: Projector) -> None:
    topic.produce(events(5))
    with closing(Reader(topic, projector)) as reader:
        reader.run_until(lambda: next_offsets(topic) == [5])
    later = (timezone.now() + timedelta(hours=1)).isoformat()
    places = {
        ("--to-offset", "2"): [2],
        ("--back", "3"): [2],
        ("--back", "99"): [0],
        ("--back", "1h"): [0],
        ("--to-time", "2020-01-01T00:00:00Z"): [0],
        ("--to-time", later): [],
        ("--latest",): [],
    }
    assert {arguments: [move["to"] for move in seek(topic, *arguments)["moves"]] for arguments in places} == places
    with pytest.raises(CommandError, match="from 0 up to before 5"):
        seek(topic, "--to-offset", "6")
    with pytest.raises(CommandError, match="no partition 1"):
        seek(topic, "--partition", "1", "--earliest")
    with pytest.raises(CommandError, match="--reason"):
        seek(topic, "--earliest", "--execute", "--reason", " ")
    assert next_offsets(topic) == [5]
