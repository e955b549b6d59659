"""Words are found by what they begin, with and without the index, whoever looks how."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import connections, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from auditlog.models import AuditLog
from auditlog.queries import text_search
from tests.integration.auditlog_api.conftest import Store

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

EVENTS = "/api/audit/v1/events/"
SCANS = ("seqscan", "indexscan", "bitmapscan")
# What names, reasons and models are made of, and what PostgreSQL's parser takes for one word.
PARTS = (
    "ada",
    "BYRON",
    "o'brien",
    "m.okonkwo",
    "a@b.org",
    "x/y",
    "1e5",
    "12ab",
    "-7",
    "3.50",
    "<b>",
    "&amp;",
    "m2m.add",
    "zoë",
    "Straße",
)
TEXTS = st.lists(st.sampled_from(PARTS), max_size=4).map(" ".join)


@contextmanager
def only(scan: str) -> Iterator[None]:
    """Let the planner read in one way only, if there is one."""
    with transaction.atomic(using="audit"), connections["audit"].cursor() as cursor:
        for other in SCANS:
            cursor.execute(f"SET LOCAL enable_{other} = {'on' if other == scan else 'off'}")
        yield


def found(*words: str) -> set[str | None]:
    """Return the keys of the objects that a search finds, which must be the same in every way of reading."""
    answers = {}
    for scan in ("seqscan", "bitmapscan"):
        with only(scan):
            rows = AuditLog.objects.using("audit").filter(text_search.matching(words))
            assert ("Bitmap Index Scan on auditlog_auditlog_p" in rows.explain()) is (scan == "bitmapscan")
            answers[scan] = {event.object_pk for event in rows}
    assert answers["seqscan"] == answers["bitmapscan"]
    return answers["seqscan"]


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        (["ada"], {"1"}),
        (["ADA", "byr"], {"1"}),
        (["ada", "lovelace"], set()),
        # Only what begins a word.
        (["yron"], set()),
        (["okonkwo"], {"2"}),
        (["m.okonkwo"], {"2"}),
        (["brien"], {"3"}),
        (["o'brien"], {"3"}),
        (["example"], {"4"}),
        (["someone@example.org"], {"4"}),
        (["patient"], {"2", "4"}),
        (["ticket", "22"], {"4"}),
        (["m2m"], {"3"}),
        (["remove"], {"3"}),
        # Words of different columns.
        (["byron", "doctors", "update"], {"1"}),
        # Nothing is left of it that PostgreSQL's language of searches knows.
        (["ada:*|okonkwo"], set()),
        (["ada'&!byron"], {"1"}),
    ],
)
def test_each_word_begins_a_word_of_the_event(store: Store, words: list[str], keys: set[str]) -> None:
    store(1, object_pk="1", object_repr="Dr Ada Byron", reason=None)
    store(2, object_pk="2", actor_repr="m.okonkwo", model="doctors.patient", object_repr=None)
    store(3, object_pk="3", object_repr="Maeve O'Brien-Smith", action="m2m.remove", model="doctors.department")
    reason = "Asked for by someone@example.org;\nthe patient's\tticket/22994"
    store(4, object_pk="4", object_repr="X", reason=reason, model="doctors.location")

    assert found(*words) == keys


@pytest.mark.parametrize("words", [["--"], ["update", "!"], ["'", "\\"]])
def test_what_has_no_letter_and_no_digit_begins_no_word(store: Store, words: list[str]) -> None:
    store(1)

    assert not AuditLog.objects.filter(text_search.matching(words)).exists()


def test_a_text_that_is_too_long_for_the_index_is_stored_and_found_by_its_beginning(store: Store) -> None:
    store(1, object_pk="1", reason=f"begin {'x' * 3_000} {' '.join(map(str, range(200_000)))} end")

    assert found("begin") == {"1"}
    assert found("end") == set()


@given(texts=st.lists(TEXTS, min_size=1, max_size=6), data=st.data())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_beginning_of_each_of_its_words_finds_an_event(
    owner_connection: psycopg.Connection[Any], store: Store, texts: list[str], data: st.DataObject
) -> None:
    owner_connection.execute("TRUNCATE auditlog_auditlog")
    for number, text in enumerate(texts):
        store(number, object_pk=str(number), object_repr=text, reason=None, action="update", model="a.b")
    number = data.draw(st.integers(0, len(texts) - 1))
    words = [word for word in texts[number].split() if any(map(str.isalnum, word))]
    beginnings = [word[: data.draw(st.integers(len(word) // 2 + 1, len(word)))] for word in words]

    assert found("update", *beginnings) >= {str(number)}


def test_the_api_finds_events_by_words(client: APIClient, store: Store) -> None:
    event_id = store(1, reason="Straße gesperrt, laut m.okonkwo")
    store(2, reason="other")

    answer = client.get(EVENTS, {"q": "straße OKONK"}).json()
    assert [event["event_id"] for event in answer["results"]] == [str(event_id)]


@pytest.mark.parametrize("name", ["山田\u3000太郎", "Ola\u00a0Nordmann", "a\u2028b"])
def test_a_name_with_a_space_that_only_unicode_knows_is_found_as_it_is_written(
    client: APIClient, store: Store, name: str
) -> None:
    event_id = store(1, object_repr=name)
    store(2, object_repr="other")

    answer = client.get(EVENTS, {"q": name}).json()
    assert [event["event_id"] for event in answer["results"]] == [str(event_id)]
