"""I3: values keep every digit, whatever the settings of the session that writes."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from django.db import connection
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.db.models import JSONField, Value

from auditlog.capture.columns import Column
from tests.conftest import Events
from tests.samples.models import Measured

pytestmark = [pytest.mark.postgres_versions, pytest.mark.django_db(transaction=True)]

VALUES: dict[str, Any] = {
    "amount": Decimal("12345678901234567890.0123456789"),
    "ratio": 0.1 + 0.2,
    "lasts": timedelta(days=-3, hours=4, microseconds=5),
    "at": datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=UTC),
    "day": date(2026, 2, 28),
    "blob": bytes(range(256)),
    "amounts": [Decimal("1.100"), None],
    "extra": {"n": 9007199254740993, "deep": [{"ü": "\u2028"}], "null": None},
    "address": "2001:db8::1",
    "token": uuid.UUID("01234567-89ab-7def-8123-456789abcdef"),
    "span": DateTimeTZRange(datetime(2026, 3, 29, 1, 30, tzinfo=UTC), None),
    "sealed": "plain",
}
IMAGE = {
    "amount": "12345678901234567890.0123456789",
    "ratio": 0.30000000000000004,
    "lasts": "P-3DT4H0.000005S",
    "at": "2026-03-29T01:30:00.123456+00:00",
    "day": "2026-02-28",
    "blob": (
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0BBQkNERUZHSElKS0xN"
        "Tk9QUVJTVFVWV1hZWltcXV5fYGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn+AgYKDhIWGh4iJiouMjY6PkJGSk5SVlpeYmZqb"
        "nJ2en6ChoqOkpaanqKmqq6ytrq+wsbKztLW2t7i5uru8vb6/wMHCw8TFxsfIycrLzM3Oz9DR0tPU1dbX2Nna29zd3t/g4eLj5OXm5+jp"
        "6uvs7e7v8PHy8/T19vf4+fr7/P3+/w=="
    ),
    "amounts": ["1.100", None],
    "extra": {"n": 9007199254740993, "deep": [{"ü": "\u2028"}], "null": None},
    "address": "2001:db8::1",
    "token": "01234567-89ab-7def-8123-456789abcdef",
    "span": '["2026-03-29 01:30:00+00",)',
    "sealed": "cGxhaW4=",
}


@pytest.fixture
def hostile_session(transactional_db: None) -> Iterator[None]:
    """Set all that changes how PostgreSQL writes values."""
    with connection.cursor() as cursor:
        for name, value in (
            ("DateStyle", "SQL, DMY"),
            ("IntervalStyle", "sql_standard"),
            ("bytea_output", "escape"),
            ("extra_float_digits", "-15"),
            ("search_path", "pg_catalog, public"),
            ("standard_conforming_strings", "on"),
            ("xmlbinary", "hex"),
        ):
            cursor.execute(f"SET {name} = {value}")
    yield
    connection.close()


def test_i3_every_type_has_its_text(events: Events) -> None:
    row = Measured.objects.create(**VALUES)
    (event,) = events()
    assert event["after"] == {"id": row.pk, **IMAGE}


@pytest.fixture
def extensions(transactional_db: None, owner_connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Let the types of extensions be there for the length of a test."""
    for name in ("hstore", "citext"):
        owner_connection.execute(f"CREATE EXTENSION {name}".encode())
    yield
    connection.close()
    for name in ("hstore", "citext"):
        owner_connection.execute(f"DROP EXTENSION {name}".encode())


@pytest.mark.usefixtures("hostile_session")
def test_i3_the_session_of_the_writer_changes_no_text(events: Events) -> None:
    row = Measured.objects.create(**VALUES)
    Measured.objects.update(ratio=1.5)
    row.delete()
    created, updated, deleted = events()
    key = created["after"].pop("id")
    assert created["after"] == IMAGE
    assert updated["before"] == {"id": key, **IMAGE}
    assert updated["after"] == {"id": key, **IMAGE, "ratio": 1.5}
    assert deleted["before"] == updated["after"]


def test_i8_what_json_has_no_number_for_is_text(events: Events) -> None:
    Measured.objects.bulk_create(Measured(ratio=float(text)) for text in ("nan", "inf", "-inf"))
    with connection.cursor() as cursor:
        cursor.execute("SET TimeZone = 'Asia/Kolkata'")
    Measured.objects.update(extra=None)
    connection.close()
    assert [event["after"]["ratio"] for event in events()] == ["NaN", "Infinity", "-Infinity"]


