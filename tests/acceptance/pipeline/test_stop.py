"""SIGTERM in mid-stream: the process ends its batch and exits with 0; nothing is lost and nothing comes twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from doctors.clinicians.generator import write_file
from tests.acceptance.pipeline.books import Books, assert_balanced
from tests.acceptance.pipeline.services import Deployment

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True, databases=["default", "audit"])]

ROWS = 3_000
# Small transactions: many commits are yet to come when the first events arrive.
BATCH_ROWS = "5"
SOME = 100


def test_i5_i6_relay_and_consumer_that_are_asked_to_stop_lose_nothing_and_repeat_nothing(
    deployment: Deployment, books: Books, tmp_path: Path
) -> None:
    file = tmp_path / "clinicians.csv"
    write_file(file, rows=ROWS, seed=5)
    relay, consumer = deployment.start_relay(), deployment.start_consumer()
    importing = deployment.start_import(file, "--batch-rows", BATCH_ROWS)

    deployment.wait_until(lambda: books.counts().published > SOME, what="the first events on the topics")
    assert relay.terminate() == 0
    assert importing.is_running()
    published = books.counts().published
    deployment.wait_until(lambda: books.counts().pending > 0, what="events that wait for a relay")
    assert books.counts().published == published
    deployment.start_relay()

    deployment.wait_until(lambda: books.counts().stored > published, what="events in the audit log")
    assert consumer.terminate() == 0
    assert importing.is_running()
    stored = books.counts().stored
    deployment.wait_until(lambda: books.counts().published > stored, what="events that wait for a consumer")
    assert books.counts().stored == stored
    deployment.start_consumer()

    assert deployment.finished(importing)["complete"]
    deployment.wait_until(books.settled, what="the whole import in the audit log")
    assert_balanced(books)
    # Only a crash may repeat an event on its topic.
    assert len(books.published()) == len(books.committed())
    for service in (relay, consumer):
        assert "Traceback" not in service.logged()
