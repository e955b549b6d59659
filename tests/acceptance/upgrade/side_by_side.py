"""
Two versions that are there, side by side under load: run by `make upgrade`, which says where the older one's tree is.

The newer one is this tree's. What `test_rolling.py` asks of versions that differ in a known way is not asked here.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.acceptance.pipeline.books import Books, assert_balanced
from tests.acceptance.pipeline.services import Deployment, Service
from tests.acceptance.upgrade.conftest import Deploy
from tests.acceptance.upgrade.writers import Writer, begin, migrate

LIMIT_SECONDS = 900
pytestmark = [pytest.mark.processes, pytest.mark.timeout(LIMIT_SECONDS)]

RELAYS = "SELECT count(DISTINCT relay) AS n FROM auditlog_outboxledger"


def stored_by(consumer: Service) -> int:
    """Return how many events a consumer has stored."""
    return sum(line["events"] for line in consumer.events() if line["event"] == "consumer.stored")


def test_i4_i5_i6_an_older_version_and_this_one_lose_nothing_together(
    this_version: Deployment, deploy: Deploy, books: Books
) -> None:
    older, newer = deploy(Path(os.environ["UPGRADE_FROM"])), this_version
    begin(older)
    relay, consumer = older.start_relay(), older.start_consumer()
    writer = Writer(older)
    writer.goes_on()

    migrate(newer)
    writer.goes_on()

    next_relay, next_consumer, next_writer = newer.start_relay(), newer.start_consumer(), Writer(newer)
    newer.wait_until(lambda: books.query(RELAYS) == [{"n": 2}], what="events that both have published")
    newer.wait_until(lambda: stored_by(next_consumer), what="events that the newer version stores")
    stored = stored_by(consumer)
    for each in (writer, next_writer):
        each.goes_on()
    older.wait_until(lambda: stored_by(consumer) > stored, what="events that the older version stores")
    writer.stop()
    assert relay.terminate() == 0
    consumer.kill()
    next_writer.goes_on()
    next_writer.stop()

    newer.wait_until(books.settled, what="everything in the audit log")
    assert_balanced(books)
    assert books.query("SELECT count(*) AS n FROM consumers_deadletter") == [{"n": 0}]
    for service in (next_relay, next_consumer):
        assert service.terminate() == 0
