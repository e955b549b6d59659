"""
From this version to the next one and the one after it, while both write, publish and store: nothing is lost.

The code of each process is that of its version's tree. Migrations run as the chart runs them: `audit_migrate` of the
newer version, before the first of its other processes and beside all of the older one.
"""

from __future__ import annotations

import json
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from auditlog import __version__
from tests.acceptance.pipeline.books import Books, assert_balanced
from tests.acceptance.pipeline.services import APPLICATION, AUDITOR, Deployment, Service
from tests.acceptance.upgrade.conftest import Deploy
from tests.acceptance.upgrade.writers import MAKE, ROWS, Writer, begin, migrate

# Each wait has its own limit; this is the sum of many.
LIMIT_SECONDS = 900
pytestmark = [pytest.mark.processes, pytest.mark.timeout(LIMIT_SECONDS)]

THIS, NEXT = __version__, f"next-{__version__}"
# How many combinations there are of a relay and the version of an event that it published, and of the version of a
# consumer and that of an event that it stored: the next version's consumer fills the new column, whatever it stores.
MIXED = """
SELECT count(DISTINCT (l.relay, a.reason)) AS published, count(DISTINCT (a.origin IS NULL, a.reason)) AS stored
FROM auditlog_auditlog a
JOIN (SELECT relay, unnest(event_ids) AS event_id FROM auditlog_outboxledger) l USING (event_id)
WHERE a.reason IS NOT NULL AND a.m2m IS NULL
"""


def waits_for_its_schema(consumer: Service) -> bool:
    """Tell whether a consumer says that the database lacks something."""
    return any("UndefinedColumn" in str(line) for line in consumer.events())


def chains(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the changes of each row, in the order of the outbox."""
    found = defaultdict(list)
    for row in rows:
        if (row["model"], row["action"]) == ("doctors.doctor", "update"):
            found[row["object_pk"]].append(row)
    return found


def assert_labelled(books: Books) -> None:
    """Check that records of both relays and of both versions' code are what their version says."""
    found = {
        (record.event["source"]["version"], record.event["audit"].get("origin"), record.headers.get("origin"))
        for record in books.published()
        if record.event["audit"]["action"] == "update"
    }
    assert found == {(THIS, None, None), (THIS, None, "unknown"), (NEXT, "next", None), (NEXT, "next", "unknown")}


def assert_nothing_lost(books: Books, auditor: Deployment) -> None:
    """Check that every change of both versions is stored once, in order, and as its version writes it."""
    rows = assert_balanced(books)
    written = [row for row in rows if row["reason"] and row["m2m"] is None]
    assert {(row["reason"], row["origin"]) for row in written} == {
        (THIS, None),
        (THIS, "before"),
        (NEXT, None),
        (NEXT, "next"),
    }
    assert_labelled(books)
    assert len(chains(rows)) == ROWS
    for changes in chains(rows).values():
        assert all(one["after"]["bio"] == two["before"]["bio"] for one, two in pairwise(changes))
        # Code knows the columns of its own version, whatever else the table has.
        assert all(("pager" in row["after"]) is (row["reason"] == NEXT) for row in changes)
    account = json.loads(auditor.run("reconcile", "audit_reconcile", "--json", roles=AUDITOR))
    assert account["committed"] == account["published"] == account["stored"] == len(rows)
    assert (account["missing"], account["unaccounted"]) == ([], 0)
    assert books.query("SELECT count(*) AS n FROM consumers_deadletter") == [{"n": 0}]


def test_i4_i5_i6_two_versions_side_by_side_lose_nothing_before_and_after_each_step(
    this_version: Deployment, deploy: Deploy, books: Books, next_tree: Path, later_tree: Path
) -> None:
    begin(this_version)
    relay, consumer = this_version.start_relay(), this_version.start_consumer()
    writer = Writer(this_version)
    writer.goes_on()

    # The next version ahead of its schema: what it cannot do it leaves undone, and takes nothing with it.
    after = deploy(next_tree)
    next_consumer = after.start_consumer()
    after.wait_until(lambda: waits_for_its_schema(next_consumer), what="a consumer that waits for its schema")
    writer.goes_on()

    # Its expand step, under load: the older version goes on with the newer schema.
    migrate(after)
    writer.goes_on()

    # Both versions side by side, on the same rows, in every combination.
    next_relay, next_writer = after.start_relay(), Writer(after)
    this_version.wait_until(
        lambda: books.query(MIXED) == [{"published": 4, "stored": 4}],
        what="events of both versions that both have published and both have stored",
    )
    for each in (writer, next_writer):
        each.goes_on()
    writer.stop()
    assert relay.terminate() == 0
    consumer.kill()
    next_writer.goes_on()

    # The contract step, which the version after it brings, once nothing of the oldest one runs.
    later = deploy(later_tree)
    migrate(later)
    next_writer.goes_on()
    next_writer.stop()

    after.wait_until(books.settled, what="everything in the audit log")
    assert_nothing_lost(books, after)
    for service in (next_relay, next_consumer):
        assert service.terminate() == 0

    # That was a contract step: whoever skipped the version in between could not write any more.
    outdated = this_version.start("make", "shell", "-v", "0", "-c", MAKE, roles=APPLICATION)
    after.wait_until(lambda: not outdated.is_running(), what="the end of an outdated writer")
    assert outdated.terminate() == 1
    assert "function public.auditlog_emit" in outdated.logged()
