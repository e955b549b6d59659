"""I7: parked events are seen, published after all, or removed, by a command whose decisions are audited themselves."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.db import connection

from auditlog.context import set_actor
from auditlog.roles import Role
from tests.conftest import RoleUrl, WaitUntil
from tests.integration.consumers.conftest import acting_as
from tests.integration.publishers.conftest import StartRelay
from tests.integration.publishers.rows import Outbox
from tests.integration.publishers.test_isolation import random_text
from tests.integration.publishers.topics import Broker, first_appearances

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])


@pytest.fixture
def narrow(broker: Broker, topic_prefix: str, settings: LazySettings) -> Iterator[str]:
    """A topic that refuses what is larger than 5 kB, and the relay's role for the commands of the test."""
    settings.AUDITLOG_TOPIC_PREFIX = topic_prefix
    broker.create(f"{topic_prefix}.narrow", config={"max.message.bytes": "5000"})
    broker.create(f"{topic_prefix}.auditlog.system.events")
    with acting_as(Role.RELAY, alias="default"):
        yield f"{topic_prefix}.narrow"


def run(*arguments: str) -> dict[str, Any]:
    """Run the command as somebody, and return its report."""
    out = StringIO()
    with set_actor("night shift"):
        call_command("outbox_requeue", *arguments, "--json", stdout=out)
    report: dict[str, Any] = json.loads(out.getvalue())
    return report


def park(outbox: Outbox, topic: str, *keys: str) -> list[Any]:
    """Put events into the outbox that a relay has parked."""
    events = outbox.add(topic, *keys)
    ids = [event.id for event in events]
    outbox.run("UPDATE auditlog_outboxevent SET parked_at = now(), parked_reason = 'x' WHERE id = ANY(%s)", ids)
    return events


def test_i7_a_parked_event_that_is_retried_comes_before_the_later_events_of_its_key(
    broker: Broker,
    narrow: str,
    outbox: Outbox,
    start_relay: StartRelay,
    wait_until: WaitUntil,
    wait_for_empty: Callable[[], None],
) -> None:
    (poison,) = outbox.add(narrow, "poisoned", value=random_text(20_000))
    later = outbox.add(narrow, "poisoned", "other", "poisoned")
    start_relay()
    wait_until(lambda: outbox.parked() and len(outbox.ids()) == 3)
    (listed,) = run("list")["results"]
    assert (listed["id"], listed["event_id"], listed["reason"]) == (poison.id, poison.event_id, "MSG_SIZE_TOO_LARGE")
    broker.configure(narrow, "max.message.bytes", "1000000")
    assert run("retry", "--id", str(poison.id), "--reason", "the topic takes more now") == {
        "requeued": [poison.event_id]
    }
    wait_for_empty()
    assert first_appearances(broker.read(narrow)) == {
        "poisoned": [poison.id, later[0].id, later[2].id],
        "other": [later[1].id],
    }


def test_i4_nothing_of_its_key_overtakes_an_event_that_the_broker_refuses(
    broker: Broker, topic_prefix: str, outbox: Outbox, start_relay: StartRelay, wait_until: WaitUntil
) -> None:
    topic = f"{topic_prefix}.wide"
    broker.create(topic, config={"max.message.bytes": "100000"})
    (poison,) = outbox.add(topic, "poisoned", value=random_text(300_000))
    # More than one request holds, from a producer that the partition has nothing of.
    later = [outbox.add(topic, "poisoned", value=random_text(50_000))[0] for _ in range(60)]
    start_relay()
    wait_until(lambda: outbox.parked() == {poison.id: "MSG_SIZE_TOO_LARGE"})
    (other,) = outbox.add(topic, "other")
    wait_until(lambda: other.id in outbox.ledger())
    assert outbox.ids() == {poison.id, *(event.id for event in later)}
    assert [record.key for record in broker.read(topic)] == ["other"]


def test_i7_what_is_refused_again_is_parked_again(
    narrow: str, outbox: Outbox, start_relay: StartRelay, wait_until: WaitUntil
) -> None:
    (poison,) = outbox.add(narrow, "poisoned", value=random_text(20_000))
    relay = start_relay()
    wait_until(outbox.parked)
    relay.stop()
    run("retry", "--all", "--reason", "try again")
    assert outbox.parked() == {}
    start_relay()
    wait_until(lambda: outbox.parked() == {poison.id: "MSG_SIZE_TOO_LARGE"})


