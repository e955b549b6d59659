"""What fails in the relay."""

from __future__ import annotations

import signal

from tests.acceptance.pipeline.services import Service
from tests.faults.proxy import Mode
from tests.faults.run import BATCH_ROWS, Run
from tests.faults.scenario import scenario

WINDOW = 2 * BATCH_ROWS
OWNERS = "SELECT owner, count(*) AS shards FROM publishers_shardlease WHERE until > clock_timestamp() GROUP BY owner"
SHARDS, RELAYS = 64, 3


@scenario(4, "relay killed after it fetched", "no loss, no duplicate")
def killed_after_fetch(run: Run) -> None:
    _killed_at(run, "after_fetch")


@scenario(
    5,
    "relay killed after it sent, before it read the acknowledgement",
    "duplicates in flight only",
    duplicates=WINDOW,
    quick=True,
)
def killed_after_send(run: Run) -> None:
    _killed_at(run, "after_send")


@scenario(
    6,
    "relay killed after the acknowledgement, before its DELETE, in it, and while it fetches with it under load",
    "what was in flight twice",
    duplicates=3 * WINDOW,
    quick=True,
)
def killed_before_acknowledge(run: Run) -> None:
    _killed_at(run, "before_acknowledge", "in_acknowledge")
    run.expect(run.relays[-1].terminate() == 0, "the relay did not end well")
    run.wait(lambda: run.pending() > 3 * WINDOW, what="a backlog")
    run.kill_at_point(run.start_relay(point="in_turn"))
    run.start_relay()
    run.healed()
    run.recovered()


def _killed_at(run: Run, *points: str) -> None:
    for point in points:
        relay = run.start_relay(point=point)
        run.load()
        # It holds shards by now, whoever died before it.
        run.wait(lambda: _said(relay.events(), "relay.published"), what="a relay at work")  # noqa: B023
        run.kill_at_point(relay)
    run.start_relay()
    run.healed()
    run.grows(100)
    run.recovered()


@scenario(7, "several relays for the same shards", "one owner for each shard; they share evenly")
def several_relays(run: Run) -> None:
    for _ in range(RELAYS):
        run.start_relay()
    run.load()
    run.healed()
    run.wait(lambda: _are_fair(run), what="fair shares")
    run.grows(300)
    run.recovered()


def _are_fair(run: Run) -> bool:
    """Tell whether three relays hold all shards, none of them more than its share."""
    shares = [row["shards"] for row in run.books.query(OWNERS)]
    return len(shares) == RELAYS and sum(shares) == SHARDS and max(shares) <= -(-SHARDS // RELAYS)


@scenario(
    8,
    "relay paused (SIGSTOP) past its leases, then resumed",
    "another takes over; what the paused one had in flight is once in the log",
    duplicates=None,
)
def paused(run: Run) -> None:
    victim = run.start_relay(point="in_flight", action="stop")
    run.load()
    run.arm(victim)
    run.healed()
    run.start_relay()
    run.grows(200)
    run.recovered()
    victim.send(signal.SIGCONT)
    run.wait(
        lambda: _said(victim.events(), "relay.given_up", "relay.not_acknowledged"), what="the resumed relay to notice"
    )
    run.grows(200)


def _said(events: list[dict[str, object]], *names: str) -> bool:
    return any(line["event"] in names for line in events)


@scenario(25, "queue of the Kafka client full", "back-pressure; no loss")
def queue_full(run: Run) -> None:
    run.start_relay(FAULT_KAFKA='{"queue.buffering.max.messages": 50}')
    run.load()
    run.servers.cluster.switch_relays(Mode.STUCK)
    run.grows(400)
    # So few at a time are slower than the writers.
    run.stop_writers()
    run.servers.cluster.switch_relays(Mode.OPEN)
    run.healed()
    run.recovered()


@scenario(
    26, "fatal error of the producer", "it is made anew; what was not acknowledged is sent again", duplicates=None
)
def fatal_error(run: Run) -> None:
    relay = run.start_relay(point="fatal")
    run.load()
    for number in range(1, 4):
        # What is sent stays under way.
        run.servers.cluster.switch_relays(Mode.STUCK)
        run.arm(relay)
        run.wait(lambda: _given_up(relay) >= number, what="a producer that is given up")  # noqa: B023
        run.servers.cluster.switch_relays(Mode.OPEN)
        run.healed()
        run.recovered()


def _given_up(relay: Service) -> int:
    return sum(line["event"] == "relay.given_up" for line in relay.events())


@scenario(37, "SIGTERM with full buffers", "what is in flight is finished or handed over", duplicates=WINDOW)
def terminated(run: Run) -> None:
    relay = run.start_relay(RELAY_DRAIN_SECONDS="6")
    run.load()
    run.servers.cluster.switch_relays(Mode.STUCK)
    run.wait(lambda: run.pending() > 2 * BATCH_ROWS, what="full buffers")
    relay.may_end()
    relay.send(signal.SIGTERM)
    # One that cannot finish: the brokers answer again when it has ended.
    run.wait(lambda: not relay.is_running(), what="the relay's end")
    run.expect(relay.exit_code() == 0, f"the relay ended with {relay.exit_code()}")
    run.servers.cluster.switch_relays(Mode.OPEN)
    run.healed()
    successor = run.start_relay(RELAY_DRAIN_SECONDS="6")
    run.recovered()
    # One that can.
    run.servers.cluster.switch_relays(Mode.STUCK)
    run.wait(lambda: run.pending() > BATCH_ROWS, what="full buffers")
    successor.may_end()
    successor.send(signal.SIGTERM)
    run.servers.cluster.switch_relays(Mode.OPEN)
    run.wait(lambda: not successor.is_running(), what="the second relay's end")
    run.expect(successor.exit_code() == 0, f"the second relay ended with {successor.exit_code()}")
    run.start_relay()
