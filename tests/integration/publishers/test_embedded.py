"""The relay in a thread of the web process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import LazySettings
from structlog.testing import capture_logs

from auditlog.roles import Role
from auditlog.signals import outbox_written
from publishers import embedded
from tests.conftest import RoleUrl, WaitUntil
from tests.integration.publishers.rows import Outbox
from tests.integration.publishers.topics import Broker

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])


@pytest.fixture
def started(
    outbox: Outbox, settings: LazySettings, role_url: RoleUrl, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """A relay of this process that hears nothing but its commits, and looks by itself once a minute."""
    for name in ("SHORT_PAUSE_SECONDS", "LONG_PAUSE_SECONDS"):
        monkeypatch.setattr(f"publishers.pauses.{name}", 60.0)
    settings.RELAY_DATABASE_URL = role_url(Role.RELAY)
    settings.DATABASE_BEHIND_PGBOUNCER = True
    settings.RELAY_POLL_MAX_MILLISECONDS = 60_000
    settings.RELAY_LEASE_SECONDS = 600
    embedded.start()
    yield
    embedded.stop()


def test_a_commit_of_this_process_wakes_the_relay_with_no_word_of_the_database(
    started: None, outbox: Outbox, topic: str, broker: Broker, wait_until: WaitUntil
) -> None:
    wait_until(lambda: len(outbox.owners()) == 64)
    committed = outbox.add(topic, "1", "2")
    outbox_written.send(sender=None, using="default")
    wait_until(lambda: not outbox.ids())
    assert {record.outbox_id for record in broker.read(topic)} == {event.id for event in committed}


def test_a_relay_that_is_stopped_gives_its_shards_back_and_hears_no_more(
    started: None, outbox: Outbox, topic: str, wait_until: WaitUntil
) -> None:
    wait_until(lambda: len(outbox.owners()) == 64)
    embedded.stop()
    assert outbox.owners() == {}
    (event,) = outbox.add(topic, "1")
    outbox_written.send(sender=None, using="default")
    assert outbox.ids() == {event.id}


def test_a_relay_that_may_not_read_the_outbox_says_so_and_tries_again(
    outbox: Outbox, settings: LazySettings, role_url: RoleUrl, wait_until: WaitUntil
) -> None:
    settings.RELAY_DATABASE_URL = role_url(Role.APP)
    with capture_logs() as logs:
        embedded.start()
        try:
            wait_until(lambda: [line for line in logs if line["event"] == "relay.embedded_failed"])
            settings.RELAY_DATABASE_URL = role_url(Role.RELAY)
            wait_until(lambda: len(outbox.owners()) == 64)
        finally:
            embedded.stop()
    (failed,) = [line for line in logs if line["event"] == "relay.embedded_failed"]
    assert "RELAY_DATABASE_URL must be auditlog_relay's" in failed["detail"]
