"""A relay in this process, the outbox it empties, and a topic of the test's own."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from auditlog.roles import Role
from publishers.kafka import Publisher
from publishers.leases import Leases
from publishers.relay import Limits, Relay
from tests.conftest import RoleUrl, WaitUntil
from tests.integration.publishers.processes import RelayProcess, relay_process
from tests.integration.publishers.proxy import Proxy
from tests.integration.publishers.rows import Outbox
from tests.integration.publishers.topics import Broker
from tests.pooler import leave_out_without_pooler, pgbouncer  # noqa: F401

HERE = Path(__file__).parent
LEASE_SECONDS = 2.0
LIMITS = {"batch_rows": 400, "batch_bytes": 16_000_000, "poll_seconds": 0.1, "drain_seconds": 5.0, "ledger_days": 35}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the tests of PgBouncer out where there is none."""
    leave_out_without_pooler(HERE, config=config, items=items)


class RunningRelay:
    """A relay in a thread; what goes wrong in it fails the test when it is stopped."""

    def __init__(self, *, parameters: dict[str, Any], bootstrap: str, **limits: Any) -> None:
        self.stopping = threading.Event()
        self.leases = Leases(owner=f"relay-{uuid.uuid4().hex[:8]}", seconds=LEASE_SECONDS)
        self.publisher = Publisher(connection={"bootstrap.servers": bootstrap}, source="/clinic")
        self.relay = Relay(
            parameters=parameters,
            publisher=self.publisher,
            leases=self.leases,
            stop=self.stopping,
            limits=Limits(**{**LIMITS, **limits}),
        )
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask it to end, and see that it does."""
        self.stopping.set()
        self._thread.join(30)
        assert not self._thread.is_alive()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            self.relay.run()
        except BaseException as exc:  # noqa: BLE001 - raised in the test's thread
            self._error = exc


StartRelay = Callable[..., RunningRelay]
StartProcess = Callable[..., RelayProcess]


@pytest.fixture
def outbox(transactional_db: None, owner_connection: psycopg.Connection[Any]) -> Outbox:
    """The outbox, empty."""
    return Outbox(owner_connection)


@pytest.fixture(scope="session")
def broker(kafka_bootstrap: str) -> Broker:
    """The broker."""
    return Broker(kafka_bootstrap)


@pytest.fixture
def topic(broker: Broker, topic_prefix: str) -> Iterator[str]:
    """A topic with three partitions."""
    name = f"{topic_prefix}.doctors.doctor"
    broker.create(name, partitions=3)
    yield name
    broker.delete(name)


@pytest.fixture
def relay_parameters(role_url: RoleUrl) -> dict[str, Any]:
    """How a relay connects: with its own role."""
    return parameters_of(role_url(Role.RELAY))


@pytest.fixture
def start_relay(outbox: Outbox, relay_parameters: dict[str, Any], kafka_bootstrap: str) -> Iterator[StartRelay]:
    """Start a relay in this process; stopped after the test."""
    started: list[RunningRelay] = []

    def start(*, parameters: dict[str, Any] | None = None, bootstrap: str = kafka_bootstrap, **more: Any) -> Any:
        started.append(RunningRelay(parameters=parameters or relay_parameters, bootstrap=bootstrap, **more))
        return started[-1]

    yield start
    for relay in started:
        relay.stop()


@pytest.fixture
def start_process(outbox: Outbox, role_url: RoleUrl, tmp_path: Any) -> Iterator[StartProcess]:
    """Start a relay as a process; killed after the test."""
    with ExitStack() as stack:

        def start(*arguments: str, **more: str) -> RelayProcess:
            variables = {"DATABASE_URL": role_url(Role.RELAY), "RELAY_LEASE_SECONDS": "2", **more}
            log = tmp_path / f"{uuid.uuid4().hex}.log"
            return stack.enter_context(relay_process(log, variables, *arguments))

        yield start


@pytest.fixture
def broker_proxy(kafka_bootstrap: str) -> Iterator[Proxy]:
    """The broker behind a proxy."""
    host, port = kafka_bootstrap.split(":")
    proxy = Proxy((host, int(port)))
    yield proxy
    proxy.close()


@pytest.fixture
def wait_for_empty(outbox: Outbox, wait_until: WaitUntil) -> Callable[[], None]:
    """Wait until nothing is left in the outbox."""
    return lambda: wait_until(lambda: not outbox.ids())


def parameters_of(url: str) -> dict[str, Any]:
    """Return a database's address as what psycopg takes."""
    parts = urlsplit(url)
    return {
        "host": parts.hostname,
        "port": parts.port,
        "user": parts.username,
        "dbname": parts.path.lstrip("/"),
        "autocommit": True,
    }
