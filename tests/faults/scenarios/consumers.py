"""What fails in the consumer, and between it and what it reads and writes."""

from __future__ import annotations

import signal

from confluent_kafka import KafkaError, Message, Producer

from auditlog.roles import Role
from tests.faults.proxy import Mode
from tests.faults.run import ADMIN_SECONDS, Run
from tests.faults.scenario import scenario

STORM = 10
POLL_MILLISECONDS = 8_000
LETTERS = "SELECT count(*) AS n FROM consumers_deadletter"
PLACES = 'SELECT topic, partition, "offset" FROM consumers_deadletter'
JUNK = (
    b"no JSON",
    b"\xff\xfe\x00",
    b"[]",
    b'{"op": "u"}',
    b'{"op": "u", "audit": {"event_id": "no id"}, "source": {}, "before": null, "after": null}',
)
OFFSETS = "SELECT sum(next_offset) AS n FROM auditlog_consumeroffset"


@scenario(27, "consumer killed between its COMMIT and Kafka's", "no event twice")
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


@scenario(45, "consumer paused in its transaction, its rows locked", "the server ends it; another goes on")
def frozen_in_store(run: Run) -> None:
    victim = run.start_consumer(point="in_store", action="stop")
    run.load()
    run.arm(victim)
    run.start_consumer()
    run.healed()
    run.grows(100)
    # As long as the transaction holds the offsets, nobody gets past them.
    run.recovered()
    victim.send(signal.SIGCONT)
    run.wait(lambda: _said(victim.events(), "consumer.database_unavailable"), what="the end of its transaction")
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


@scenario(30, "rebalance storm: ten consumers join and leave, half of them killed", "nothing twice; the lag goes")
def storm(run: Run) -> None:
    run.load()
    for number in range(STORM):
        joined = run.start_consumer()
        run.wait(lambda: _said(joined.events(), "consumer.started"), what="a consumer that joins")  # noqa: B023
        if number % 2:
            joined.kill()
        else:
            run.expect(joined.terminate() == 0, f"{joined.name} failed")
    run.healed()
    run.recovered()


@scenario(
    31,
    "undecodable records, and a schema of another version",
    "dead letters with their offsets; others go on",
    quick=True,
)
def undecodable(run: Run) -> None:
    run.load()
    places = _produce(run)
    run.healed()
    run.wait(lambda: run.log.query(LETTERS)[0]["n"] >= len(places), what="dead letters")
    run.grows(100)
    run.recovered()
    found = {(row["topic"], row["partition"], row["offset"]) for row in run.log.query(PLACES)}
    run.expect(found == places, f"dead letters of {found ^ places} differ")


def _produce(run: Run) -> set[tuple[str, int, int]]:
    """Put records on a topic that no event is, and return where they stand."""
    places: set[tuple[str, int, int]] = set()

    def delivered(error: KafkaError | None, message: Message) -> None:
        assert error is None, error
        topic, number, offset = message.topic(), message.partition(), message.offset()
        assert topic is not None
        assert number is not None
        assert offset is not None
        places.add((topic, number, offset))

    producer = Producer({"bootstrap.servers": run.servers.bootstrap})
    for value in JUNK:
        producer.produce(run.topic("item"), key=b"1", value=value, on_delivery=delivered)
    producer.flush(ADMIN_SECONDS)
    run.expect(len(places) == len(JUNK), "the records were not taken")
    return places


@scenario(
    33, "the consumer's database away for longer than max.poll.interval", "paused, and stays in its group", quick=True
)
def database_away(run: Run) -> None:
    consumer = run.start_consumer(
        FAULT_KAFKA=f'{{"max.poll.interval.ms": {POLL_MILLISECONDS}}}', KAFKA_SESSION_TIMEOUT_SECONDS="6"
    )
    run.load()
    run.servers.proxies[Role.CONSUMER].switch(Mode.CUT)
    run.wait(lambda: _said(consumer.events(), "consumer.database_unavailable"), what="a consumer that waits")
    run.let_pass(POLL_MILLISECONDS / 1000 * 1.5)
    run.servers.proxies[Role.CONSUMER].switch(Mode.OPEN)
    run.healed()
    run.recovered()
    run.expect(not _said(consumer.events(), "consumer.revoked"), "the consumer lost its partitions")


@scenario(34, "disk of the read model full", "stops and says so; no offset moves; goes on with room", apart=True)
def disk_full(run: Run) -> None:
    disk = run.small_disk(run.read_model)
    run.load()
    disk.fill()
    consumer = run.consumers[0]
    run.wait(lambda: _said(consumer.events(), "consumer.database_unavailable"), what="a consumer that waits")
    offsets, stored = run.log.query(OFFSETS)[0]["n"], run.stored()
    run.let_pass(4)
    run.expect(run.log.query(OFFSETS)[0]["n"] == offsets, "offsets moved")
    run.expect(run.stored() == stored, "events were stored")
    disk.free()
    run.healed()
    run.recovered()
