"""I9: a masked field's plain value is in no log line and in no exception of ours, also where everything fails."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import psycopg
import pytest
import structlog
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from auditlog.context import disable_auditlog
from auditlog.errors import UncapturedWrite
from auditlog.registry import auditlog
from settings.urls import handler400, handler403, handler404, handler500
from tests.samples.models import Book, Country, Genre, Guarded, Shelf

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]
pytestmark = [
    pytest.mark.postgres_versions,
    pytest.mark.django_db(transaction=True, databases=["default", "audit"]),
    pytest.mark.urls(__name__),
]
SECRET = "plain-4111111111111111"
# PostgreSQL cuts what it quotes of a row by itself: this one quotes all of it.
REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN RAISE EXCEPTION 'refused: %', NEW.value; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON auditlog_outboxevent FOR EACH ROW EXECUTE FUNCTION refuse()
"""


def not_null() -> None:
    """PostgreSQL quotes the whole row."""
    Book(title=None, secret=SECRET, code=SECRET).save()  # type: ignore[misc]


def duplicate() -> None:
    """PostgreSQL quotes the key."""
    Genre.objects.create(name=SECRET)
    Genre.objects.create(name=SECRET)


def unreadable() -> None:
    """PostgreSQL quotes the value."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE samples_book SET quantity = %s::integer", [SECRET])


def misspelt() -> None:
    """PostgreSQL quotes the statement, in which the driver has put the values."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE samples_book SET secret = %s, no_such_column = 1", [SECRET])


FAILING: dict[str, Callable[[], None]] = {f.__name__: f for f in (not_null, duplicate, unreadable, misspelt)}


def fail(request: HttpRequest, how: str) -> HttpResponse:
    """Fail in mid-request."""
    FAILING[how]()
    return HttpResponse()


urlpatterns = [path("fail/<str:how>/", fail)]


@pytest.fixture
def masked(transactional_db: None) -> Iterator[None]:
    """Let a model have a mask that the application makes, which fails for one value."""

    def mask(value: str) -> str:
        if value.endswith("unmaskable"):
            raise ValueError(value)
        return value[:1] + "…"

    auditlog.register(Country, mask_fields=["name"], mask_callable=mask)
    yield
    auditlog.register(Country)


def logged(caplog: pytest.LogCaptureFixture) -> str:
    """Return the lines of the log as this service writes them."""
    formatters = (handler.formatter for handler in logging.getLogger().handlers)
    ours = next(one for one in formatters if isinstance(one, structlog.stdlib.ProcessorFormatter))
    return "\n".join(ours.format(record) for record in caplog.records)


def text_of(error: BaseException) -> str:
    """Return everything that an exception and those that led to it say."""
    return "".join(traceback.format_exception(error))


