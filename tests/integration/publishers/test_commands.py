"""What operators run: topics, status, the relay itself."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource
from confluent_kafka.admin._resource import ResourceType
from django.conf import LazySettings
from django.core.management import CommandError, call_command

from auditlog import topics
from auditlog.roles import Role
from devstack.ports import free_port
from tests.conftest import RoleUrl, WaitUntil
from tests.integration.consumers.conftest import acting_as
from tests.integration.publishers.conftest import StartProcess, StartRelay
from tests.integration.publishers.rows import Outbox
from tests.integration.publishers.topics import Broker

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])


def report_of(*arguments: str) -> dict[str, Any]:
    """Run a command and return its JSON report."""
    out = StringIO()
    call_command(*arguments, "--json", stdout=out)
    report: dict[str, Any] = json.loads(out.getvalue())
    return report


@pytest.fixture
def prefix(settings: LazySettings, topic_prefix: str) -> str:
    """A prefix of the test's own."""
    settings.AUDITLOG_TOPIC_PREFIX = topic_prefix
    return topic_prefix


def test_topics_are_said_to_be_missing_then_made_and_then_left_alone(
    prefix: str, broker: Broker, settings: LazySettings
) -> None:
    settings.KAFKA_TOPIC_PARTITIONS = 2
    wanted = topics.all_topics()
    assert f"{prefix}.doctors.doctor.events" in wanted
    assert report_of("kafka_topics", "--dry-run") == {"missing": wanted, "created": []}
    assert report_of("kafka_topics") == {"missing": wanted, "created": wanted}
    admin = AdminClient({"bootstrap.servers": broker.bootstrap})
    found = admin.list_topics(timeout=10).topics
    assert all(len(found[name].partitions) == 2 for name in wanted)
    resource = ConfigResource(ResourceType.TOPIC, f"{prefix}.doctors.doctor")
    config = admin.describe_configs([resource])[resource].result()
    kept = {name: config[name].value for name in ("cleanup.policy", "retention.ms", "retention.bytes")}
    assert kept == {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
    assert config["min.insync.replicas"].value == "1"
    assert report_of("kafka_topics") == {"missing": [], "created": []}


def test_a_refusal_to_make_topics_is_told_in_the_brokers_words(prefix: str, settings: LazySettings) -> None:
    settings.KAFKA_TOPIC_REPLICATION_FACTOR = 3
    with pytest.raises(CommandError, match="did not create") as refused:
        call_command("kafka_topics")
    assert f"{prefix}.doctors.doctor: " in str(refused.value)
    assert "eplication factor" in str(refused.value)


def test_topics_cannot_be_made_where_no_broker_answers(
    prefix: str, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("publishers.management.commands.kafka_topics.TIMEOUT_SECONDS", 0.5)
    settings.KAFKA_CONNECTION = {"bootstrap.servers": "127.0.0.1:1"}
    with pytest.raises(CommandError, match=r"No Kafka broker answers: .*\n\(KAFKA_BOOTSTRAP_SERVERS=127\.0\.0\.1:1\)"):
        call_command("kafka_topics")


def test_the_status_tells_what_waits_what_is_parked_and_who_publishes(
    outbox: Outbox, topic: str, start_relay: StartRelay, wait_until: WaitUntil
) -> None:
    with acting_as(Role.READER, alias="default"):
        assert report_of("outbox_status") == {"pending": 0, "oldest_seconds": None, "parked": 0, "shards": []}
        parked, waiting = outbox.add(topic, "1", "1")
        outbox.run(
            "UPDATE auditlog_outboxevent SET occurred_at = now() - interval '90 seconds', "
            "parked_at = CASE WHEN id = %s THEN now() END",
            parked.id,
        )
        relay = start_relay()
        wait_until(lambda: len(outbox.owners()) == 64)
        report = report_of("outbox_status")
    assert (report["pending"], report["parked"]) == (1, 1)
    assert 90 <= report["oldest_seconds"] < 120
    assert [shard["shard"] for shard in report["shards"]] == list(range(64))
    first = report["shards"][0]
    assert (first["owner"], first["epoch"] > 0, set(first)) == (
        relay.leases.owner,
        True,
        {"shard", "owner", "epoch", "until"},
    )
    assert outbox.ids() == {parked.id, waiting.id}


@pytest.mark.processes
def test_a_relay_serves_its_metrics(
    outbox: Outbox, topic: str, start_process: StartProcess, wait_for_empty: Callable[[], None]
) -> None:
    outbox.add(topic, "1", "2", "3")
    port = free_port()
    start_process("--metrics-port", str(port))
    wait_for_empty()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as response:
        text = response.read().decode()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("auditlog_relay"))
    assert values["auditlog_relay_shards"] == "64.0"
    assert values["auditlog_relay_parked_events"] == "0.0"
    assert float(values["auditlog_relay_last_loop_timestamp_seconds"]) > 1_700_000_000


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"KAFKA_SASL_MECHANISM": "ROT13", "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"}, "KAFKA_* settings"),
        ({"DATABASE_URL": Role.APP}, "connect as auditlog_relay"),
    ],
    ids=["kafka", "role"],
)
@pytest.mark.processes
def test_a_relay_that_cannot_work_says_why_and_fails(
    start_process: StartProcess, role_url: RoleUrl, variables: dict[str, str], said: str
) -> None:
    addresses = {name: role_url(value) if name == "DATABASE_URL" else value for name, value in variables.items()}
    relay = start_process(**addresses)
    assert relay.terminate_by_itself() == 1
    assert said in relay.text()
    assert "Traceback" not in relay.text()
