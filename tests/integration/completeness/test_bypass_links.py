"""I2: links that were written past the ORM are found by what the membership events say, and nothing else is."""

from __future__ import annotations

from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import call_command

from auditlog.completeness import memberships
from auditlog.completeness.adoption import adopt
from auditlog.completeness.links import LinkTable, links_of
from auditlog.completeness.memberships import LinkFinding
from auditlog.completeness.tables import Table
from auditlog.registry import auditlog
from auditlog.roles import Role
from tests.conftest import ConnectAs, Events
from tests.integration.completeness.conftest import NOW, Project, Run, Writing, raw
from tests.samples.models import Author, Book, Club, ClubMembership, Genre, Loan, Mentorship, Reader

pytestmark = [
    pytest.mark.postgres_versions,
    pytest.mark.django_db(transaction=True, databases=["default", "audit"]),
]
LINKED = ("samples.Book", "samples.Author", "samples.Reader", "samples.Club")


def found(report: dict[str, Any], which: str = "found") -> list[tuple[Any, ...]]:
    """Return table, key, field, added, removed and changed of the findings, all of them of links."""
    assert {one["kind"] for one in report[which]} <= {"links"}
    names = ("table", "key", "field", "added", "removed", "changed")
    return [tuple(one[name] for name in names) for one in report[which]]


def genres_of_books() -> LinkTable:
    return next(link for link in links_of(Table.of(Book)) if link.plan.field_name == "genres")


@pytest.fixture
def book(transactional_db: None) -> Book:
    return Book.objects.create(title="Emma")


def test_links_that_came_and_went_through_the_orm_agree(run: Run, project: Project, book: Book) -> None:
    novel, essay, play = (Genre.objects.create(name=name) for name in ("novel", "essay", "play"))
    other = Book.objects.create(title="other")
    book.genres.add(novel, essay)
    book.genres.set([essay, play])
    novel.books.add(other)
    novel.books.clear()
    essay.delete()
    ann, bob = Reader.objects.create(card="A-1"), Reader.objects.create(card="B%2")
    ann.friends.add(bob)
    ann.friends.remove(bob)
    bob.friends.add(ann)
    loan = Loan.objects.create(book=book, reader=ann, since="2026-01-01")
    Loan.objects.update(since="2026-02-02")
    loan.reader = bob
    loan.save()
    # Twice the same link, and one of them gone again.
    Loan.objects.create(book=other, reader=bob)
    Loan.objects.create(book=other, reader=bob, since="2026-03-03").delete()
    pupil, mentor = Author.objects.create(name="p"), Author.objects.create(name="m")
    pupil.mentors.add(mentor, through_defaults={"weeks": 3})
    Mentorship.objects.update(weeks=4)
    club = Club.objects.create(name="c")
    club.members.add(ann, bob, through_defaults={"role": "chair"})
    ClubMembership.objects.filter(reader=bob).delete()
    other.delete()
    project()
    code, report = run("audit_bypass", *LINKED, *NOW)
    assert (code, report["found"], report["pending"]) == (0, [], [])
    run("audit_snapshot", *LINKED)
    book.genres.remove(play)
    project()
    assert run("audit_bypass", *LINKED, *NOW)[0] == 0


def test_links_that_raw_sql_wrote_are_named(run: Run, project: Project, book: Book) -> None:
    novel, essay, play = (Genre.objects.create(name=name) for name in ("novel", "essay", "play"))
    book.genres.add(novel, essay)
    reader = Reader.objects.create(card="A")
    Loan.objects.create(book=book, reader=reader)
    project()
    raw("UPDATE samples_book_genres SET genre_id = %s WHERE genre_id = %s", play.pk, novel.pk)
    raw("UPDATE samples_loan SET since = '2026-01-01'")
    code, report = run("audit_bypass", "samples.Book", *NOW)
    assert code == 1
    assert found(report) == [
        ("samples_book_genres", str(book.pk), "genres", [str(play.pk)], [str(novel.pk)], {}),
        ("samples_loan", str(book.pk), "readers", [], [], {str(reader.pk): ["since"]}),
    ]
    out = StringIO()
    with pytest.raises(SystemExit):
        call_command("audit_bypass", "samples.Book", *NOW, stdout=out)
    lines = out.getvalue().splitlines()
    assert f"DIFFERENT: samples_book_genres {book.pk} links of genres: added {play.pk}; removed {novel.pk}" in lines
    assert f"DIFFERENT: samples_loan {book.pk} links of readers: changed {reader.pk} (since)" in lines