def test_i7_a_dropped_event_is_named_by_the_event_that_says_so_and_its_key_goes_on(
    broker: Broker,
    narrow: str,
    topic_prefix: str,
    outbox: Outbox,
    start_relay: StartRelay,
    wait_for_empty: Callable[[], None],
) -> None:
    one, two = park(outbox, narrow, "a", "b")
    (later,) = outbox.add(narrow, "a")
    assert run("drop", "--topic", narrow, "--reason", "test data") == {"dropped": [one.event_id, two.event_id]}
    start_relay()
    wait_for_empty()
    assert [record.event_id for record in broker.read(narrow)] == [later.event_id]
    (told,) = broker.read(f"{topic_prefix}.auditlog.system.events")
    audit = json.loads(told.value)["audit"]
    assert (told.key, audit["action"], audit["category"], audit["reason"]) == (
        "night shift",
        "outbox_dropped",
        "admin",
        "test data",
    )
    assert audit["data"]["events"] == [
        {"id": event.id, "event_id": event.event_id, "topic": narrow, "key": event.key, "parked_reason": "x"}
        for event in (one, two)
    ]


def test_an_event_that_is_not_parked_is_neither_dropped_nor_are_the_others_of_the_decision(
    narrow: str, outbox: Outbox
) -> None:
    (poison,) = park(outbox, narrow, "a")
    (waiting,) = outbox.add(narrow, "b")
    ids = ["--id", str(poison.id), "--id", str(waiting.id)]
    with pytest.raises(CommandError, match=rf"Nothing was changed\. Not parked: {waiting.id}\."):
        run("drop", *ids, "--reason", "wrong number")
    assert outbox.ids() == {poison.id, waiting.id}
    with pytest.raises(CommandError, match="--reason"):
        run("drop", "--topic", narrow, "--reason", " ")
    assert outbox.parked() == {poison.id: "x"}


def test_i1_a_decision_and_its_event_commit_together_or_not_at_all(
    narrow: str, outbox: Outbox, owner_connection: psycopg.Connection[Any]
) -> None:
    (poison,) = park(outbox, narrow, "a")
    owner_connection.execute("ALTER TABLE auditlog_outboxevent ADD CONSTRAINT refuse CHECK (key = 'a') NOT VALID")
    try:
        with pytest.raises(CommandError, match="Nothing was changed"):
            run("drop", "--topic", narrow, "--reason", "test data")
    finally:
        owner_connection.execute("ALTER TABLE auditlog_outboxevent DROP CONSTRAINT refuse")
    assert outbox.parked() == {poison.id: "x"}


def test_what_somebody_else_requeues_meanwhile_is_not_dropped(
    narrow: str, outbox: Outbox, role_url: RoleUrl, owner_connection: psycopg.Connection[Any], wait_until: WaitUntil
) -> None:
    (poison,) = park(outbox, narrow, "a")
    failures: list[str] = []

    def drop() -> None:
        try:
            run("drop", "--id", str(poison.id), "--reason", "test data")
        except CommandError as exc:
            failures.append(str(exc))
        finally:
            connection.close()

    with psycopg.connect(role_url(Role.RELAY)) as other:
        other.execute("UPDATE auditlog_outboxevent SET parked_at = NULL WHERE id = %s", [poison.id])
        thread = threading.Thread(target=drop)
        thread.start()
        wait_until(lambda: owner_connection.execute("SELECT FROM pg_locks WHERE NOT granted").fetchone() is not None)
        other.commit()
        thread.join(30)
    assert failures == [f"Nothing was changed. Not parked: {poison.id}."]
    assert outbox.ids() == {poison.id}


