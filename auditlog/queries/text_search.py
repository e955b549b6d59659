"""
Searches words in what an event calls its object, its actor, its reason, action and model.

Each word must begin a word there, whatever the case; the function `auditlog_words` says what the words of an event are.
Its index, `auditlog_auditlog_words`, is a way to the same answer and never to another one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from django.db.models import BooleanField, F, Func, Q, TextField, Value
from django.db.models.functions import Lower, StrIndex
from django.db.models.lookups import GreaterThan

COLUMNS = ("object_repr", "actor_repr", "reason", "action", "model")
# Everything in ASCII but letters and digits stands between words.
SEPARATORS = re.compile(r"[^0-9A-Za-z\x80-\U0010ffff]+")


class _Matches(Func):
    """The words of an event have those of a search among them."""

    arg_joiner = " @@ "
    template = "(%(expressions)s)"
    output_field = BooleanField()


def matching(words: Iterable[str]) -> Q:
    """Return the condition that each word begins a word of the event; without a letter or digit it begins none."""
    parts = [list(filter(None, SEPARATORS.split(word))) for word in words]
    if not all(parts):
        return Q(pk__in=[])
    # Quotes, since there may be spaces that only Unicode knows; between separators there are no quotes.
    wanted = " & ".join(dict.fromkeys(f"'{part}':*" for word in parts for part in word))
    query = Func(Value(wanted), template="to_tsquery('pg_catalog.simple', %(expressions)s)")
    found = Q(_Matches(Func(*map(F, COLUMNS), function="auditlog_words"), query))
    # What follows from that costs a twentieth of it: rows that are read in the order of time are judged by this first.
    text = Lower(Func(Value(" "), *map(F, COLUMNS), function="concat_ws", output_field=TextField()))
    for word in parts:
        found &= Q(GreaterThan(StrIndex(text, Lower(Value(max(word, key=len)))), Value(0)))
    return found
