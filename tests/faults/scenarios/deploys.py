"""What happens around the service: clocks, deploys, backfills, and writes past the ORM."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import psycopg

from auditlog.roles import Role
from tests.acceptance.pipeline.services import APPLICATION
from tests.faults.account import firsts
from tests.faults.run import Run
from tests.faults.scenario import scenario

FAKETIME = Path("/usr/lib")
HOUR_SECONDS = 3_600
ROLLS = 3
# A large transaction, what a relay or a consumer may need for it beyond what it held before, and how long it may take.
ROWS, GROWN_BYTES, LONG_SECONDS = 1_000_000, 160_000_000, 1_800
LINE_BYTES = 1_000
ONE_TRANSACTION = """
SELECT count(*) AS events, count(DISTINCT transaction_id) AS transactions FROM auditlog_auditlog
WHERE model = 'shop.entry' AND before IS NULL AND (after ->> 'writer')::int = %s
"""


@scenario(
    35, "clocks of the application and the relay jump an hour ahead and back", "leases go by the database's clock"
)
def clocks(run: Run) -> None:
    clock = run.folder / "clock"
    found = sorted(FAKETIME.rglob("libfaketimeMT.so.1"))
    run.expect(found, "libfaketime is not installed (Debian: faketime)")
    jumping = {
        "LD_PRELOAD": str(found[0]),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        # Clocks that nobody can set do not jump.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    clock.write_text("+0", encoding="utf-8")
    relays = [run.start_relay(**jumping), run.start_relay()]
    run.start_writer(variables=jumping)
    run.load()
    for seconds in (HOUR_SECONDS, -HOUR_SECONDS, 0):
        clock.write_text(f"{seconds:+}", encoding="utf-8")
        run.grows(250)
    run.healed()
    run.recovered()
    for relay in relays:
        given_up = [line for line in relay.events() if line["event"] == "relay.given_up"]
        run.expect(not given_up, f"{relay.name} lost its leases")
        run.expect([line for line in relay.events() if line["event"] == "relay.published"], f"{relay.name} was idle")


@scenario(
    36, "rolling deploy of relays and consumers; the new ones publish more than the old ones know", "both are read"
)
def rolling_deploy(run: Run) -> None:
    for _ in range(2):
        run.start_relay()
        run.start_consumer()
    run.load()
    for number in range(ROLLS):
        old_relay, old_consumer = run.relays[number], run.consumers[number]
        run.start_relay(FAULT_FUTURE="1")
        run.start_consumer()
        run.grows(60)
        run.expect(old_relay.terminate() == 0, f"{old_relay.name} failed")
        run.expect(old_consumer.terminate() == 0, f"{old_consumer.name} failed")
        run.grows(60)
    run.healed()
    run.recovered()
    headers = {"ce_later" in record.headers for record in run.published()}
    run.expect(headers == {True, False}, f"events of one version only: {headers}")


@scenario(39, "raw SQL writes past the ORM", "the bypass check names each row")
def bypassed(run: Run) -> None:
    run.load()
    run.stop_writers()
    run.wait(lambda: run.pending() == 0, what="an empty outbox")
    run.wait(lambda: set(run.books.committed()) <= run.stored_ids(), what="all events in the log")
    run.expect(_findings(run) == set(), "the check finds something where nothing was bypassed")
    with psycopg.connect(run.domain.url(role=Role.APP, database=run.database), autocommit=True) as raw:
        rows = raw.execute(
            "UPDATE shop_item SET text = 'bypassed' WHERE id IN (SELECT min(id) FROM shop_item) RETURNING id"
        ).fetchall()
        rows += raw.execute("INSERT INTO shop_item (writer, text) VALUES (99, 'bypassed') RETURNING id").fetchall()
        rows += raw.execute(
            "DELETE FROM shop_entry WHERE id IN (SELECT min(id) FROM shop_entry) RETURNING id"
        ).fetchall()
    run.healed()
    wanted = {str(pk) for (pk,) in rows}
    run.expect(_findings(run) == wanted, f"the check does not find {wanted}")
    run.recovered()


def _findings(run: Run) -> set[str]:
    """Return the keys that the bypass check names; its exit code tells whether there are any."""
    service = run.deployment.start(
        "bypass", "audit_bypass", "--json", "--grace", "1", "shop.Item", "shop.Entry", roles=APPLICATION
    )
    service.may_end()
    run.wait(lambda: not service.is_running(), what="the bypass check")
    report = json.loads(service.printed())
    found = {str(difference["key"]) for difference in report["found"]}
    run.expect((service.exit_code() != 0) == bool(found), f"exit code {service.exit_code()} with {len(found)} findings")
    return found


@scenario(40, "backfill while rows change", "no image of the backfill is older than the event before it")
def backfill(run: Run) -> None:
    run.load()
    for _ in range(2):
        run.command("audit_snapshot", "--batch-rows", "5", roles=APPLICATION)
    run.healed()
    run.recovered()
    run.checks.append(lambda: _check_snapshots(run))


def _check_snapshots(run: Run) -> None:
    """Check that each image of a backfill is what the events before it on the topic left."""
    images: dict[tuple[str, str], object] = {}
    count = 0
    for record in firsts(run.published()):
        event = record.event
        place = record.topic, record.key
        if event["op"] == "r":
            count += 1
            run.expect(images.get(place) == event["after"], f"a stale image of {place}")
        elif event["op"] in {"c", "u", "d"}:
            images[place] = event["after"]
    run.expect(count > 50, f"only {count} rows were recorded")


@scenario(42, f"transaction of {ROWS:,} events", "streamed in bounded memory; all of it one transaction", quick=True)
def large_transaction(run: Run) -> None:
    rows = round(ROWS * run.scale)
    # As in production: with the others' small batches it would take an hour, and a relay that waits for a processor
    # would lose leases of a few seconds, and send again.
    run.environment |= {
        "RELAY_BATCH_ROWS": "4000",
        "CONSUMER_BATCH_ROWS": "2000",
        "DATABASE_ANSWER_SECONDS": "30",
        "RELAY_LEASE_SECONDS": "12",
    }
    run.load()
    services = [*run.relays, *run.consumers]
    before = {service.name: run.resident_bytes(service) for service in services}
    peaks = dict(before)
    run.start_writer("--once", "bulk", "--rows", str(rows))
    account, others = run.files[-1], run.stored()

    def notice() -> None:
        for service in services:
            peaks[service.name] = max(peaks[service.name], run.resident_bytes(service))

    def has_committed() -> bool:
        notice()
        return account.exists() and '"committed"' in end_of(account)

    def is_stored() -> bool:
        notice()
        return run.stored() >= others + rows

    run.wait(has_committed, what="the commit", seconds=LONG_SECONDS)
    run.healed()
    run.wait(rarely(is_stored), what="the transaction in the log", seconds=LONG_SECONDS)
    run.stop_writers()
    run.recovered()
    for relay in run.relays:
        given_up = [line["reason"] for line in relay.events() if line["event"] == "relay.given_up"]
        run.expect(not given_up, f"{relay.name} sent again: {given_up}")
    for name, peak in peaks.items():
        run.expect(peak - before[name] < GROWN_BYTES, f"{name} grew by {peak - before[name]:,} bytes")
    found = run.log.query(ONE_TRANSACTION, len(run.files) - 1)[0]
    run.expect((found["events"], found["transactions"]) == (rows, 1), f"{found}")


def end_of(file: Path) -> str:
    """Return the last lines of an account: one before them may be very long."""
    with file.open("rb") as opened:
        opened.seek(max(0, file.stat().st_size - LINE_BYTES))
        return opened.read().decode()


def rarely(condition: Callable[[], bool]) -> Callable[[], bool]:
    """Return a condition that is looked at once a second: looking costs what the service could use."""
    looked = 0.0

    def look() -> bool:
        nonlocal looked
        if time.monotonic() < looked + 1:
            return False
        looked = time.monotonic()
        return condition()

    return look
