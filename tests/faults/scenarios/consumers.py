"""What fails in the consumer, and between it and what it reads and writes."""

from __future__ import annotations

import signal

from tests.faults.run import Run
from tests.faults.scenario import scenario

OFFSETS = "SELECT sum(next_offset) AS n FROM auditlog_consumeroffset"


@scenario(27, "consumer killed between its COMMIT and Kafka's", "no event twice", quick=True)
def killed_after_store(run: Run) -> None:
    _killed_at(run, "after_store")


@scenario(28, "consumer killed in its transaction", "the batch is stored once", quick=True)
def killed_in_store(run: Run) -> None:
    _killed_at(run, "in_store")


def _killed_at(run: Run, point: str) -> None:
    consumer = run.start_consumer(point=point)
    run.load()
    run.kill_at_point(consumer)
    run.start_consumer()
    run.healed()
    run.recovered()


@scenario(29, "consumer paused in a batch, its partitions another's meanwhile", "its late write moves nothing")
def zombie(run: Run) -> None:
    victim = run.start_consumer(point="before_store", action="stop")
    run.load()
    run.arm(victim)
    run.start_consumer()
    run.healed()
    # The group waits for the paused one's session to end.
    run.recovered()
    victim.send(signal.SIGCONT)
    run.wait(lambda: _said(victim.events(), "consumer.offset_conflict"), what="the zombie's refused write")
    run.grows(100)


def _said(events: list[dict[str, object]], name: str) -> bool:
    return any(line["event"] == name for line in events)


@scenario(32, "every topic delivered again from its beginning", "the log does not change", quick=True)
def redelivered(run: Run) -> None:
    run.load()
    run.stop_writers()
    run.wait(lambda: run.pending() == 0, what="an empty outbox")
    run.wait(lambda: set(run.books.committed()) <= run.stored_ids(), what="all events in the log")
    before = run.log.stored()
    run.expect(run.consumers[-1].terminate() == 0, "the consumer failed")
    offsets = run.log.query(OFFSETS)[0]["n"]
    run.log.execute("DELETE FROM auditlog_consumeroffset")
    run.healed()
    run.start_consumer()
    run.wait(lambda: run.log.query(OFFSETS)[0]["n"] == offsets, what="all of it read again")
    run.recovered()
    run.expect(run.log.stored() == before, "the log is not what it was")