def test_i3_json_null_is_not_sql_null(events: Events) -> None:
    row = Measured.objects.create(extra=None)
    Measured.objects.update(extra=Value(None, JSONField()))
    row.refresh_from_db()
    row.save()  # as Django reads it: None, which it writes as NULL
    created, to_json_null, to_sql_null = events()
    assert created["after"]["extra"] is None
    assert (to_json_null["before"]["extra"], to_json_null["after"]["extra"]) == (None, {"$json": None})
    assert (to_sql_null["before"]["extra"], to_sql_null["after"]["extra"]) == ({"$json": None}, None)


def test_an_update_of_a_date_at_infinity_is_told(events: Events) -> None:
    row = Measured.objects.create(amount=1)
    events()
    with connection.cursor() as cursor:
        cursor.execute("UPDATE samples_measured SET day = 'infinity', at = '-infinity'")  # past the ORM: no event
    Measured.objects.filter(pk=row.pk).update(amount=Decimal("2.5"))
    (event,) = events()
    assert (event["after"]["day"], event["after"]["at"]) == ("infinity", "-infinity")
    assert (event["before"]["amount"], event["after"]["amount"]) == ("1.0000000000", "2.5000000000")


@pytest.mark.parametrize(
    ("db_type", "value", "image"),
    [
        ("bytea[]", "ARRAY['\\x00ff', NULL]::bytea[]", ["AP8=", None]),
        ("bytea[]", "ARRAY[]::bytea[]", []),
        ("bytea[]", "NULL::bytea[]", None),
        ("numeric(5,2)[]", "ARRAY[[1.10, 2.20], [3.30, NULL]]::numeric(5,2)[]", [["1.10", "2.20"], ["3.30", None]]),
        ("datemultirange", "datemultirange(daterange('2026-01-01', '2026-02-01'))", "{[2026-01-01,2026-02-01)}"),
        ("real", "1.2345678::real", 1.2345678),
        ("bigint", "9223372036854775807", 9223372036854775807),
        ("jsonb", "NULL::jsonb", None),
        ("jsonb", "'null'::jsonb", {"$json": None}),
        ("jsonb", """'{"$json": 1, "a": 2}'::jsonb""", {"$json": {"$json": 1, "a": 2}}),
        ("jsonb", """'{"$ref": "#/definitions/a"}'::jsonb""", {"$json": {"$ref": "#/definitions/a"}}),
        ("jsonb", """'{"deep": {"$ref": "a", "none": null}}'::jsonb""", {"deep": {"$ref": "a", "none": None}}),
        ("jsonb[]", "ARRAY['null', NULL, '[]']::jsonb[]", [{"$json": None}, None, []]),
        ("json", "'null'::json", {"$json": None}),
        ("json", """'{"b": "\\u0001", "$ref": 1}'::json""", {"$json": {"b": "\x01", "$ref": 1}}),
        ("json", """'["$ref"]'::json""", ["$ref"]),
        ("json", "'1.10'::json", 1.1),
        ("double precision[]", "ARRAY['NaN', '-Infinity', 0.1]::double precision[]", ["NaN", "-Infinity", 0.1]),
        ("interval[]", "ARRAY['1 day 2 hours']::interval[]", ["P1DT2H"]),
        ("tstzrange", "tstzrange('2026-03-29 01:30+01', NULL)", '["2026-03-29 00:30:00+00",)'),
        ("int8multirange", "'{[1,3), [5,9)}'::int8multirange", "{[1,3),[5,9)}"),
        ("time with time zone", "'12:30:00.000001+02'::timetz", "12:30:00.000001+02"),
        ("bit varying", "B'1011'::bit varying", "1011"),
        ("macaddr", "'08:00:2b:01:02:03'::macaddr", "08:00:2b:01:02:03"),
        ("tsvector", "to_tsvector('english', 'Cardiology clinics')", "'cardiolog':1 'clinic':2"),
        ("point", "point(0.1, -2)", "(0.1,-2)"),
        ("money", "'1234.5'::money", "1234.50"),
        ("oid", "4294967295::oid", "4294967295"),
        ("regclass", "'auditlog_outboxevent'::regclass", "public.auditlog_outboxevent"),
        ("hstore", "'a=>1, b=>NULL'::hstore", {"a": "1", "b": None}),
        ("citext", "'Ada'::citext", "Ada"),
    ],
)
@pytest.mark.usefixtures("extensions", "hostile_session")
def test_i3_a_type_of_postgres_has_its_text(db_type: str, value: str, image: Any, transactional_db: None) -> None:
    shown = Column("c", "c", db_type, None, nullable=True).expression("r")
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT auditlog_image(x) FROM (SELECT {shown} FROM (SELECT {value} AS c) r) x")
        assert json.loads(cursor.fetchone()[0]) == {"c": image}
