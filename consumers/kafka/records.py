"""From the client's messages to records."""

from __future__ import annotations

from functools import lru_cache
from operator import methodcaller
from typing import Any

from confluent_kafka import KafkaException, Message

from consumers.records import Header, Partition, Record

# For a header's name that is not UTF-8, `Message.headers` (2.16.1) sets an error and returns all the same. Python's own
# calls may then go on with what it returned, which crashes; a call from C finds the error.
read_headers = methodcaller("headers")
# One object for all records of a partition: making one for each is a quarter of what a record takes.
the_partition = lru_cache(maxsize=4_096)(Partition)


def as_record(message: Message) -> Record:
    """Return a message as a record."""
    topic, number, offset = message.topic(), message.partition(), message.offset()
    if topic is None or number is None or offset is None:
        raise KafkaException(f"A record without a position: {topic}[{number}]@{offset}")
    partition = the_partition(topic, number)
    return Record(partition, offset, _bytes(message.key()), _bytes(message.value()), _headers(message))


def _headers(message: Message) -> tuple[Header, ...] | None:
    try:
        headers: Any = read_headers(message) or ()
    except (SystemError, UnicodeDecodeError):
        return None
    return tuple(headers)  # of names and bytes or None, whatever they were made of


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