def test_links_of_every_shape_are_compared(run: Run, project: Project) -> None:
    ann, bob = Reader.objects.create(card="A-1"), Reader.objects.create(card="B-2")
    ann.friends.add(bob)
    pupil, mentor = Author.objects.create(name="p"), Author.objects.create(name="m")
    club = Club.objects.create(name="c")
    club.members.add(ann)
    project()
    raw("DELETE FROM samples_reader_friends WHERE from_reader_id = %s", ann.pk)
    raw("INSERT INTO samples_mentorship (pupil_id, mentor_id, weeks) VALUES (%s, %s, 1)", pupil.pk, mentor.pk)
    raw("UPDATE samples_clubmembership SET role = 'chair'")
    _, report = run("audit_bypass", *LINKED, *NOW)
    assert found(report) == [
        ("samples_mentorship", str(pupil.pk), "mentors", [str(mentor.pk)], [], {}),
        ("samples_reader_friends", str(ann.pk), "friends", [], [str(bob.pk)], {}),
        ("samples_clubmembership", str(club.pk), "members", [], [], {str(ann.pk): ["role"]}),
    ]


def test_links_that_are_there_twice_are_counted(run: Run, project: Project, book: Book) -> None:
    reader = Reader.objects.create(card="A")
    Loan.objects.create(book=book, reader=reader)
    Loan.objects.create(book=book, reader=reader)
    project()
    raw("INSERT INTO samples_loan (book_id, reader_id) VALUES (%s, 'A'), (%s, 'A')", book.pk, book.pk)
    (finding,) = found(run("audit_bypass", "samples.Book", *NOW)[1])
    assert finding[3:] == ([str(reader.pk)] * 2, [], {})
    assert run("audit_snapshot", "samples.Book")[1]["links"] == {"samples.book": 4}
    project()
    assert run("audit_bypass", "samples.Book", *NOW)[0] == 0
    raw("DELETE FROM samples_loan WHERE id = (SELECT min(id) FROM samples_loan)")
    (finding,) = found(run("audit_bypass", "samples.Book", *NOW)[1])
    assert finding[3:] == ([], [str(reader.pk)], {})


def test_what_was_there_before_auditing_is_unknown_until_the_snapshot(run: Run, project: Project, book: Book) -> None:
    novel = Genre.objects.create(name="novel")
    raw("INSERT INTO samples_book_genres (book_id, genre_id) VALUES (%s, %s)", book.pk, novel.pk)
    project()
    assert found(run("audit_bypass", "samples.Book", *NOW)[1])[0][3] == [str(novel.pk)]
    run("audit_snapshot", "samples.Book")
    project()
    assert run("audit_bypass", "samples.Book", *NOW)[0] == 0


def test_links_that_went_with_an_object_past_the_orm_are_found(run: Run, project: Project, book: Book) -> None:
    novel = Genre.objects.create(name="novel")
    book.genres.add(novel)
    project()
    raw("DELETE FROM samples_book_genres")
    raw("DELETE FROM samples_book")
    _, report = run("audit_bypass", "samples.Book", *NOW)
    assert [(one["key"], one["kind"]) for one in report["found"]] == [
        (str(book.pk), "deleted"),
        (str(book.pk), "links"),
    ]
    assert report["found"][1]["removed"] == [str(novel.pk)]
    sampled = run("audit_bypass", "samples.Book", "--sample", "5", *NOW)[1]
    assert [one["kind"] for one in sampled["found"]] == ["deleted", "links"]


def test_i9_own_fields_are_compared_with_their_masks(run: Run, project: Project, settings: Any) -> None:
    settings.AUDITLOG_MASK_TRACKING_FIELDS = ["role"]
    auditlog.register(Club)
    try:
        club, reader = Club.objects.create(name="c"), Reader.objects.create(card="A")
        club.members.add(reader, through_defaults={"role": "plain-4711"})
        project()
        raw("UPDATE samples_clubmembership SET role = 'other'")
        assert run("audit_bypass", "samples.Club", *NOW)[0] == 0
        settings.AUDITLOG_MASK_TRACKING_FIELDS = []
        auditlog.register(Club)
        assert run("audit_bypass", "samples.Club", *NOW)[0] == 0
    finally:
        settings.AUDITLOG_MASK_TRACKING_FIELDS = []
        auditlog.register(Club)


def test_a_sample_and_a_later_part_look_at_the_links_of_their_rows(run: Run, project: Project) -> None:
    novel = Genre.objects.create(name="novel")
    books = Book.objects.bulk_create(Book(title=str(number)) for number in range(4))
    novel.books.set(books)
    project()
    raw("DELETE FROM samples_book_genres")
    assert len(found(run("audit_bypass", "samples.Book", "--sample", "2", *NOW)[1])) == 2
    after = ("--after", f"rows:{books[1].pk}", "--batch-rows", "1")
    found_after = found(run("audit_bypass", "samples.Book", *after, *NOW)[1])
    assert [key for _, key, *_ in found_after] == [str(book.pk) for book in books[2:]]


def test_links_whose_events_wait_in_the_outbox_are_pending(run: Run, project: Project, book: Book) -> None:
    project()
    novel = Genre.objects.create(name="novel")
    book.genres.add(novel)
    code, report = run("audit_bypass", "samples.Book", *NOW)
    assert (code, report["found"]) == (1, [])
    assert found(report, "pending")[0][3] == [str(novel.pk)]
    project()
    assert run("audit_bypass", "samples.Book", *NOW)[0] == 0


