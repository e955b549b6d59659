"""Which topics there should be and what they should look like, and what has to be done about those that differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from publishers.brokers import Found, Shape

UNLIMITED = "-1"
COMPACTED = "cleanup.policy is {found}: compaction removes history. Set it to delete, and see with audit_reconcile"
PARTITIONS = (
    "has {found} partitions, wanted {wanted}: other partitions would get its keys, and their order would end. "
    "Move it: kafka_topics move {name} --partitions {wanted}"
)
REPLICATION = "has {found} copies, wanted {wanted}: reassign its partitions with Kafka's own tools"
IN_SYNC = "has {found} copies, of which min.insync.replicas={wanted} cannot be in sync: nothing could be written"
SHORTER = "retention.ms is {found}, wanted {wanted}: shortening it removes history. Set it with Kafka's own tools"
UNTOLD = "its settings cannot be read: allow DescribeConfigs"


class Setting(StrEnum):
    """The settings of a topic that are planned."""

    POLICY = "cleanup.policy"
    RETENTION_TIME = "retention.ms"
    RETENTION_SIZE = "retention.bytes"
    IN_SYNC = "min.insync.replicas"
    LARGEST = "max.message.bytes"


@dataclass(frozen=True, slots=True)
class Plan:
    """What has to be done: topics to create, settings to change (from, to), and what is refused and why."""

    create: Mapping[str, Shape] = field(default_factory=dict)
    alter: Mapping[str, Mapping[str, tuple[str, str]]] = field(default_factory=dict)
    refused: Mapping[str, list[str]] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Return whether everything is as it should be."""
        return not (self.create or self.alter or self.refused)


def shape(*, partitions: int, replication: int, in_sync: int, largest_bytes: int, retention_days: int) -> Shape:
    """Return how topics are made; `retention_days` 0: nothing is ever removed."""
    settings = {
        Setting.POLICY.value: "delete",
        Setting.RETENTION_TIME.value: str(retention_days * 86_400_000) if retention_days else UNLIMITED,
        Setting.RETENTION_SIZE.value: UNLIMITED,
        Setting.IN_SYNC.value: str(in_sync),
        Setting.LARGEST.value: str(largest_bytes),
    }
    return Shape(partitions, replication, settings)


def plan(*, wanted: Mapping[str, Shape], left: Mapping[str, Shape], found: Mapping[str, Found]) -> Plan:
    """
    Compare what there is with what is wanted.

    `left` are topics that were moved away from: they are read still, so their settings matter, their partitions do not.
    """
    create = {name: shape for name, shape in wanted.items() if name not in found}
    alter: dict[str, dict[str, tuple[str, str]]] = {}
    refused: dict[str, list[str]] = {}
    for name, shape in {**left, **wanted}.items():
        if (topic := found.get(name)) is None:
            continue
        problems = [*(_misfits(name, shape, topic) if name in wanted else ()), *_dangers(shape, topic)]
        if problems:
            refused[name] = problems
        if changes := dict(_changes(shape, topic)):
            alter[name] = changes
    return Plan(create, alter, refused)


def _misfits(name: str, shape: Shape, found: Found) -> Iterator[str]:
    if found.partitions != shape.partitions:
        yield PARTITIONS.format(found=found.partitions, wanted=shape.partitions, name=name)
    if found.replication < shape.replication:
        yield REPLICATION.format(found=found.replication, wanted=shape.replication)


def _dangers(shape: Shape, found: Found) -> Iterator[str]:
    """Yield why settings are left alone that differ."""
    if found.settings is None:
        yield UNTOLD
        return
    if "compact" in (policy := found.settings.get(Setting.POLICY, "")):
        yield COMPACTED.format(found=policy)
    if _exceeds(
        time := found.settings.get(Setting.RETENTION_TIME, ""), limit := shape.settings[Setting.RETENTION_TIME]
    ):
        yield SHORTER.format(found=time, wanted=limit)
    if int(in_sync := shape.settings[Setting.IN_SYNC]) > found.replication:
        yield IN_SYNC.format(found=found.replication, wanted=in_sync)


def _changes(shape: Shape, found: Found) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield the settings that can be changed without harm."""
    for name, wanted in shape.settings.items() if found.settings is not None else ():
        now = (found.settings or {}).get(name, "")
        match name:
            case Setting.POLICY:
                harmless = False
            case Setting.IN_SYNC:
                harmless = now != wanted and int(wanted) <= found.replication
            case Setting.LARGEST:
                # A topic may take more: somebody let an event through that was parked.
                harmless = int(now or 0) < int(wanted)
            case _:
                harmless = now != wanted and not _exceeds(now, wanted)
        if harmless:
            yield name, (now, wanted)


def _exceeds(one: str, other: str) -> bool:
    """Return whether one limit keeps more than another."""
    return other != UNLIMITED and (one == UNLIMITED or int(one or 0) > int(other))
