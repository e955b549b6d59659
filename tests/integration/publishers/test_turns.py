"""A connection that is cut while an acknowledgement and the next fetch are under way, with a batch in flight."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from publishers.turns import Turn
from tests.conftest import WaitUntil
from tests.integration.publishers.conftest import StartRelay
from tests.integration.publishers.proxy import Proxy
from tests.integration.publishers.rows import Outbox
from tests.integration.publishers.topics import Broker, first_appearances

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])
KEYS = [str(number) for number in range(100)]
CUTS = 3


@pytest.fixture
def database_proxy(relay_parameters: dict[str, Any]) -> Iterator[Proxy]:
    """The database behind a proxy."""
    proxy = Proxy((relay_parameters["host"], relay_parameters["port"]))
    yield proxy
    proxy.close()


class Cutting:
    """Cuts the connection at the first turns: before PostgreSQL has heard of them, or after it has committed."""

    def __init__(self, proxy: Proxy, *, await_commit: Callable[[set[int]], None] | None) -> None:
        self.cuts = 0
        self._proxy, self._await_commit, self._begin = proxy, await_commit, Turn.__init__

    def begin(self, turn: Turn, *arguments: Any, **more: Any) -> None:
        """Stand in for the beginning of a turn."""
        if self.cuts == CUTS:
            self._begin(turn, *arguments, **more)
            return
        self.cuts += 1
        if self._await_commit is not None:
            self._begin(turn, *arguments, **more)
            self._await_commit({row.id for row in more["batch"].rows})
        self._proxy.cut()
        self._proxy.mend()
        if self._await_commit is None:
            self._begin(turn, *arguments, **more)


@pytest.mark.parametrize("is_committed", [False, True], ids=["before it is heard", "after it is committed"])
def test_i5_a_connection_that_is_cut_at_an_acknowledgement_loses_and_repeats_nothing(
    is_committed: bool,
    broker: Broker,
    topic: str,
    outbox: Outbox,
    start_relay: StartRelay,
    database_proxy: Proxy,
    relay_parameters: dict[str, Any],
    wait_for_empty: Callable[[], None],
    wait_until: WaitUntil,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    committed = outbox.add(topic, *KEYS * 100)

    def await_commit(ids: set[int]) -> None:
        wait_until(lambda: ids <= outbox.ledger())

    # A lease that runs out on a slow machine has its own duplicates.
    monkeypatch.setattr("tests.integration.publishers.conftest.LEASE_SECONDS", 600.0)
    cutting = Cutting(database_proxy, await_commit=await_commit if is_committed else None)

    def begin(turn: Turn, *arguments: Any, **more: Any) -> None:
        cutting.begin(turn, *arguments, **more)

    monkeypatch.setattr(Turn, "__init__", begin)
    start_relay(parameters={**relay_parameters, "port": database_proxy.port})
    wait_for_empty()
    assert cutting.cuts == CUTS
    assert outbox.ledger() == {event.id for event in committed}
    records = broker.read(topic)
    assert sorted(record.event_id for record in records) == sorted(event.event_id for event in committed)
    assert first_appearances(records) == {key: [event.id for event in committed if event.key == key] for key in KEYS}
