"""Compares the links of objects with those that follow from the membership events of the audit log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from heapq import merge
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from auditlog.capture.columns import schema_version
from auditlog.completeness import images
from auditlog.completeness.differences import differing_columns
from auditlog.completeness.links import Link, LinkTable
from auditlog.completeness.streams import streamed
from auditlog.vocabulary import Action

KIND = "links"
# All that the log says of the links of these objects, in commit order. Index: auditlog_auditlog_object.
MEMBERSHIPS = """
SELECT k.key, e.sequence, e.action, e.m2m, e.masked, e.schema_version
FROM unnest(%s::text[]) AS k (key)
CROSS JOIN LATERAL (
    SELECT a.sequence, a.action, a.m2m::text AS m2m, a.masked::text AS masked, a.schema_version
    FROM auditlog_auditlog a
    WHERE a.model = %s AND a.object_pk = k.key AND a.m2m ->> 'field' = %s AND a.occurred_at <= %s
    ORDER BY a.sequence
) e
ORDER BY k.key COLLATE "C", e.sequence
"""


class MembershipEvent(NamedTuple):
    """An event of the audit log about the links of one object."""

    key: str
    sequence: str
    action: str
    # The member `m2m`, as JSON text.
    m2m: str
    masked: str | None
    schema_version: str | None


class _Membership(msgspec.Struct):
    added: list[str] = []
    removed: list[str] = []
    through: dict[str, msgspec.Raw] | None = None


@dataclass(frozen=True, slots=True)
class LinkFinding:
    """An object whose links in one field are not what the audit log says; targets by their keys."""

    model: str
    # That of the links.
    table: str
    key: str
    field: str
    # Links that are there and that no event added; that are gone and that none removed. Twice: two links.
    added: tuple[str, ...]
    removed: tuple[str, ...]
    # Target -> fields of the link's own.
    changed: tuple[tuple[str, tuple[str, ...]], ...]
    # The order of the last event about these links.
    sequence: str | None

    def members(self) -> dict[str, Any]:
        """Return the finding as `--json` prints it."""
        return {
            "model": self.model,
            "table": self.table,
            "key": self.key,
            "kind": KIND,
            "columns": [],
            "field": self.field,
            "added": list(self.added),
            "removed": list(self.removed),
            "changed": {target: list(columns) for target, columns in self.changed},
        }

    def __str__(self) -> str:
        changed = [f"{target} ({', '.join(columns)})" for target, columns in self.changed]
        parts = {"added": self.added, "removed": self.removed, "changed": changed}
        told = "; ".join(f"{what} {', '.join(targets)}" for what, targets in parts.items() if targets)
        return f"{self.table} {self.key} {KIND} of {self.field}: {told}"

    def still(self, earlier: LinkFinding) -> LinkFinding | None:
        """Return what differs in the same way as at an earlier look; None where nothing does."""
        added, removed = (
            tuple(sorted((Counter(now) & Counter(before)).elements()))
            for now, before in ((self.added, earlier.added), (self.removed, earlier.removed))
        )
        known = dict(earlier.changed)
        changed = tuple(one for one in self.changed if one[0] in known)
        return replace(self, added=added, removed=removed, changed=changed) if added or removed or changed else None


@dataclass(slots=True)
class _Object:
    """The links of one object on both sides."""

    live: Counter[str] = field(default_factory=Counter)
    # Target -> fields of each of its links.
    through: dict[str, list[str]] = field(default_factory=dict)
    told: Counter[str] = field(default_factory=Counter)
    # Target -> fields of the link that was told of last, and its event.
    told_through: dict[str, tuple[msgspec.Raw, MembershipEvent]] = field(default_factory=dict)
    sequence: str | None = None

    def take(self, row: Link | MembershipEvent, *, is_unique: bool) -> None:
        """Add a link, or apply the next event."""
        if isinstance(row, Link):
            self.live[row.target] += 1
            if row.through is not None:
                self.through.setdefault(row.target, []).append(row.through)
            return
        self.sequence = row.sequence
        event = msgspec.json.decode(row.m2m, type=_Membership)
        for target, count in Counter(event.removed).items():
            self.told[target] = 0 if is_unique else max(0, self.told[target] - count)
        for target, count in Counter(event.added).items():
            # A snapshot says how many there are; what else adds says how many more.
            before = 0 if row.action == Action.SNAPSHOT else self.told[target]
            self.told[target] = 1 if is_unique else before + count
        for target, through in (event.through or {}).items():
            self.told_through[target] = (through, row)


def compare(link: LinkTable, keys: Sequence[str]) -> list[LinkFinding]:
    """
    Compare the links of these objects with what the audit log says; one object is in memory at a time.

    What differs may be on its way: look again before it is believed.
    """
    now = images.clock(link.table)
    with link.live(keys) as live, _told(link, keys, until=now) as told:
        rows: Iterator[Link | MembershipEvent] = merge(live, told, key=itemgetter(0))
        objects = ((key, _object(link, of_one)) for key, of_one in groupby(rows, key=itemgetter(0)))
        judged = (_judged(link, key, found) for key, found in objects)
        return [finding for finding in judged if finding is not None]


def _told(link: LinkTable, keys: Sequence[str], *, until: Any) -> AbstractContextManager[Iterator[MembershipEvent]]:
    params = [list(keys), link.table.label, link.plan.field_name, until]
    return streamed(images.read_model(), MEMBERSHIPS, params, MembershipEvent)


def _object(link: LinkTable, rows: Iterator[Link | MembershipEvent]) -> _Object:
    found = _Object()
    for row in rows:
        found.take(row, is_unique=link.is_unique)
    return found


def _judged(link: LinkTable, key: str, found: _Object) -> LinkFinding | None:
    added, removed = found.live - found.told, found.told - found.live
    both = sorted(target for target in found.live if found.told[target] and found.live[target])
    changed = tuple((target, columns) for target in both if (columns := _changed(link, found, target)))
    if not (added or removed or changed):
        return None
    return LinkFinding(
        model=link.table.label,
        table=link.model._meta.db_table,
        key=key,
        field=link.plan.field_name,
        added=tuple(sorted(added.elements())),
        removed=tuple(sorted(removed.elements())),
        changed=changed,
        sequence=found.sequence,
    )


def _changed(link: LinkTable, found: _Object, target: str) -> tuple[str, ...]:
    """Return the fields of a link that are not what was told; events know one link between two objects."""
    if target not in found.told_through:
        return ()
    (raw, event), plan = found.told_through[target], link.plan
    told, masked = images.parsed(bytes(raw).decode()), frozenset(msgspec.json.decode(event.masked or "[]"))
    is_same_form = event.schema_version == schema_version(f"{plan.owner_label}.{plan.field_name}", plan.fields)
    different = [
        tuple(differing_columns(plan.fields, live, told, masked, is_same_form=is_same_form))
        for live in found.through.get(target, ())
    ]
    return min(different, default=(), key=len)
