"""
Batches of the partitions that a process of the group was assigned.

Positions come from the database, never from Kafka: on assignment each partition is read on from where the read model
stands. Offsets are committed to Kafka afterwards, for lag tools only.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import structlog
from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_INVALID,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from consumers import metrics
from consumers.faults import BrokersUnavailable, ClientFailed
from consumers.kafka.errors import ErrorReport
from consumers.kafka.records import as_record
from consumers.records import Batch, Partition, Positions, Record

log = structlog.get_logger(__name__)

# So long a broker may take to let this process leave its group; then it finds out by itself.
CLOSE_SECONDS = 5.0

# How often Kafka is told what is stored: a commit for each batch would keep a broker busier than the events do.
TELL_SECONDS = 1.0

# Topics whose names begin so are patterns for the client.
PATTERN = "^"

Locate = Callable[[Collection[Partition]], Mapping[Partition, int | None] | None]

PROPERTIES: dict[str, Any] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    # A stored offset that the topic no longer has is an alarm; anything else would skip records in silence.
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "allow.auto.create.topics": False,
    # Waiting for the database happens inside a poll where partitions are being assigned.
    "max.poll.interval.ms": 600_000,
    # Topics that do not exist yet are found this soon after they were made.
    "topic.metadata.refresh.interval.ms": 10_000,
    # Prefetched records of all partitions together; the client's default is 64 MB.
    "queued.min.messages": 10_000,
    "queued.max.messages.kbytes": 16_384,
    "fetch.error.backoff.ms": 100,
    "socket.keepalive.enable": True,
    "reconnect.backoff.ms": 250,
    "reconnect.backoff.max.ms": 2_000,
    # What its errors say, `error_cb` says less often.
    "log_level": 2,
}

# Of members of a group by the protocol. In the newer one, which Kafka 4.0 brought (KIP-848), the broker decides
# about all of this, and the client refuses to be told.
GROUP_PROPERTIES: dict[str, dict[str, Any]] = {
    "classic": {
        "partition.assignment.strategy": "cooperative-sticky",
        # A consumer that died gives its partitions up after this long.
        "session.timeout.ms": 10_000,
        "heartbeat.interval.ms": 2_000,
    },
    "consumer": {"group.protocol": "consumer"},
}
# Kafka's name of a group by the protocol. A broker lets nobody join with the newer protocol while members of the older
# one have sticky assignments; in groups of their own both run side by side, and the offsets in the database keep them
# apart.
GROUP_SUFFIX = {"classic": "", "consumer": ".consumer"}


def membership(protocol: str, *, instance: str, session_seconds: int) -> dict[str, Any]:
    """
    Return the properties of a member of a group that are its own.

    With a name, `instance`, it does not leave when it ends: until its session is over, its partitions wait for it.
    """
    session = {"session.timeout.ms": session_seconds * 1000} if protocol == "classic" else {}
    return session | ({"group.instance.id": instance} if instance else {})


class Source:
    """The partitions that this process was assigned, as batches. Not safe for more than one thread."""

    def __init__(
        self,
        *,
        connection: Mapping[str, Any],
        group: str,
        locate: Locate,
        protocol: str = "classic",
        properties: Mapping[str, Any] | None = None,
    ) -> None:
        """`locate` returns where to read on from, None where the process is to stop; it may block for minutes."""
        self._locate = locate
        self._positions: dict[Partition, int | None] = {}
        # Where the database stood when they were stopped.
        self._stopped: dict[Partition, int | None] = {}
        self._backlog: list[Message] = []
        # What is stored and not committed to Kafka yet.
        self._untold: dict[Partition, int] = {}
        self._tell_at = 0.0
        self._paused = False
        self._closing = False
        self._missing: set[str] = set()
        # Kafka's time in milliseconds of the oldest record of the last fetch; None where that had none.
        self._oldest: int | None = None
        self._report = ErrorReport()
        self._consumer = Consumer(
            {
                "client.id": "auditlog-consumer",
                **connection,
                **PROPERTIES,
                **GROUP_PROPERTIES[protocol],
                "group.id": group + GROUP_SUFFIX[protocol],
                "error_cb": self._report,
                **(properties or {}),
            },
            logger=logging.getLogger("consumers.kafka.client"),
        )

    @property
    def partitions(self) -> frozenset[Partition]:
        """The partitions that are assigned and read."""
        return frozenset(self._positions)

    @property
    def followed(self) -> frozenset[Partition]:
        """The partitions that are assigned, also those that are not read because they are stopped."""
        return frozenset((*self._positions, *self._stopped))

    def check(self, *, timeout_seconds: float) -> None:
        """
        Ask a broker whether it is there.

        :raises BrokersUnavailable: if none answers.
        """
        try:
            self._consumer.list_topics(timeout=timeout_seconds)
        except KafkaException as exc:
            self._consumer.poll(0)  # the cause is reported there
            raise BrokersUnavailable(self._report.cause or exc.args[0].str()) from exc
        self._report.cause = ""

    def subscribe(self, topics: Sequence[str]) -> None:
        """
        Read these topics as a member of the group, and those that they were moved to, also where they do not exist yet.
        """
        # The names of a topic are letters, digits, dots, underscores and hyphens.
        moved = [PATTERN + name.replace(".", "\\.") + r"\.v[1-9][0-9]*$" for name in topics]
        self._consumer.subscribe(
            [*topics, *moved], on_assign=self._assign, on_revoke=self._revoke, on_lost=self._revoke
        )

    def fetch(self, *, rows: int, seconds: float, unstored: Batch | None = None) -> Batch:
        """
        Wait at most `seconds` for at most `rows` records, and return those of the partitions held now.

        `unstored` is the batch before, where that is not stored yet: what is returned follows it.

        :raises ClientFailed: if the Kafka client cannot go on.
        """
        if time.monotonic() >= self._tell_at:
            self._tell()
        messages, self._backlog = self._backlog, []
        if len(messages) < rows:
            messages += self._consumer.consume(num_messages=rows - len(messages), timeout=seconds)
        records = tuple(record for message in messages if (record := self._record(message)) is not None)
        batch = Batch(records, {record.partition: self._positions[record.partition] for record in records})
        if unstored is not None:
            return batch.after(unstored)
        self._oldest = (
            min((at for message in messages if (at := message.timestamp()[1]) > 0), default=None) if records else None
        )
        return batch

    def lag(self) -> dict[str, int]:
        """
        Return how many records there are beyond what is stored, by topic, as far as the brokers have told.

        They tell it with what they deliver: while nothing is fetched, the numbers stand still.
        """
        found: dict[str, int] = {}
        for partition, position in self._positions.items():
            low, high = self._consumer.get_watermark_offsets(_at(partition), cached=True)
            if high >= 0:
                behind = high - (max(low, 0) if position is None else position)
                found[partition.topic] = found.get(partition.topic, 0) + max(0, behind)
        return found

    def lag_seconds(self) -> float:
        """Return the age of the oldest record of the last fetch, 0 where it had none. For any thread."""
        oldest = self._oldest
        return 0.0 if oldest is None else max(0.0, time.time() - oldest / 1000)

    def advance(self, following: Mapping[Partition, int]) -> None:
        """Note that everything before these offsets is stored."""
        held = {partition: offset for partition, offset in following.items() if partition in self._positions}
        self._positions.update(held)
        self._untold.update(held)

    def _tell(self) -> None:
        """Commit to Kafka what is stored, for the sake of lag tools; does not wait."""
        self._tell_at = time.monotonic() + TELL_SECONDS
        told = [_at(p, offset) for p, offset in self._untold.items() if p in self._positions]
        self._untold.clear()
        if not told:
            return
        try:
            self._consumer.commit(offsets=told, asynchronous=True)
        except KafkaException as exc:
            # Nobody reads from there: it changes nothing but what lag tools show.
            log.debug("consumer.kafka_commit_failed", detail=str(exc))

    def rewind(self) -> None:
        """Read all partitions on from where the database says: what was fetched and not stored comes again."""
        self._backlog = []
        located = self._locate(self.partitions)
        for partition, offset in (located or {}).items():
            self._positions[partition] = offset
            self._consumer.seek(_at(partition, _start(offset)))

    def follow(self, stored: Positions) -> None:
        """Read on from where the database stands, where somebody moved an offset in it; a stopped partition too."""
        for partition, offset in stored.items():
            if partition in self._stopped and self._stopped[partition] != offset:
                self._start_again(partition, offset)
            elif partition in self._positions and self._positions[partition] != offset:
                self._consumer.seek(_at(partition, _start(offset)))
            else:
                continue
            self._positions[partition] = offset
            log.warning("consumer.offset_moved", topic=partition.topic, partition=partition.number, offset=offset)

    def pause(self) -> None:
        """Fetch nothing until `resume`, and stay a member of the group."""
        self._paused = True
        self._consumer.pause([_at(partition) for partition in self._positions])

    def idle(self, *, seconds: float) -> None:
        """Let time pass while paused: answer rebalances, keep what still comes in for the next fetch."""
        self._backlog += self._consumer.consume(num_messages=1, timeout=seconds)

    def resume(self) -> None:
        """Fetch again."""
        self._paused = False
        self._consumer.resume([_at(partition) for partition in self._positions])

    def close(self) -> None:
        """
        Leave the group, so that others take over at once; wait for a broker that is away a few seconds at most.

        A member that has a name stays in the group: see `membership`.
        """
        self._closing = True
        self._tell()
        # With a commit under way that no broker answers, the client would wait for ever.
        leaving = threading.Thread(target=self._consumer.close, name="leave-group", daemon=True)
        leaving.start()
        leaving.join(CLOSE_SECONDS)
        if leaving.is_alive():
            log.warning("consumer.group_not_left", waited_seconds=CLOSE_SECONDS)

    def _record(self, message: Message) -> Record | None:
        """Return the message as a record; None for errors, and for what was stored or taken away meanwhile."""
        error = message.error()
        if error is not None:
            self._handle(error, message)
            return None
        record = as_record(message)
        if record.partition not in self._positions:
            return None
        position = self._positions[record.partition]
        return None if position is not None and record.offset < position else record

    def _handle(self, error: KafkaError, message: Message) -> None:
        topic, number = message.topic(), message.partition()
        match error.code():
            case KafkaError._AUTO_OFFSET_RESET | KafkaError.OFFSET_OUT_OF_RANGE if topic is not None:
                self._stop(Partition(topic, number if number is not None else -1), error)
            case KafkaError.UNKNOWN_TOPIC_OR_PART if topic is not None:
                # Of topics that none was moved to yet, the client names the pattern.
                if not topic.startswith(PATTERN) and topic not in self._missing:
                    self._missing.add(topic)
                    log.warning("consumer.topic_missing", topic=topic)
            case KafkaError._FATAL:
                raise ClientFailed(error.str())
            case _:
                log.warning("consumer.kafka_error", code=error.name(), topic=topic, detail=error.str())

    def _stop(self, partition: Partition, error: KafkaError) -> None:
        """Read this partition no further: records between the stored offset and the topic's are gone."""
        if partition not in self._positions:
            return
        log.error(
            "consumer.offset_not_on_topic",
            topic=partition.topic,
            partition=partition.number,
            stored=self._positions[partition],
            detail=error.str(),
        )
        metrics.STOPPED.labels(partition.topic, str(partition.number)).set(1)
        self._stopped[partition] = self._positions.pop(partition)
        self._consumer.pause([_at(partition)])

    def _start_again(self, partition: Partition, offset: int | None) -> None:
        # The client's fetcher has given the partition up: it takes no seek, only a new assignment.
        self._consumer.incremental_unassign([_at(partition)])
        self._consumer.incremental_assign([_at(partition, _start(offset))])
        self._consumer.resume([_at(partition)])
        del self._stopped[partition]
        metrics.STOPPED.remove(partition.topic, str(partition.number))

    def _assign(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        partitions = [Partition(p.topic, p.partition) for p in assigned]
        # The thread that closes the client would be left with a connection to the database of its own.
        located = None if self._closing else self._locate(partitions)
        if located is None:  # stopping: nothing will be read
            consumer.incremental_assign([_at(p, OFFSET_INVALID) for p in partitions])
            return
        self._positions.update(located)
        self._missing -= {p.topic for p in partitions}
        consumer.incremental_assign([_at(p, _start(offset)) for p, offset in located.items()])
        # Said of each: one that was lost while it was paused would stay so, and nobody would resume it.
        (consumer.pause if self._paused else consumer.resume)([_at(p) for p in located])
        metrics.ASSIGNED.set(len(self._positions))
        log.info("consumer.assigned", partitions=_names(partitions))

    def _revoke(self, consumer: Consumer, revoked: list[TopicPartition]) -> None:
        partitions = [Partition(p.topic, p.partition) for p in revoked]
        self._tell()
        for partition in partitions:
            self._positions.pop(partition, None)
            if partition in self._stopped:
                del self._stopped[partition]
                metrics.STOPPED.remove(partition.topic, str(partition.number))
        consumer.incremental_unassign(revoked)
        metrics.ASSIGNED.set(len(self._positions))
        log.info("consumer.revoked", partitions=_names(partitions))


def _at(partition: Partition, offset: int = OFFSET_INVALID) -> TopicPartition:
    return TopicPartition(partition.topic, partition.number, offset)


def _start(offset: int | None) -> int:
    return OFFSET_BEGINNING if offset is None else offset


def _names(partitions: Collection[Partition]) -> list[str]:
    return [f"{topic}[{number}]" for topic, number in sorted(partitions)]
