"""One broker for these tests, which certificates of the moment open (program: openssl)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devstack import kafka
from tests.extras import fixtures_of, leave_out_without
from tests.integration.publishers.secured.broker import SecuredBroker, secured_broker
from tests.stack import say

START_SECONDS = 60
HERE = Path(__file__).parent


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave these tests out where no certificates can be made."""
    leave_out_without(
        ("openssl",),
        tests="tests of the security of connections to Kafka",
        packages="openssl",
        needs=lambda item: item.path.is_relative_to(HERE) and "secured" in fixtures_of(item),
        config=config,
        items=items,
    )


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    """A broker that demands passwords and certificates."""
    broker = secured_broker(tmp_path_factory.mktemp("secured"))
    process = broker.kafka.start(progress=say)
    try:
        deadline = time.monotonic() + START_SECONDS
        while not broker.kafka.answers():
            assert process.poll() is None, broker.kafka.log.read_text(encoding="utf-8")
            assert time.monotonic() < deadline
        yield broker
    finally:
        kafka.stop(process)
