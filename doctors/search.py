"""
Finding doctors by words: PostgreSQL's full-text search over an index of an expression.

The index belongs to the table, so that it holds a change as soon as the change has committed, whichever way it was
written: by a save, an import or by hand. Nothing has to be told, rebuilt or cleaned up, and no column with words is
stored, loaded with each row or audited. E-mail addresses, phone numbers and tax ids are no part of it.
"""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.search import SearchQuery, SearchRank, SearchVector
from django.core.exceptions import ValidationError
from django.db.models import F, Func, QuerySet, TextField
from django.db.models.functions import Left

# Words as they are: names must not be cut to their stems.
CONFIGURATION = "simple"
LONGEST_QUERY = 200
# PostgreSQL refuses rows with more words than a megabyte holds: what comes after so many characters is not found.
INDEXED_CHARACTERS = 50_000


def document() -> Any:
    """Return the expression that is indexed, names before specialties before the rest; a query has to repeat it."""
    # A function of ours, because an index needs one that PostgreSQL calls immutable.
    tags = Func(F("search_tags"), function="doctors_tags_text", output_field=TextField())
    return (
        SearchVector("first_name", "middle_name", "last_name", "npi", weight="A", config=CONFIGURATION)
        + SearchVector(Left(tags, INDEXED_CHARACTERS), weight="B", config=CONFIGURATION)
        + SearchVector("credential", "medical_school", weight="C", config=CONFIGURATION)
        + SearchVector(Left("bio", INDEXED_CHARACTERS), weight="D", config=CONFIGURATION)
    )


def validate_query(text: str) -> None:
    """
    Refuse a text without a word.

    :raises ValidationError: with the code `no_word`.
    """
    if not _words(text):
        raise ValidationError("A query needs a letter or a digit.", code="no_word")


def search(doctors: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Return those doctors of whom each word of `text` begins a word, the best match first."""
    # Each word in quotes, in which nothing but quotes and backslashes has a meaning; PostgreSQL may see several in it.
    quoted = ("'{}':*".format(word.replace("\\", " ").replace("'", "''")) for word in _words(text))
    query = SearchQuery(" & ".join(quoted), search_type="raw", config=CONFIGURATION)
    found = doctors.annotate(words=document()).filter(words=query)
    ranked: QuerySet[Any] = found.annotate(rank=SearchRank(F("words"), query)).order_by("-rank", "pk")
    return ranked


def _words(text: str) -> list[str]:
    return [word for word in text.split() if any(character.isalnum() for character in word)]
