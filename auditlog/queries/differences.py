"""What differs between two states of an object, and who made the difference. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from auditlog.queries.memberships import Member, Memberships
from auditlog.queries.provenance import Deed, Held, Origin, same


@dataclass(frozen=True, slots=True)
class Side:
    """An object at an instant: its values by field name, None where there was no such object then."""

    held: Mapping[str, Held] | None
    memberships: Mapping[str, Memberships]
    # The last event of the row up to then; of an object that is gone, the one that deleted it.
    deed: Deed | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """A field with its values on both sides, and the last event that set it in between."""

    old: Any
    new: Any
    origin: Origin
    deed: Deed | None


@dataclass(frozen=True, slots=True)
class LinkChanges:
    """The targets that came, those that went, each with the event that took it away, and whose links differ."""

    target_model: str
    added: tuple[Member, ...]
    removed: tuple[tuple[Member, Deed | None], ...]
    changed: tuple[tuple[Member, Member], ...]
    hidden: str | None


@dataclass(frozen=True, slots=True)
class Differences:
    """What changed between two instants, by field name."""

    changes: Mapping[str, Change]
    # Fields that only the later, only the earlier image has: the table or the registration changed.
    appeared: tuple[str, ...]
    disappeared: tuple[str, ...]
    memberships: Mapping[str, LinkChanges]


def differences(old: Side, new: Side, *, is_partial: bool = False) -> Differences:
    """
    Return what differs.

    A field that is masked, or not for the caller, changed where an event says so, whatever its values are; any other
    field changed where its values differ, whatever happened in between. `is_partial`: there may be events that the
    caller does not see.
    """
    before, after = old.held or {}, new.held or {}
    otherwise = Origin.UNSEEN if is_partial else Origin.UNRECORDED
    changes = {
        field: change
        for field in dict.fromkeys([*before, *after])
        if (change := _change(before.get(field), after.get(field), old, new, otherwise))
    }
    both = old.held is not None and new.held is not None
    return Differences(
        changes,
        appeared=tuple(field for field in after if both and field not in before),
        disappeared=tuple(field for field in before if both and field not in after),
        memberships=_links(old.memberships, new.memberships),
    )


def _change(old: Held | None, new: Held | None, at_first: Side, at_last: Side, otherwise: Origin) -> Change | None:
    if (old is None and at_first.held is not None) or (new is None and at_last.held is not None):
        return None  # appeared or disappeared: no value became another
    one, other = old.value if old else None, new.value if new else None
    deed = at_last.deed if new is None else new.deed
    is_recent = deed is not None and (at_first.deed is None or deed.sequence > at_first.deed.sequence)
    is_opaque = any(value is not None and value.is_opaque for value in (old, new))
    changed = is_recent if is_opaque else not same(one, other)
    if not changed:
        return None
    return Change(one, other, Origin.EVENT if is_recent else otherwise, deed if is_recent else None)


def _links(old: Mapping[str, Memberships], new: Mapping[str, Memberships]) -> dict[str, LinkChanges]:
    found = {}
    for name, links in new.items():
        before = old[name].members if name in old else {}
        changes = LinkChanges(
            links.target_model,
            added=tuple(member for target, member in links.members.items() if target not in before),
            removed=tuple(
                (member, links.removals.get(target)) for target, member in before.items() if target not in links.members
            ),
            changed=tuple(
                (before[target], member)
                for target, member in links.members.items()
                if target in before and _shown(before[target]) != _shown(member)
            ),
            hidden=links.hidden or (old[name].hidden if name in old else None),
        )
        if changes.added or changes.removed or changes.changed:
            found[name] = changes
    return found


def _shown(member: Member) -> tuple[int, Any]:
    return member.links, member.through
