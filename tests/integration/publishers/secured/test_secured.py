"""SASL, TLS and access rules against a real broker that demands them: who may does, who may not is told why."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from confluent_kafka.admin._acl import AclOperation
from confluent_kafka.admin._resource import ResourceType

from auditlog.roles import Role
from tests.conftest import RoleUrl, WaitUntil
from tests.integration.consumers.processes import consumer, environment
from tests.integration.publishers.conftest import StartProcess
from tests.integration.publishers.processes import ROOT, RelayProcess
from tests.integration.publishers.rows import Outbox
from tests.integration.publishers.secured.broker import NARROW, NARROW_PASSWORD, PASSWORD, SecuredBroker
from tests.integration.publishers.secured.certificates import Authority
from tests.integration.publishers.topics import Broker, first_appearances

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "audit"]),
    pytest.mark.processes,
]
WRONG = "wrong-horse-battery"
UNREACHABLE = "relay.waiting_for_kafka"


@contextmanager
def out_of_a_file(variables: dict[str, str], name: str, directory: Path) -> Iterator[dict[str, str]]:
    """Give a variable as a mounted secret."""
    path = directory / name
    path.write_text(variables[name] + "\n", encoding="utf-8")
    yield {**{key: value for key, value in variables.items() if key != name}, f"{name}_FILE": str(path)}
    path.unlink()


def kafka_topics(variables: dict[str, str], url: str) -> subprocess.CompletedProcess[str]:
    """Run the command as a process with these variables."""
    return subprocess.run(
        [sys.executable, "manage.py", "kafka_topics"],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "settings.local", "DATABASE_URL": url, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("way", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "certificate"])
def test_with_a_password_or_a_certificate_everything_works_in_both_directions(
    way: str,
    secured: SecuredBroker,
    topic_prefix: str,
    outbox: Outbox,
    start_process: StartProcess,
    role_url: RoleUrl,
    tmp_path: Path,
    wait_until: WaitUntil,
) -> None:
    shown = secured.certificate() if way == "certificate" else secured.password(way)
    shown["KAFKA_TOPIC_PREFIX"] = topic_prefix
    secret = "KAFKA_SSL_KEY_LOCATION" if way == "certificate" else "KAFKA_SASL_PASSWORD"
    with out_of_a_file(shown, secret, tmp_path) as variables:
        made = kafka_topics(variables, role_url(Role.RELAY))
        assert made.returncode == 0, made.stderr
        outbox.add(f"{topic_prefix}.doctors.doctor", "1", "2", value="no event, and stored as a dead letter")
        relay = start_process(**variables)
        with consumer(tmp_path / "consumer.log", environment(prefix=topic_prefix, **variables)) as reader:
            wait_until(lambda: not outbox.ids())
            wait_until(lambda: outbox.count("consumers_deadletter") == 2)
            assert (relay.terminate(), reader.terminate()) == (0, 0)
            assert PASSWORD not in relay.text() + reader.text() + made.stdout + made.stderr


def test_a_wrong_password_is_named_and_nothing_is_lost_until_it_is_right(
    secured: SecuredBroker,
    topic_prefix: str,
    outbox: Outbox,
    start_process: StartProcess,
    role_url: RoleUrl,
    tmp_path: Path,
    wait_until: WaitUntil,
) -> None:
    topic = f"{topic_prefix}.doctors.doctor"
    broker = Broker(secured.kafka.bootstrap_servers)
    broker.create(topic)
    secured.set_password("SCRAM-SHA-512", PASSWORD, user="late")
    shown = secured.password("SCRAM-SHA-512", WRONG, user="late") | {"KAFKA_TOPIC_PREFIX": topic_prefix}
    (event,) = outbox.add(topic, "1")
    refused = kafka_topics(shown, role_url(Role.RELAY))
    relay = start_process(**shown)
    with consumer(tmp_path / "consumer.log", environment(prefix=topic_prefix, **shown)) as reader:
        wait_until(lambda: "KAFKA_SASL_PASSWORD" in "".join(line["detail"] for line in relay.said(UNREACHABLE)))
        wait_until(lambda: "see KAFKA_SASL_USERNAME" in reader.text())
        assert outbox.ids() == {event.id}
        assert (refused.returncode, "see KAFKA_SASL_USERNAME" in refused.stderr) == (1, True)
        assert "Traceback" not in refused.stderr + relay.text() + reader.text()
        assert WRONG not in refused.stderr + relay.text() + reader.text()
        # As the brokers' administrators would put it right.
        secured.set_password("SCRAM-SHA-512", WRONG, user="late")
        secured.grant("late", AclOperation.ALL, ResourceType.TOPIC, topic)
        wait_until(lambda: not outbox.ids(), timeout=60)
    assert [record.outbox_id for record in broker.read(topic)] == [event.id]


def mistaken(kind: str, secured: SecuredBroker, directory: Path) -> dict[str, str]:
    """Return variables with one mistake."""
    match kind:
        case "unknown authority":
            stranger = Authority(directory, "stranger")
            return secured.certificate() | {"KAFKA_SSL_CA_LOCATION": str(stranger.certificate)}
        case "wrong host name":
            # The certificate is for localhost, not for its address.
            return secured.certificate() | {"KAFKA_BOOTSTRAP_SERVERS": secured.mtls.replace("localhost", "127.0.0.1")}
        case "expired certificate":
            return secured.certificate(days=-1)
        case _:
            own = {"KAFKA_SSL_CERTIFICATE_LOCATION", "KAFKA_SSL_KEY_LOCATION"}
            return {name: value for name, value in secured.certificate().items() if name not in own}


@pytest.mark.parametrize("kind", ["unknown authority", "wrong host name", "expired certificate", "no certificate"])
def test_a_certificate_that_is_not_trusted_is_named_tried_again_and_nothing_is_lost(
    kind: str,
    secured: SecuredBroker,
    topic_prefix: str,
    outbox: Outbox,
    start_process: StartProcess,
    tmp_path: Path,
    wait_until: WaitUntil,
) -> None:
    (event,) = outbox.add(f"{topic_prefix}.doctors.doctor", "1")
    relay: RelayProcess = start_process(**mistaken(kind, secured, tmp_path))
    wait_until(lambda: len(relay.said(UNREACHABLE)) > 1)
    said = relay.said(UNREACHABLE)[-1]["detail"]
    assert "KAFKA_SSL_CA_LOCATION" in said
    assert "KAFKA_SSL_CERTIFICATE_LOCATION" in said
    assert outbox.ids() == {event.id}
    assert relay.terminate() == 0
    assert "Traceback" not in relay.text()


def test_i5_i7_a_topic_that_may_not_be_written_to_stops_alone_and_goes_on_after_the_grant(
    secured: SecuredBroker,
    topic_prefix: str,
    outbox: Outbox,
    start_process: StartProcess,
    wait_until: WaitUntil,
) -> None:
    allowed, denied = f"{topic_prefix}.allowed", f"{topic_prefix}.denied"
    broker = Broker(secured.kafka.bootstrap_servers)
    secured.set_password("SCRAM-SHA-256", NARROW_PASSWORD, user=NARROW)
    for name in (allowed, denied):
        broker.create(name)
        secured.grant(NARROW, AclOperation.DESCRIBE, ResourceType.TOPIC, name)
        secured.grant(NARROW, AclOperation.WRITE, ResourceType.TOPIC, name)
    secured.revoke(NARROW, AclOperation.WRITE, ResourceType.TOPIC, denied)
    waiting = outbox.add(denied, "1", "2", "1", shard=5)
    relay = start_process(**secured.password("SCRAM-SHA-256", NARROW_PASSWORD, user=NARROW))
    wait_until(lambda: [line["trouble"] for line in relay.said("relay.topic_stopped")] == ["denied"])
    (event,) = outbox.add(allowed, "1", shard=5)
    wait_until(lambda: event.id in outbox.ledger())
    assert outbox.ids() == {event.id for event in waiting}
    assert outbox.parked() == {}
    secured.grant(NARROW, AclOperation.WRITE, ResourceType.TOPIC, denied)
    wait_until(lambda: not outbox.ids(), timeout=60)
    assert [line["topic"] for line in relay.said("relay.topic_resumed")] == [denied]
    assert first_appearances(broker.read(denied)) == {
        key: [event.id for event in waiting if event.key == key] for key in "12"
    }


def test_what_may_not_be_made_is_told_for_each_topic(
    secured: SecuredBroker, topic_prefix: str, role_url: RoleUrl
) -> None:
    secured.set_password("SCRAM-SHA-256", NARROW_PASSWORD, user=NARROW)
    shown = secured.password("SCRAM-SHA-256", NARROW_PASSWORD, user=NARROW) | {"KAFKA_TOPIC_PREFIX": topic_prefix}
    refused = kafka_topics(shown, role_url(Role.RELAY))
    assert refused.returncode == 1
    assert f"  {topic_prefix}.doctors.doctor.events: TOPIC_AUTHORIZATION_FAILED: " in refused.stderr
    assert "Traceback" not in refused.stderr
