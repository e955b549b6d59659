"""Kafka or PostgreSQL is away when the relay and the consumer start or stop: they wait and say so, then work."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from doctors.clinicians.generator import write_file
from tests.acceptance.pipeline.books import Books, assert_balanced
from tests.acceptance.pipeline.services import Deployment, Service
from tests.faults.servers import Servers

# Each wait has its own limit; this is the sum of many.
LIMIT_SECONDS = 900
pytestmark = [pytest.mark.processes, pytest.mark.timeout(LIMIT_SECONDS)]

ROWS = 300
WAITS = 3


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A small file."""
    made = tmp_path / "clinicians.csv"
    write_file(made, rows=ROWS, seed=11)
    return made


@pytest.fixture
def without_kafka(deployment: Deployment, servers: Servers) -> Callable[[], None]:
    """Kafka is down; the function starts it again."""
    servers.kill_kafka()
    return servers.start_kafka


@pytest.fixture
def without_postgres(deployment: Deployment, servers: Servers) -> Callable[[], None]:
    """PostgreSQL is down; the function starts it again."""
    servers.kill_postgres()
    return servers.start_postgres


def backs_off(service: Service) -> bool:
    """Tell whether a process has said often enough that it waits; each time, it must wait longer."""
    waits = [next(value for name, value in line.items() if name.endswith("seconds")) for line in service.waits()]
    assert all(shorter < longer for shorter, longer in pairwise(waits[:WAITS]))
    return len(waits) >= WAITS


@pytest.mark.parametrize("absent", ["without_kafka", "without_postgres"])
def test_a_start_without_a_server_waits_longer_and_longer_and_then_works(
    absent: str, request: pytest.FixtureRequest, deployment: Deployment, books: Books, file: Path
) -> None:
    bring_back = request.getfixturevalue(absent)
    services = [deployment.start_relay(), deployment.start_consumer()]
    # Without Kafka, writing goes on; without PostgreSQL, the import waits as well.
    importing = deployment.start_import(file)
    for service in services:
        deployment.wait_until(lambda: backs_off(service), what=f"waiting lines of {service.name}")  # noqa: B023
    bring_back()
    assert deployment.finished(importing)["locations"]["created"] == ROWS
    deployment.wait_until(books.settled, what="the import in the audit log")
    assert_balanced(books)
    for service in services:
        assert service.terminate() == 0
        assert "Traceback" not in service.logged()


def lose_kafka(servers: Servers, books: Books, deployment: Deployment) -> None:
    """Let Kafka die before it has answered what the consumer tells it after a batch."""
    servers.freeze_kafka()
    stored = books.counts().stored
    deployment.wait_until(lambda: books.counts().stored > stored, what="a batch that was fetched before")
    servers.kill_kafka()


def lose_postgres(servers: Servers, books: Books, _deployment: Deployment) -> None:
    """Let PostgreSQL die in the middle of a batch."""
    books.close()
    servers.kill_postgres()


@pytest.mark.parametrize("lose", [lose_kafka, lose_postgres])
def test_a_stop_without_a_server_ends_with_0_and_loses_nothing(
    lose: Callable[[Servers, Books, Deployment], None],
    deployment: Deployment,
    books: Books,
    servers: Servers,
    file: Path,
) -> None:
    relay = deployment.start_relay()
    deployment.finished(deployment.start_import(file))
    deployment.wait_until(lambda: books.counts().pending == 0, what="the import on the topics")
    # So small are its batches that it is still at work when the server is lost.
    consumer = deployment.start_consumer(CONSUMER_BATCH_ROWS="1")
    deployment.wait_until(lambda: books.counts().stored > 0, what="the first event in the audit log")

    lose(servers, books, deployment)
    deployment.wait_until(consumer.complains, what="a complaint of the consumer")
    for service in (relay, consumer):
        assert service.terminate() == 0
        assert "Traceback" not in service.logged()

    servers.start_kafka()
    servers.start_postgres()
    deployment.start_relay()
    deployment.start_consumer()
    deployment.wait_until(books.settled, what="the import in the audit log")
    assert_balanced(books)
