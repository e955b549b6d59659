"""
Whether two events of an object that follow each other fit, and if not, why. Pure.

`after` of the one is `before` of the next: what came between them has no event. Only columns of both images are
compared.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import msgspec

from auditlog.large_values import Reference
from auditlog.vocabulary import Action
from consumers.reasons import GapKind

HASH = b'"hmac:'
# While a key is replaced, events of transactions that began before still have the old one.
KEY_SLACK = timedelta(minutes=1)

Image = Mapping[str, msgspec.Raw]
_image = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


@dataclass(frozen=True, slots=True)
class Pair:
    """Two row events of an object, none of which stands between them; images are JSON text."""

    model: str
    object_pk: str
    previous_id: UUID
    event_id: UUID
    previous_at: datetime
    at: datetime
    previous_action: str
    action: str
    previous_version: str | None
    version: str | None
    # What the object was after the one, and before the other; of a snapshot, what it was then.
    known: str | None
    found: str | None
    is_adopted: bool
    # An auditing_disabled event of the model lies before the later one, and not long before the earlier one.
    is_disabled: bool


@dataclass(frozen=True, slots=True)
class Gap:
    """A pair that does not fit."""

    pair: Pair
    kind: GapKind
    columns: tuple[str, ...] = ()

    def members(self) -> dict[str, object]:
        """Return the gap as `--json` prints it."""
        pair = self.pair
        return {
            "model": pair.model,
            "object_pk": pair.object_pk,
            "kind": self.kind,
            "columns": list(self.columns),
            "previous_event_id": str(pair.previous_id),
            "event_id": str(pair.event_id),
        }

    def __str__(self) -> str:
        columns = f": {', '.join(self.columns)}" if self.columns else ""
        return f"{self.kind}  {self.pair.model} {self.pair.object_pk} before {self.pair.event_id}{columns}"


def judge(pair: Pair, *, key_made_at: datetime | None) -> Gap | None:
    """
    Return the gap between two events; None where they fit.

    `key_made_at` is when the present key of hashed masks was made: hashes of before then cannot be compared.
    """
    if pair.is_adopted:
        return Gap(pair, GapKind.BYPASS, _columns(pair))
    columns = _columns(pair)
    if not columns and not _contradict(pair):
        return None
    return Gap(pair, _kind(pair, columns, key_made_at), columns)


def _kind(pair: Pair, columns: tuple[str, ...], key_made_at: datetime | None) -> GapKind:
    if pair.is_disabled:
        return GapKind.AUDITING_DISABLED
    if pair.previous_version != pair.version:
        return GapKind.REGISTRATION
    known, found = _image((pair.known or "{}").encode()), _image((pair.found or "{}").encode())
    doubts = {column: _doubt(known[column], found[column]) for column in columns}
    if columns and GapKind.UNEXPLAINED not in doubts.values():
        is_older = key_made_at is not None and pair.previous_at <= key_made_at + KEY_SLACK
        if GapKind.MASK_KEY not in doubts.values():
            return GapKind.LARGE_VALUE
        if is_older:
            return GapKind.MASK_KEY
    return GapKind.UNEXPLAINED


def _doubt(known: msgspec.Raw, found: msgspec.Raw) -> GapKind:
    """Return what two different values of a column may come from but a change."""
    if bytes(known).startswith(HASH) and bytes(found).startswith(HASH):
        return GapKind.MASK_KEY
    one, other = _reference(known), _reference(found)
    if (one is None) != (other is None) and not bytes(known if one is None else found).startswith(b'"'):
        # The text of nested JSON as it was then is not kept.
        return GapKind.LARGE_VALUE
    return GapKind.UNEXPLAINED


def _contradict(pair: Pair) -> bool:
    """Tell whether one event says that the object is there and the next that it is not."""
    was_there = pair.previous_action != Action.DELETE
    return was_there if pair.action == Action.CREATE else not was_there


def _columns(pair: Pair) -> tuple[str, ...]:
    if pair.known is None or pair.found is None:
        return ()
    return tuple(_differing(_image(pair.known.encode()), _image(pair.found.encode())))


def _differing(known: Image, found: Image) -> Iterator[str]:
    for column in known:
        if column not in found or bytes(known[column]) == bytes(found[column]):
            continue
        if not _stand_for_each_other(known[column], found[column]):
            yield column


def _stand_for_each_other(known: msgspec.Raw, found: msgspec.Raw) -> bool:
    """Tell whether one is the reference to the other: an event gives up more of its values the larger it is."""
    one, other = _reference(known), _reference(found)
    if one is not None and other is None:
        return one.stands_for(bytes(found))
    return other is not None and one is None and other.stands_for(bytes(known))


def _reference(value: msgspec.Raw) -> Reference | None:
    return Reference.of(json.loads(bytes(value))) if bytes(value).startswith(b"{") else None
