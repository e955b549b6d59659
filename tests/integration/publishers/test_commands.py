"""What operators run: status, the relay itself."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from auditlog.roles import Role
from devstack.ports import free_port
from tests.conftest import RoleUrl, WaitUntil
from tests.integration.consumers.conftest import acting_as
from tests.integration.publishers.conftest import StartProcess, StartRelay
from tests.integration.publishers.rows import Outbox

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])


def report_of(*arguments: str) -> dict[str, Any]:
    """Run a command and return its JSON report."""
    out = StringIO()
    call_command(*arguments, "--json", stdout=out)
    report: dict[str, Any] = json.loads(out.getvalue())
    return report


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
        ({"KAFKA_SSL_CA_LOCATION": "/nowhere", "KAFKA_SECURITY_PROTOCOL": "SSL"}, "KAFKA_* settings"),
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
