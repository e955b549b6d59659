"""Records as they come from a topic, without the Kafka client's types."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from auditlog.text import clean

Header = tuple[str, bytes | None]


class Partition(NamedTuple):
    """A partition of a topic."""

    topic: str
    number: int


# Partition -> the next offset to store; None where the group has stored nothing yet.
Positions = Mapping[Partition, int | None]


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record of a partition; there are many, so none is looked at for cycles."""

    partition: Partition
    offset: int
    key: bytes | None
    value: bytes | None
    # None where they cannot be read: a name is not UTF-8.
    headers: tuple[Header, ...] | None = ()

    def header(self, name: str) -> bytes | None:
        """Return the value of the first header of this name."""
        for header, value in self.headers or ():
            if header == name:
                return value
        return None


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of some partitions, each partition's in the order of offsets, and where each partition stands."""

    records: tuple[Record, ...]
    expected: Positions = field(default_factory=dict)

    def next_offsets(self) -> dict[Partition, int]:
        """Return where each partition stands once this batch is stored."""
        following: dict[Partition, int] = {}
        for record in self.records:
            following[record.partition] = max(record.offset + 1, following.get(record.partition, 0))
        return following

    def after(self, unstored: Batch) -> Batch:
        """
        Return the part of this batch that follows one that is not stored yet, from where that will lead.

        Both were read from where the database stands; what an assignment in between brought again is left out.
        """
        stands = unstored.next_offsets()
        records = tuple([record for record in self.records if record.offset >= stands.get(record.partition, 0)])
        return Batch(records, {partition: stands.get(partition, at) for partition, at in self.expected.items()})

    def within(self, partitions: Iterable[Partition]) -> Batch:
        """Return the part of this batch that belongs to `partitions`."""
        kept = frozenset(partitions)
        records = tuple(record for record in self.records if record.partition in kept)
        return Batch(records, {partition: at for partition, at in self.expected.items() if partition in kept})


def described_headers(headers: Iterable[Header]) -> list[dict[str, str | None]]:
    """Return headers as JSON members from which the bytes can be made again."""
    return [_described(name, value) for name, value in headers]


def header_bytes(described: Mapping[str, str | None]) -> Header:
    """Return the header that `described_headers` described."""
    name, encoded, text = str(described["name"]), described.get("base64"), described.get("value")
    if encoded is not None:
        return name, base64.b64decode(encoded)
    return name, None if text is None else text.encode()


def _described(name: str, value: bytes | None) -> dict[str, str | None]:
    if value is None:
        return {"name": clean(name), "value": None}
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = "\x00"
    if "\x00" in text:
        return {"name": clean(name), "base64": base64.b64encode(value).decode()}
    return {"name": clean(name), "value": text}
