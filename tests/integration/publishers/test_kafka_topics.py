"""`kafka_topics`: what it plans, makes, changes and refuses on a real broker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from io import StringIO
from threading import Barrier, Thread
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from django.conf import LazySettings
from django.core.management import CommandError, call_command

from auditlog import topics
from auditlog.roles import Role
from tests.conftest import WaitUntil
from tests.integration.consumers.conftest import acting_as
from tests.integration.publishers.topics import Broker, few_topics

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])
COMMAND = "publishers.management.commands.kafka_topics"


@pytest.fixture(autouse=True)
def a_few_topics(settings: LazySettings, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A few topics of the test's own, made by the relay's role."""
    settings.AUDITLOG_TOPIC_PREFIX = topic_prefix
    settings.KAFKA_TOPIC_PARTITIONS = 2
    monkeypatch.setattr("auditlog.topics.all_topics", lambda: few_topics(topic_prefix))
    with acting_as(Role.RELAY, alias="default"):
        yield


def ran(*arguments: str) -> tuple[dict[str, Any], str]:
    """Run the command; returns its report, and what it failed with."""
    out, failed = StringIO(), ""
    try:
        call_command("kafka_topics", *arguments, "--json", stdout=out)
    except CommandError as exc:
        failed = str(exc)
    report: dict[str, Any] = json.loads(out.getvalue())
    return report, failed


def test_topics_are_planned_then_made_and_then_left_alone(broker: Broker, settings: LazySettings) -> None:
    settings.KAFKA_TOPIC_MAX_MESSAGE_BYTES = 1_500_000
    wanted = topics.all_topics()
    assert f"{settings.AUDITLOG_TOPIC_PREFIX}.doctors.doctor.events" in wanted
    planned, failed = ran("--dry-run")
    assert (planned["missing"], planned["created"], failed) == (wanted, [], "")
    assert ran("--check")[1] == "There is something to do."
    made, failed = ran()
    assert (made["missing"], made["created"], failed) == (wanted, wanted, "")
    found = AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics(timeout=10).topics
    assert {len(found[name].partitions) for name in wanted} == {2}
    kept = broker.settings(wanted[0])
    assert {name: kept[name] for name in ("cleanup.policy", "retention.ms", "retention.bytes")} == {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
    }
    assert (kept["min.insync.replicas"], kept["max.message.bytes"]) == ("1", "1500000")
    nothing: dict[str, Any] = {
        "missing": [],
        "created": [],
        "differing": {},
        "altered": [],
        "refused": {},
        "failed": {},
    }
    assert ran() == (nothing, "")
    assert ran("--check") == (nothing, "")


def test_settings_that_drifted_are_shown_and_then_put_right(broker: Broker, wait_until: WaitUntil) -> None:
    ran()
    name, other = topics.all_topics()[:2]
    broker.configure(name, "retention.ms", "1000")
    broker.configure(other, "max.message.bytes", "2000000")
    wait_until(lambda: broker.settings(name)["retention.ms"] == "1000")
    wait_until(lambda: broker.settings(other)["max.message.bytes"] == "2000000")
    out = StringIO()
    call_command("kafka_topics", "--dry-run", stdout=out)
    assert out.getvalue() == f"~ {name}: retention.ms 1000 -> -1\n"
    report, failed = ran()
    assert (report["differing"], report["altered"], failed) == ({name: {"retention.ms": ["1000", "-1"]}}, [name], "")
    wait_until(lambda: broker.settings(name)["retention.ms"] == "-1")
    # Let through by an operator what was parked: it stays so.
    assert broker.settings(other)["max.message.bytes"] == "2000000"


def test_compaction_and_another_number_of_partitions_are_refused_and_the_others_are_made(broker: Broker) -> None:
    wanted = topics.all_topics()
    compacted, narrow = wanted[0], wanted[1]
    broker.create(compacted, partitions=2, config={"cleanup.policy": "compact"})
    broker.create(narrow, partitions=1)
    report, failed = ran()
    assert report["created"] == wanted[2:]
    assert set(report["refused"]) == {compacted, narrow}
    assert f"{compacted} cleanup.policy is compact" in failed
    assert f"kafka_topics move {narrow} --partitions 2" in failed
    assert broker.settings(compacted)["cleanup.policy"] == "compact"
    assert len(AdminClient({"bootstrap.servers": broker.bootstrap}).list_topics().topics[narrow].partitions) == 1


def test_a_refusal_by_the_brokers_is_told_for_each_topic_in_their_words(settings: LazySettings) -> None:
    settings.KAFKA_TOPIC_REPLICATION_FACTOR = 3
    report, failed = ran()
    assert report["created"] == []
    assert set(report["failed"]) == set(topics.all_topics())
    for name in topics.all_topics():
        assert f"{name}: INVALID_REPLICATION_FACTOR: " in failed


def test_a_name_that_the_brokers_refuse_keeps_no_other_topic_from_being_made(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = topics.all_topics()[:2]
    impossible = f"{wanted[0]}.{'x' * 250}"
    monkeypatch.setattr("auditlog.topics.all_topics", lambda: sorted([*wanted, impossible]))
    report, failed = ran()
    assert (report["created"], list(report["failed"])) == (wanted, [impossible])
    assert f"{impossible}: TOPIC_EXCEPTION: " in failed


def test_two_runs_at_once_make_each_topic_once_and_both_succeed() -> None:
    barrier, reports = Barrier(2), []

    def run() -> None:
        with acting_as(Role.RELAY, alias="default"):
            barrier.wait()
            reports.append(ran())

    threads = [Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [failed for _, failed in reports] == ["", ""]
    assert ran("--check")[1] == ""


def test_topics_cannot_be_made_where_no_broker_answers(settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{COMMAND}.TIMEOUT_SECONDS", 0.5)
    settings.KAFKA_CONNECTION = {"bootstrap.servers": "127.0.0.1:1"}
    with pytest.raises(CommandError, match=r"No Kafka broker answers: .*\n\(KAFKA_BOOTSTRAP_SERVERS=127\.0\.0\.1:1\)"):
        call_command("kafka_topics")
