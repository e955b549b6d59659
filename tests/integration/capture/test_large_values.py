"""I8: what is too large for an event travels apart from it, whole and once, and no write fails for its size."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction

from auditlog import large_values, topics
from auditlog.capture.plans import forget_plans
from auditlog.completeness.snapshot import snapshot
from auditlog.completeness.tables import Table
from auditlog.context import set_extra_data, set_reason
from auditlog.events import record
from auditlog.large_values import Reference
from auditlog.raw import capture_rows
from auditlog.registry import auditlog
from tests.integration.capture.contents import Outbox
from tests.samples.models import Author, Book, Copy, Form, Genre, Manuscript

pytestmark = [pytest.mark.postgres_versions, pytest.mark.django_db(transaction=True)]
LIMIT = 65_536
EVENT_LIMIT = 900_000


@pytest.fixture
def outbox(transactional_db: None, owner_connection: psycopg.Connection[Any]) -> Outbox:
    return Outbox(owner_connection)


def is_reference(value: Any) -> bool:
    return Reference.of(value) is not None


def test_a_value_of_the_limit_stays_and_one_byte_more_is_a_reference(outbox: Outbox) -> None:
    # Two quotes belong to the JSON text.
    Manuscript.objects.create(body="x" * (LIMIT - 2))
    Manuscript.objects.create(body="x" * (LIMIT - 1))
    small, large = outbox.look().events
    assert small["after"]["body"] == "x" * (LIMIT - 2)
    assert large["after"]["body"]["bytes"] == LIMIT + 1
    assert outbox.text(large["after"]["body"]) == b'"' + b"x" * (LIMIT - 1) + b'"'
    assert [chunk["chunks"] for chunk in outbox.sent] == [1]
    assert topics.blobs_topic() in outbox.topics


@pytest.mark.parametrize(
    "character", ["\n", "\\", '"', "\x01", "\U0001f600", "\\u0000\x7f", "a\u2028\u00e9"], ids=ascii
)
def test_a_large_text_comes_back_as_it_stood_in_the_image(
    character: str, outbox: Outbox, owner_connection: psycopg.Connection[Any]
) -> None:
    body = character * 70_000
    Manuscript.objects.create(body=body)
    (event,) = outbox.look().events
    assert outbox.value(event["after"]["body"]) == body
    stood = owner_connection.execute("SELECT (row_to_json(r) -> 'body')::text FROM samples_manuscript r").fetchone()
    assert stood is not None
    assert outbox.text(event["after"]["body"]) == stood[0].encode()


def test_bytes_and_json_of_megabytes_come_back(outbox: Outbox) -> None:
    scan, margin = os.urandom(5_000_000), {"lines": ["\u00fc" * 100, None, 1.5] * 15_000, "n": 2**60}
    Manuscript.objects.create(scan=scan, margin=margin)
    (event,) = outbox.look().events
    assert base64.b64decode(outbox.value(event["after"]["scan"])) == scan
    assert outbox.value(event["after"]["margin"]) == margin
    assert outbox.largest < EVENT_LIMIT


def test_json_that_cannot_be_unescaped_is_no_obstacle(
    outbox: Outbox, owner_connection: psycopg.Connection[Any]
) -> None:
    source = '{"nul": "\\u0000", "half": "\\ud83d", "path": "C:\\\\u0000\\\\", "long": "' + "y" * LIMIT + '"}'
    owner_connection.execute(
        "INSERT INTO samples_manuscript (id, body, source) OVERRIDING SYSTEM VALUE VALUES (1, '\\u0000 \\\\', %s)",
        [source],
    )
    assert Manuscript.objects.update(code="x") == 1
    (event,) = outbox.look().events
    assert outbox.text(event["after"]["source"]).decode() == source
    assert event["before"]["source"] == event["after"]["source"]
    assert event["after"]["body"] == "\\u0000 \\\\"


@pytest.mark.parametrize(
    ("source", "apart"),
    [
        ('"\\u0000"', True),
        ('{"a": ["\\ud83d"]}', True),
        ('"\\uDE00\\ud83d"', True),
        ('"\\\\\\u0000"', True),
        ('"\\ud83d\\ude00"', False),
        ('"C:\\\\u0000"', False),
        ('"\\u0001"', False),
    ],
)
@pytest.mark.parametrize("quoting", ["on", "off"])
def test_an_escape_of_no_character_travels_apart_however_small_its_value(
    source: str, apart: bool, quoting: str, outbox: Outbox, owner_connection: psycopg.Connection[Any]
) -> None:
    owner_connection.execute("INSERT INTO samples_manuscript (body, source) VALUES ('', %s)", [source])
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('standard_conforming_strings', %s, false)", [quoting])
    try:
        Manuscript.objects.update(code="x")
    finally:
        connection.close()
    (event,) = outbox.look().events
    assert event["before"]["source"] == event["after"]["source"]
    if apart:
        assert outbox.text(event["after"]["source"]).decode() == source
    else:
        assert event["after"]["source"] == json.loads(source)


def test_an_escape_of_no_character_in_a_field_of_a_link_travels_apart(
    outbox: Outbox, owner_connection: psycopg.Connection[Any]
) -> None:
    through = '{"1":{"note":"\\u0000","n":1},"2":{"note":"","n":2}}'
    parts = owner_connection.execute(
        """SELECT through FROM auditlog_parts_of_links('{1,2}', %s, NULL, '"name":"audit"', 65536, 900000, 800000)""",
        [through],
    ).fetchall()
    ((links,),) = [[json.loads(text) for text in part] for part in parts]
    assert outbox.look().text(links["1"].pop("note")) == b'"\\u0000"'
    assert links == {"1": {"n": 1}, "2": {"note": "", "n": 2}}


def test_an_event_gives_up_its_largest_values_until_it_fits(outbox: Outbox) -> None:
    lengths = {f"answer_{number}": 60_000 - 100 * number for number in range(30)}
    Form.objects.create(**{name: chr(ord("a") + number) * n for number, (name, n) in enumerate(lengths.items())})
    Form.objects.update(answer_29="new")
    created, updated = outbox.look().events
    assert EVENT_LIMIT - 61_000 < outbox.largest <= EVENT_LIMIT
    given_up = [name for name in lengths if is_reference(created["after"][name])]
    # The largest, and no more than necessary.
    assert given_up == [f"answer_{number}" for number in range(len(given_up))]
    assert 10 < len(given_up) < 20
    assert outbox.value(created["after"]["answer_3"]) == "d" * 59_700
    # Equal before and after: no reader may see a change where there is none.
    assert {name for name in lengths if updated["before"][name] != updated["after"][name]} == {"answer_29"}


def test_a_value_of_twenty_megabytes_travels_in_small_chunks(outbox: Outbox) -> None:
    body = "0123456789" * 2_000_000
    Manuscript.objects.create(body=body)
    (event,) = outbox.look().events
    assert len(outbox.chunks) == 39
    assert outbox.value(event["after"]["body"]) == body
    assert outbox.largest < 750_000


def test_a_content_is_sent_once_for_a_thousand_rows_and_for_an_update_that_leaves_it(outbox: Outbox) -> None:
    body = "same" * 20_000
    Manuscript.objects.bulk_create([Manuscript(body=body) for _ in range(1_000)])
    assert len({event["after"]["body"]["$ref"] for event in outbox.look().events}) == 1
    assert (len(outbox.events), len(outbox.chunks)) == (1_000, 1)
    manuscript = Manuscript.objects.earliest("pk")
    manuscript.margin = 1
    manuscript.save()
    (event,) = outbox.look().events
    assert event["before"]["body"] == event["after"]["body"]
    assert outbox.value(event["before"]["body"]) == body
    assert outbox.chunks == []


def test_both_values_of_a_change_can_be_fetched(outbox: Outbox) -> None:
    manuscript = Manuscript.objects.create(body="old" * 30_000)
    manuscript.body = "new" * 30_000
    manuscript.save()
    manuscript.delete()
    _, updated, deleted = outbox.look().events
    assert [outbox.value(updated[image]["body"])[:3] for image in ("before", "after")] == ["old", "new"]
    assert outbox.value(deleted["before"]["body"])[:3] == "new"


def test_a_changed_key_has_references_in_both_events(outbox: Outbox) -> None:
    Manuscript.objects.create(body="x" * LIMIT)
    outbox.look()
    Manuscript.objects.update(id=10_000)
    gone, come = outbox.look().events
    assert (gone["op"], come["op"]) == ("d", "c")
    assert gone["before"]["body"] == come["after"]["body"]
    assert outbox.value(come["after"]["body"]) == "x" * LIMIT


def test_i9_a_masked_value_of_any_size_is_neither_in_an_event_nor_sent(outbox: Outbox) -> None:
    manuscript = Manuscript.objects.create(secret="plain" * 20_000, code="plain" * 30_000)
    manuscript.secret = "other" * 20_000
    manuscript.save()
    created, updated = outbox.look().events
    assert created["after"]["secret"] == "***"
    assert created["after"]["code"].startswith("hmac:")
    assert updated["audit"]["masked_changed"] == ["secret"]
    assert outbox.sent == []


@pytest.fixture
def masking(transactional_db: None) -> Iterator[None]:
    """Let a function make the mask of one large column."""
    auditlog.register(Manuscript, mask_fields=["body"], mask_callable=lambda value: "#" * len(value))
    yield
    auditlog.register(Manuscript, mask_fields={"secret": "full", "code": "hash"})


@pytest.mark.usefixtures("masking")
def test_i9_a_mask_of_the_application_is_what_is_sent(outbox: Outbox) -> None:
    Manuscript.objects.create(body="plain" * 20_000, margin="m" * 100_000)
    (event,) = outbox.look().events
    assert outbox.value(event["after"]["body"]) == "#" * 100_000
    assert outbox.value(event["after"]["margin"]) == "m" * 100_000
    sent = {outbox.text(event["after"][name]) for name in ("body", "margin")}
    assert not any(b"plain" in text for text in sent)
    assert len(outbox.sent) == 2


def test_raw_sql_and_snapshots_have_references_too(outbox: Outbox) -> None:
    manuscript = Manuscript.objects.create(body="old" * 30_000)
    outbox.look()
    with transaction.atomic(), capture_rows(Manuscript, [manuscript.pk]), connection.cursor() as cursor:
        cursor.execute("UPDATE samples_manuscript SET body = repeat('new', 30000)")
    assert [step.rows for step in snapshot(Table.of(Manuscript), batch_rows=10)] == [1]
    updated, read = outbox.look().events
    assert [outbox.value(updated[image]["body"])[:3] for image in ("before", "after")] == ["old", "new"]
    assert (read["op"], read["after"]["body"]) == ("r", updated["after"]["body"])


def test_an_upsert_has_references_on_both_sides(outbox: Outbox) -> None:
    manuscript = Manuscript.objects.create(body="old" * 30_000)
    outbox.look()
    Manuscript.objects.bulk_create(
        [Manuscript(pk=manuscript.pk, body="new" * 30_000)],
        update_conflicts=True,
        unique_fields=["id"],
        update_fields=["body"],
    )
    (event,) = outbox.look().events
    assert [outbox.value(event[image]["body"])[:3] for image in ("before", "after")] == ["old", "new"]


def test_settings_say_from_which_size_on(outbox: Outbox, settings: Any) -> None:
    settings.AUDITLOG_LARGE_VALUE_BYTES, settings.AUDITLOG_LARGE_EVENT_BYTES = 2_000, 200_000
    forget_plans()
    try:
        Manuscript.objects.create(body="x" * 2_000, margin=["y" * 1_000])
        Manuscript.objects.create(body="z" * 1_000_000)
    finally:
        settings.AUDITLOG_LARGE_VALUE_BYTES, settings.AUDITLOG_LARGE_EVENT_BYTES = LIMIT, EVENT_LIMIT
        forget_plans()
    first, second = outbox.look().events
    assert (is_reference(first["after"]["body"]), first["after"]["margin"]) == (True, ["y" * 1_000])
    assert outbox.value(second["after"]["body"]) == "z" * 1_000_000
    assert outbox.largest <= 200_000


def test_a_value_may_not_take_more_than_a_third_of_an_event(settings: Any) -> None:
    settings.AUDITLOG_LARGE_VALUE_BYTES, settings.AUDITLOG_LARGE_EVENT_BYTES = 800_000, 900_000
    assert (large_values.value_bytes(), large_values.event_bytes()) == (300_000, 900_000)
    settings.AUDITLOG_LARGE_VALUE_BYTES, settings.AUDITLOG_LARGE_EVENT_BYTES = 1, 1
    assert (large_values.value_bytes(), large_values.event_bytes()) == (1_024, 200_000)


def test_a_hostile_session_changes_nothing(outbox: Outbox) -> None:
    body = 'a\\u0041"\x02' * 20_000
    with connection.cursor() as cursor:
        for name, value in (
            ("standard_conforming_strings", "off"),
            ("escape_string_warning", "off"),
            ("bytea_output", "escape"),
            ("search_path", "pg_catalog, public"),
        ):
            cursor.execute(f"SET {name} = {value}")
    try:
        Manuscript.objects.create(body=body)
    finally:
        connection.close()
    (event,) = outbox.look().events
    assert outbox.value(event["after"]["body"]) == body


def test_the_links_of_a_hundred_thousand_targets_are_told_in_parts(
    outbox: Outbox, owner_connection: psycopg.Connection[Any]
) -> None:
    book = Book.objects.create(title="Emma")
    owner_connection.execute(
        "WITH made AS (INSERT INTO samples_genre (name) SELECT 'genre ' || n FROM generate_series(1, 150000) n "
        "RETURNING id) INSERT INTO samples_book_genres (book_id, genre_id) SELECT %s, id FROM made",
        [book.pk],
    )
    linked = {str(pk) for (pk,) in owner_connection.execute("SELECT genre_id FROM samples_book_genres").fetchall()}
    outbox.look()
    Book.genres.through.objects.all().delete()
    parts = [event["audit"]["m2m"]["removed"] for event in outbox.look().events]
    assert len(parts) > 1
    assert outbox.largest <= EVENT_LIMIT
    told = [target for part in parts for target in part]
    assert (len(told), set(told)) == (150_000, linked)
    assert {event["audit"]["action"] for event in outbox.events} == {"m2m.remove"}


def test_labels_go_with_the_links_that_they_name(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    book = Book.objects.create(title="Emma")
    genres = Genre.objects.bulk_create([Genre(name=f"g{number}") for number in range(2_000)])
    outbox.look()
    monkeypatch.setattr(Genre, "__str__", lambda genre: f"{genre.pk} " + "\U0001f600" * 990)
    book.genres.add(*genres)
    told = [event["audit"]["m2m"] for event in outbox.look().events]
    assert outbox.largest <= EVENT_LIMIT
    assert sum(len(part["added"]) for part in told) == 2_000
    assert all(list(part["labels"]) == part["added"] for part in told)
    assert all(label.startswith(f"{key} ") for part in told for key, label in part["labels"].items())


def test_fields_of_links_become_references_and_two_links_of_the_same_ends_keep_theirs(outbox: Outbox) -> None:
    manuscript, author = Manuscript.objects.create(), Author.objects.create(name="Ada")
    outbox.look()
    Copy.objects.bulk_create(
        [Copy(manuscript=manuscript, copyist=author, remark=letter * n) for letter, n in (("a", 70_000), ("b", 5))]
    )
    (event,) = (event for event in outbox.look().events if event["op"] == "m")
    assert event["audit"]["m2m"]["added"] == [str(author.pk)] * 2
    # Of two members of one name a parser keeps the last.
    assert event["audit"]["m2m"]["through"] == {str(author.pk): {"remark": "bbbbb"}}
    assert hashlib.sha256(b'"' + b"a" * 70_000 + b'"').hexdigest() in {chunk["sha256"] for chunk in outbox.sent}
    Copy.objects.filter(remark="bbbbb").update(remark="c" * 80_000)
    (event,) = (event for event in outbox.look().events if event["op"] == "m")
    assert outbox.value(event["audit"]["m2m"]["through"][str(author.pk)]["remark"]) == "c" * 80_000


def test_many_links_with_fields_are_told_in_parts(outbox: Outbox) -> None:
    manuscript = Manuscript.objects.create()
    authors = Author.objects.bulk_create([Author(name="x") for _ in range(60)])
    outbox.look()
    manuscript.copyists.add(*authors, through_defaults={"remark": "r" * 60_000})
    told = [event["audit"]["m2m"] for event in outbox.look().events]
    assert outbox.largest <= EVENT_LIMIT
    assert [key for part in told for key in part["added"]] == [str(author.pk) for author in authors]
    assert all(list(part["through"]) == part["added"] for part in told)
    assert all(fields == {"remark": "r" * 60_000} for part in told for fields in part["through"].values())
    assert outbox.sent == []


def test_links_of_the_same_ends_are_told_together_unless_they_are_too_many(outbox: Outbox) -> None:
    manuscript = Manuscript.objects.create()
    authors = Author.objects.bulk_create([Author(name="x") for _ in range(8)])
    outbox.look()
    pairs = [Copy(manuscript=manuscript, copyist=author, remark="r" * 60_000) for author in authors for _ in range(3)]
    Copy.objects.bulk_create(pairs)
    told = [event["audit"]["m2m"]["added"] for event in outbox.look().events if event["op"] == "m"]
    assert [key for part in told for key in part] == [str(author.pk) for author in authors for _ in range(3)]
    assert len(told) > 1
    assert all(part.count(key) == 3 for part in told for key in part)
    Copy.objects.bulk_create([Copy(manuscript=manuscript, copyist=authors[0], remark="s" * 60_000) for _ in range(40)])
    told = [event["audit"]["m2m"]["added"] for event in outbox.look().events if event["op"] == "m"]
    assert sum(len(part) for part in told) == 40
    assert outbox.largest <= EVENT_LIMIT


def test_large_data_of_a_domain_event_is_a_reference_as_a_whole(outbox: Outbox) -> None:
    book = Book.objects.create(title="Emma")
    outbox.look()
    data = {"pages": ["p" * 1_000] * 3_000}
    record(book, action="scanned", data=data)
    record(book, action="read", data={"pages": 3})
    large, small = outbox.look().events
    assert outbox.value(large["audit"]["data"]) == data
    assert small["audit"]["data"] == {"pages": 3}
    assert outbox.largest < EVENT_LIMIT


def test_data_that_only_looks_like_a_reference_says_so(outbox: Outbox) -> None:
    record(Book.objects.create(title="Emma"), action="linked", data={"$ref": "f" * 64, "bytes": 3})
    event = outbox.look().events[-1]
    assert event["audit"]["data"] == {"$json": {"$ref": "f" * 64, "bytes": 3}}


def test_circumstances_are_cut_where_they_are_endless(outbox: Outbox) -> None:
    book = Book.objects.create(title="Emma")
    outbox.look()
    with set_reason("r" * 2_000_000), set_extra_data(note="\u00fc" * 2_000_000):
        book.quantity = 1
        book.save()
        record(book, action="a" * 2_000_000, reason="s" * 2_000_000)
    updated, recorded = (event["audit"] for event in outbox.look().events)
    assert (updated["reason"], recorded["reason"]) == ("r" * 1_000, "s" * 1_000)
    assert recorded["action"] == "a" * 100
    extra = updated["context"]["extra"]
    assert extra["bytes"] == 4_000_011
    assert extra["beginning"].startswith('{"note":"\u00fc\u00fc')
    assert outbox.largest < 30_000