def test_a_link_that_is_on_its_way_at_the_last_look_alone_is_no_finding(
    run: Run, project: Project, book: Book, owner_connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, stray = (Genre.objects.create(name=name) for name in ("one", "two", "stray"))
    project()
    raw("INSERT INTO samples_book_genres (book_id, genre_id) VALUES (%s, %s)", book.pk, stray.pk)
    book.genres.add(one)
    # Between outbox and audit log: events that the check can see in neither.
    owner_connection.execute("CREATE TABLE on_their_way AS SELECT * FROM auditlog_outboxevent")
    owner_connection.execute("DELETE FROM auditlog_outboxevent")
    looks = 0
    original = memberships.compare

    def compare(link: LinkTable, keys: Any) -> list[LinkFinding]:
        nonlocal looks
        if keys and link.plan.field_name == "genres":
            looks += 1
            if looks == 2:
                owner_connection.execute("INSERT INTO auditlog_outboxevent OVERRIDING SYSTEM VALUE TABLE on_their_way")
                project()
                book.genres.add(two)
                owner_connection.execute("DELETE FROM auditlog_outboxevent")
        return original(link, keys)

    monkeypatch.setattr(memberships, "compare", compare)
    try:
        _, report = run("audit_bypass", "samples.Book", *NOW)
    finally:
        owner_connection.execute("DROP TABLE on_their_way")
    assert looks == 2
    assert found(report) == [("samples_book_genres", str(book.pk), "genres", [str(stray.pk)], [], {})]


def test_a_busy_object_is_no_finding(run: Run, project: Project, book: Book, writing: Writing) -> None:
    genres = Genre.objects.bulk_create(Genre(name=str(number)) for number in range(4))
    project()

    def write(number: int) -> None:
        book.genres.set(genres[number % 3 : number % 3 + 2])
        project()

    with writing(write):
        reports = [run("audit_bypass", "samples.Book", "--grace", "20") for _ in range(5)]
    assert {code for code, _ in reports} == {0}


def test_found_links_are_adopted_with_one_event_a_kind(events: Events, run: Run, project: Project, book: Book) -> None:
    novel, essay = Genre.objects.create(name="novel"), Genre.objects.create(name="essay")
    ann, bob = Reader.objects.create(card="A"), Reader.objects.create(card="B")
    book.genres.add(novel)
    Loan.objects.create(book=book, reader=ann)
    project()
    events()
    raw("UPDATE samples_book_genres SET genre_id = %s", essay.pk)
    raw("UPDATE samples_loan SET since = '2026-01-01'")
    raw("INSERT INTO samples_loan (book_id, reader_id, since) VALUES (%s, 'B', '2026-02-02')", book.pk)
    code, report = run("audit_bypass", "samples.Book", "--adopt", *NOW)
    assert (code, len(report["adopted"])) == (0, 2)
    told = events()
    audits = [event["audit"] for event in told]
    assert {(e["op"], e["audit"]["captured_by"], e["audit"]["actor"]) for e in told} == {("m", "bypass_check", None)}
    assert audits[0]["context"]["extra"]["adopted_by"]["os_user"]
    brief = [(a["action"], a["m2m"]["added"], a["m2m"]["removed"], a["m2m"]["through"]) for a in audits]
    a, b = str(ann.pk), str(bob.pk)
    assert brief == [
        ("m2m.remove", [], [str(novel.pk)], None),
        ("m2m.add", [str(essay.pk)], [], None),
        ("m2m.add", [b], [], {b: {"since": "2026-02-02"}}),
        ("m2m.update", [], [], {a: {"since": "2026-01-01"}}),
    ]
    project()
    assert run("audit_bypass", "samples.Book", *NOW)[0] == 0


def test_links_that_changed_since_they_were_found_are_left_alone(
    events: Events, project: Project, book: Book, connect_as: ConnectAs
) -> None:
    novel, essay = Genre.objects.create(name="novel"), Genre.objects.create(name="essay")
    book.genres.add(novel)
    project()
    raw("DELETE FROM samples_book_genres")
    link = genres_of_books()
    (finding,) = memberships.compare(link, [str(book.pk)])
    events()
    writer = connect_as(Role.OWNER)
    with writer.transaction():
        # Somebody may be about to put it back.
        writer.execute("INSERT INTO samples_book_genres (book_id, genre_id) VALUES (%s, %s)", [book.pk, novel.pk])
        assert adopt(link.table, finding) is False
    assert adopt(link.table, finding) is False
    raw("DELETE FROM samples_book_genres")
    book.genres.add(essay)
    assert [event["audit"]["m2m"]["added"] for event in events()] == [[str(essay.pk)]]
    # Its event is in the outbox, then in the log: either way the history is another one.
    assert adopt(link.table, finding) is False
    project()
    assert adopt(link.table, finding) is False
    assert events() == []
