"""What changed: `{field name: [old, new]}` out of the images before and after, without touching a digit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

MASK = msgspec.Raw(b'"***"')
NULL = msgspec.Raw(b"null")

# An image: column -> the value's JSON text. Values are compared and copied as text: both images were written by the
# same function, and no parser gets to round a number.
Image = Mapping[str, msgspec.Raw]
Changes = dict[str, tuple[msgspec.Raw, msgspec.Raw]]


def changes(
    *,
    before: Image | None,
    after: Image | None,
    fields: Mapping[str, str],
    masked_changed: Iterable[str] = (),
) -> Changes:
    """
    Return the old and the new value of each changed field, by field name.

    A create has `[null, value]` and a delete `[value, null]` for each value that is not null. `fields` maps columns to
    field names where these differ. A column in `masked_changed` did change though its masked values look equal.
    """
    name, old, new = fields.get, before or {}, after or {}
    found = {
        name(column, column): (value, new.get(column, NULL))
        for column, value in old.items()
        if value != new.get(column, NULL)
    }
    if len(new) > len(old) or new.keys() - old.keys():
        for column, value in new.items():
            if column not in old and value != NULL:
                found[name(column, column)] = (NULL, value)
    for column in masked_changed:
        found.setdefault(fields.get(column, column), (old.get(column, MASK), new.get(column, MASK)))
    return found


def applied(*, before: Image, changed: Changes, columns: Mapping[str, str]) -> dict[str, msgspec.Raw]:
    """
    Return the image that `changed` makes out of `before`; `columns` maps field names to columns where these differ.

    A field whose new value is null stays, as null: an image lists every tracked column.
    """
    return {**before, **{columns.get(name, name): new for name, (_old, new) in changed.items()}}