@pytest.mark.usefixtures("masked")
@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("not_null", "(SQLSTATE 23502; table samples_book, column title)"),
        ("duplicate", "(SQLSTATE 23505; table samples_genre, constraint samples_genre_name_key)"),
        ("unreadable", "(SQLSTATE 22P02)"),
        ("misspelt", 'column "no_such_column" of relation "samples_book" does not exist (SQLSTATE 42703)'),
    ],
)
def test_i9_a_failing_statement_is_logged_without_its_values(
    how: str, told: str, client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    client.raise_request_exception = False
    assert client.post(f"/fail/{how}/").status_code == 500
    lines = logged(caplog)
    assert SECRET not in lines
    assert "Traceback" in lines
    assert told in lines
    # PostgreSQL did quote it: the test looks at the right thing.
    assert any(
        SECRET in text_of(record.exc_info[1]) for record in caplog.records if record.exc_info and record.exc_info[1]
    )


@pytest.mark.usefixtures("masked")
def test_i9_an_outbox_that_refuses_quotes_no_plain_value(owner_connection: psycopg.Connection[Any]) -> None:
    book = Book.objects.create(title="Emma", secret=SECRET, code=SECRET)
    Country.objects.create(code="A", name=SECRET)
    owner_connection.execute(REFUSE)
    writes: list[Callable[[], Any]] = [
        lambda: Book.objects.create(title="Emma", secret=SECRET, code=SECRET),
        lambda: Book.objects.update(secret=SECRET + "x", code=SECRET + "x"),
        lambda: Book.objects.bulk_create([Book(pk=book.pk, title="x", secret=SECRET)], **UPSERT),
        book.delete,
        lambda: Country.objects.create(code="B", name=SECRET),
        lambda: Country.objects.update(name=SECRET + "x"),
    ]
    try:
        for write in writes:
            with pytest.raises(DatabaseError) as failed:
                write()
            assert "refused: {" in str(failed.value)
            assert SECRET not in text_of(failed.value)
    finally:
        owner_connection.execute("DROP TRIGGER refuse ON auditlog_outboxevent; DROP FUNCTION refuse()")


UPSERT: dict[str, Any] = {"update_conflicts": True, "unique_fields": ["id"], "update_fields": ["secret", "title"]}


@pytest.mark.usefixtures("masked")
def test_i9_our_loggers_tell_no_value_at_any_level(
    caplog: pytest.LogCaptureFixture, owner_connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with caplog.at_level(logging.DEBUG):
        country = Country.objects.create(code="A", name=SECRET + "unmaskable")
        Shelf.objects.create(name="raise")
        with disable_auditlog(reason="repair"):
            Book.objects.create(title="Emma", secret=SECRET)
        auditlog.register(Book, mask_fields=["secret", "code"], bulk="warn")
        try:
            Book.objects.update(secret=SECRET)
        finally:
            auditlog.register(
                Book, exclude_fields=["draft"], mask_fields={"secret": "full", "code": "hash"}, m2m_labels=True
            )
        # A write that passes by the compilers is recorded by its receiver.
        monkeypatch.setattr(Book, "_do_update", past_the_compilers)
        book = Book.objects.get()
        book.secret = SECRET + "x"
        with transaction.atomic():
            book.save()
        with pytest.raises(UncapturedWrite) as refused:
            book.save()
        country.delete()
    events = {record.msg["event"] for record in caplog.records if isinstance(record.msg, dict)}
    assert {"capture.mask_failed", "capture.repr_failed", "capture.uncaptured", "capture.bulk_write"} <= events
    assert SECRET not in logged(caplog)
    assert SECRET not in text_of(refused.value)
    rows = owner_connection.execute("SELECT o::text FROM auditlog_outboxevent o").fetchall()
    assert not any(SECRET in row for (row,) in rows)


def past_the_compilers(self: Book, base_qs: Any, using: str, pk_val: Any, *_: Any) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE samples_book SET secret = %s WHERE id = %s", [self.secret, pk_val])
    return True


def test_what_is_refused_is_named_without_its_values() -> None:
    for write in (
        lambda: Guarded.objects.update(value=4711),
        lambda: Guarded.objects.bulk_create([Guarded(value=4711)]),
        lambda: Guarded.objects.filter(value=4711)._raw_delete("default"),
    ):
        with pytest.raises(UncapturedWrite) as refused:
            write()
        assert "4711" not in text_of(refused.value).replace("value=4711", "")


def test_the_commands_of_completeness_tell_no_value() -> None:
    Book.objects.create(title="Emma", secret=SECRET, code=SECRET)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE samples_book SET secret = NULL, code = %s", [SECRET + "x"])
    out, err = StringIO(), StringIO()
    for arguments in (["audit_bypass", "samples.Book", "--grace", "0"], ["audit_snapshot", "samples.Book"]):
        for options in ([], ["--json"]):
            try:
                call_command(*arguments, *options, stdout=out, stderr=err)
            except (CommandError, SystemExit) as exc:
                err.write(str(exc))
    assert "samples_book" in out.getvalue()
    assert SECRET not in out.getvalue() + err.getvalue()
