"""Which links an object had: its membership events, one after the other, up to some event. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from auditlog.queries.provenance import Deed, Origin
from auditlog.vocabulary import Action


@dataclass(frozen=True, slots=True)
class Told:
    """An event of an object that says something of its links: a membership event, or a create or delete of the row."""

    deed: Deed
    m2m: Mapping[str, Any] | None = None
    # The class of the field's values, where the caller may not see them.
    hidden: str | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """A target that an object is linked with: how often, since which event, and what the link says itself."""

    target: str
    links: int
    origin: Origin
    deed: Deed | None
    label: str | None = None
    through: Any = None


@dataclass(slots=True)
class Memberships:
    """The links of an object in one many-to-many field."""

    target_model: str
    members: dict[str, Member] = field(default_factory=dict)
    # Target -> the event that took the last link to it away.
    removals: dict[str, Deed] = field(default_factory=dict)
    hidden: str | None = None


def memberships(events: Iterable[Told]) -> dict[str, Memberships]:
    """
    Return the links that events leave, by field name; the events come in commit order.

    A snapshot says which links are there, not who added them, and never that there are no others. With its row an
    object loses its links, also those whose events an application's database removed without telling.
    """
    found: dict[str, Memberships] = {}
    is_created = False
    for told in events:
        if told.m2m is None:
            is_created = told.deed.action == Action.CREATE
            if told.deed.action == Action.DELETE:
                for links in found.values():
                    _remove(links, dict.fromkeys(links.members), told.deed)
            continue
        links = found.setdefault(told.m2m["field"], Memberships(told.m2m["target_model"]))
        links.hidden = links.hidden or told.hidden
        _apply(links, told.deed, told.m2m, is_created=is_created)
    return found


def _apply(links: Memberships, deed: Deed, m2m: Mapping[str, Any], *, is_created: bool) -> None:
    members = links.members
    _remove(links, Counter(m2m.get("removed") or ()), deed)
    for target, count in Counter(m2m.get("added") or ()).items():
        members[target] = _added(members.get(target), target, count, deed, is_created=is_created)
    through, labels = m2m.get("through") or {}, m2m.get("labels") or {}
    for target in through.keys() & members.keys():
        members[target] = replace(members[target], through=through[target])
    for target in labels.keys() & members.keys():
        members[target] = replace(members[target], label=labels[target])


def _remove(links: Memberships, removed: Mapping[str, int | None], deed: Deed) -> None:
    """Take links away: as many as told of each target, all of them where that is None."""
    for target, count in removed.items():
        known = links.members.get(target)
        if known is not None and count is not None and known.links > count:
            links.members[target] = replace(known, links=known.links - count)
        else:
            links.members.pop(target, None)
            links.removals[target] = deed


def _added(known: Member | None, target: str, count: int, deed: Deed, *, is_created: bool) -> Member:
    if deed.action == Action.SNAPSHOT:
        # How many there are, where anything else says how many more.
        if known is not None:
            return replace(known, links=count)
        return Member(target, count, Origin.UNRECORDED if is_created else Origin.BEFORE_THE_LOG, None)
    return Member(target, count + (known.links if known else 0), Origin.EVENT, deed)
