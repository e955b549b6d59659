"""Which columns of a row are not what its last event says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from auditlog.capture.columns import Column, schema_version
from auditlog.capture.plans import RowPlan
from auditlog.completeness.images import Image, LastEvent, parsed
from auditlog.large_values import Reference

HASH_PREFIX = "hmac:"
_texts = msgspec.json.Decoder(dict[str, msgspec.Raw])


def differing(plan: RowPlan, *, live: str, last: LastEvent) -> tuple[str, ...]:
    """
    Return the columns that differ, in the order of the table.

    Only columns of both images are compared. An event of an earlier form of the table or of its registration may write
    a value in another way: then text and number count as equal where they look equal, and masks only where both are
    hashes. Two full masks differ where one of them stands for null. A reference is compared with the hash of the text
    that stands in `live`, the JSON text of the row's image.
    """
    audited = parsed(last.after or "{}")
    is_same_form = last.schema_version == schema_version(plan.label, plan.columns)
    return tuple(differing_columns(plan.columns, live, audited, last.masked, is_same_form=is_same_form))


def differing_columns(
    columns: Iterable[Column], live: str, audited: Image, masked: frozenset[str], *, is_same_form: bool
) -> Iterator[str]:
    """Yield the names of those of these columns that differ; see `differing`. `masked` are those of the event."""
    image = parsed(live)
    for column in columns:
        name = column.name
        if name not in image or name not in audited:
            continue
        new, old = image[name], audited[name]
        if _is_hash(new) and _is_hash(old):
            differs = new != old
        elif column.mask or name in masked:
            differs = is_same_form and (new is None) != (old is None)
        elif (reference := Reference.of(old)) is not None:
            differs = not reference.stands_for(bytes(_texts.decode(live)[name]))
        else:
            differs = new != old and (is_same_form or _shown(new) != _shown(old))
        if differs:
            yield name


def _is_hash(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(HASH_PREFIX)


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