def test_i4_an_event_that_gives_up_its_values_is_published_in_order_with_its_id(
    broker: Broker,
    narrow: str,
    topic_prefix: str,
    outbox: Outbox,
    start_relay: StartRelay,
    wait_until: WaitUntil,
    wait_for_empty: Callable[[], None],
) -> None:
    large, small = random_text(20_000), "\\u00e9 and 1.50"
    value = (
        f'{{"before":null,"after":{{"id":17,"scan":"{large}","note":"{small}","n":1.50}},"op":"c",'
        f'"source":{{"name":"{topic_prefix}"}},"audit":{{"m2m":null,"data":null}}}}'
    )
    broker.create(f"{topic_prefix}.auditlog.blobs", config={"max.message.bytes": "9000"})
    (poison,) = outbox.add(narrow, "poisoned", value=value)
    (later,) = outbox.add(narrow, "poisoned")
    start_relay()
    wait_until(outbox.parked)
    assert run("retry", "--id", str(poison.id), "--offload", "--reason", "the topic stays narrow") == {
        "offloaded": [poison.event_id]
    }
    wait_for_empty()
    first, second = broker.read(narrow)
    assert [(one.event_id, one.outbox_id) for one in (first, second)] == [
        (poison.event_id, poison.id),
        (later.event_id, later.id),
    ]
    content = f'"{large}"'.encode()
    reference = f'{{"$ref": "{hashlib.sha256(content).hexdigest()}", "bytes": {len(content)}}}'
    assert first.value.decode() == value.replace(content.decode(), reference)
    chunks = [json.loads(one.value) for one in broker.read(f"{topic_prefix}.auditlog.blobs")]
    assert len(chunks) > 1
    assert b"".join(base64.b64decode(chunk["data"]) for chunk in chunks) == content
    (told,) = broker.read(f"{topic_prefix}.auditlog.system.events")
    audit = json.loads(told.value)["audit"]
    assert (audit["action"], audit["reason"]) == ("outbox_offloaded", "the topic stays narrow")
    assert [event["event_id"] for event in audit["data"]["events"]] == [poison.event_id]


@pytest.mark.parametrize("part", ["data", "through"])
def test_an_event_without_images_gives_up_its_data_or_the_fields_of_its_links(
    narrow: str, outbox: Outbox, part: str
) -> None:
    large = random_text(9_000)
    links = f'{{"field":"tags","added":["3"],"through":{{"3":{{"note":"{large}","n":1.50}}}}}}'
    data = f'{{"text":"{large}"}}'
    m2m, data = (links, "null") if part == "through" else ("null", data)
    (poison,) = outbox.add(
        narrow,
        "a",
        value='{"before":null,"after":null,"op":"m","source":{"name":"x"},"audit":{"action":"m2m.add","m2m":'
        f'{m2m},"data":{data}}}}}',
    )
    outbox.run("UPDATE auditlog_outboxevent SET parked_at = now(), parked_reason = 'MSG_SIZE_TOO_LARGE'")
    run("retry", "--all", "--offload", "--max-bytes", "5000", "--reason", "too large")
    (value,) = outbox.connection.execute(
        "SELECT value FROM auditlog_outboxevent WHERE id = %s AND parked_at IS NULL", [poison.id]
    ).fetchone() or ("",)
    audit = json.loads(value)["audit"]
    given_up = audit["data"] if part == "data" else audit["m2m"]["through"]["3"].pop("note")
    assert given_up.keys() == {"$ref", "bytes"}
    assert audit["m2m"] == (None if part == "data" else {"field": "tags", "added": ["3"], "through": {"3": {"n": 1.5}}})


def test_an_event_that_stays_too_large_or_was_parked_for_another_reason_stays_parked(
    narrow: str, outbox: Outbox
) -> None:
    (other,) = park(outbox, narrow, "a")
    with pytest.raises(CommandError, match=f"Not parked: {other.id}"):
        run("retry", "--id", str(other.id), "--offload", "--max-bytes", "5000", "--reason", "why")
    value = f'{{"before":null,"after":{{"id":1}},"source":{{}},"audit":{{"object_repr":"{random_text(9_000)}"}}}}'
    value = f'{{"before":null,"after":{{"id":1}},"source":{{}},"audit":{{"object_repr":"{random_text(9_000)}"}}}}'
    outbox.run("UPDATE auditlog_outboxevent SET parked_reason = 'MSG_SIZE_TOO_LARGE', value = %s", value)
    with pytest.raises(CommandError, match="without its values"):
        run("retry", "--all", "--offload", "--max-bytes", "5000", "--reason", "why")
    assert outbox.parked() == {other.id: "MSG_SIZE_TOO_LARGE"}
    assert outbox.ids() == {other.id}
