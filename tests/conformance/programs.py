"""Random programs of ORM operations over the sample models: hypothesis makes them, `run` runs them."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from django.db import IntegrityError, models, transaction
from django.db.models import Case, F, Value, When
from hypothesis import strategies as st

from tests.samples.models import Book, BookProxy, Comic, Country, Genre, Loan, OrderLine, Reader, Shelf, Ticket

NAMES = ("", "a", "b", "naïve ☃", 'quo"te\\')
Numbers = tuple[int, int, int]
Step = tuple[Any, ...]


def pick(model: Any, number: int) -> Any:
    """Return some row of a model, or None."""
    rows = list(model.objects.order_by("pk"))
    return rows[number % len(rows)] if rows else None


def name(number: int) -> str:
    """Return one of a few names."""
    return NAMES[number % len(NAMES)]


def begin() -> None:
    """Make some rows of each model, so that the first steps find something to change."""
    shelves = Shelf.objects.bulk_create(Shelf(name=text) for text in ("a", "b"))
    genres = Genre.objects.bulk_create(Genre(name=text) for text in ("a", "b", "x"))
    readers = Reader.objects.bulk_create(Reader(card=f"card {n}") for n in range(3))
    book = Book.objects.create(title="a", quantity=5, shelf=shelves[0])
    comic = Comic.objects.create(title="b", quantity=2, shelf=shelves[1])
    book.genres.set(genres)
    comic.readers.set(readers[:2])
    Country.objects.bulk_create(Country(code=f"c{n}", name="a") for n in range(2))
    OrderLine.objects.bulk_create(OrderLine(tenant="t0", number=n) for n in range(3))
    Ticket.objects.create(parent=Ticket.objects.create(title="a"))


def create(a: int, b: int, c: int) -> None:
    """Create a row of some model."""
    match a % 7:
        case 0:
            Shelf.objects.create(name=name(b))
        case 1:
            Genre.objects.get_or_create(name=name(b))
        case 2:
            Reader.objects.update_or_create(card=f"card {b % 3}")
        case 3:
            Comic.objects.create(title=name(b), colour=bool(c % 2), shelf=pick(Shelf, c))
        case 4:
            Ticket.objects.create(title=name(b), parent=pick(Ticket, c))
        case 5:
            Country.objects.update_or_create(code=f"c{b % 3}", defaults={"name": name(c)})
        case _:
            (Book, BookProxy)[c % 2].objects.create(
                title=name(b), quantity=c, price=Decimal(b) / 4, note=[None, {"x": b}, name(c)][c % 3]
            )


def save(a: int, b: int, c: int) -> None:
    """Change a row and save it, whole or in part."""
    match a % 5:  # what has no row to change is passed over
        case 0 if book := pick(Book, b):
            book.title, book.quantity = name(c), F("quantity") + 1
            book.save()
        case 1 if book := pick(Book, b):
            book.title, book.quantity = name(c), c
            book.save(update_fields=["quantity"])
        case 2 if comic := pick(Comic, b):
            comic.title, comic.colour = name(c), not comic.colour
            comic.save()
        case 3 if shelf := pick(Shelf, b):
            Shelf(pk=shelf.pk, name=name(c)).save()
        case 4 if line := pick(OrderLine, b):
            line.amount = c
            line.save()
        case _:
            pass


def write_sets(a: int, b: int, c: int) -> None:
    """Write many rows with one statement."""
    match a % 8:
        case 0:
            Book.objects.filter(quantity__gt=b % 4).update(quantity=F("quantity") - 1, shelf=pick(Shelf, c))
        case 1:
            Book.objects.filter(shelf__name=name(b)).update(
                title=Case(When(quantity=c, then=Value("x")), default=F("title"))
            )
        case 2:
            OrderLine.objects.bulk_create(
                [OrderLine(tenant=f"t{n % 2}", number=n, amount=c) for n in range(b % 4)], ignore_conflicts=True
            )
        case 3:
            rows = [Country(code=f"c{n}", name=name(c + n)) for n in range(b % 4)]
            Country.objects.bulk_create(rows, update_conflicts=True, unique_fields=["code"], update_fields=["name"])
        case 4:
            books = list(Book.objects.order_by("pk")[: b % 4])
            for book in books:
                book.title = name(c)
            Book.objects.bulk_update(books, ["title"])
        case 5 if country := pick(Country, b):
            Country.objects.filter(pk=country.pk).update(code=f"n{c % 5}")
        case 6:
            Comic.objects.filter(colour=bool(b % 2)).update(title=name(c), colour=bool(c % 2))
        case 7:
            OrderLine.objects.filter(number=b % 4).update(amount=c)
        case _:
            pass  # no country yet


def delete(a: int, b: int, c: int) -> None:
    """Delete a row, or a set of rows, with what depends on it."""
    model: Any = (Book, Comic, Shelf, Genre, Reader, Ticket, Country, OrderLine)[a % 8]
    row = pick(model, b)
    if row is None:
        return
    match c % 3:
        case 0:
            row.delete()
        case 1:
            model.objects.filter(pk=row.pk).delete()
        case 2 if model in {Country, OrderLine}:
            model.objects.filter(pk=row.pk)._raw_delete("default")


def link(a: int, b: int, c: int) -> None:
    """Add, remove, set and clear memberships from both sides."""
    book, genre, reader = pick(Book, b), pick(Genre, c), pick(Reader, c)
    match a % 9:
        case 0 if book:
            book.genres.add(*Genre.objects.all()[: c % 4])
        case 1 if genre:
            genre.books.set(Book.objects.all()[: b % 3])
        case 2 if book:
            book.genres.set(Genre.objects.all()[: c % 3])
        case 3 if book and genre:
            book.genres.remove(genre)
        case 4 if genre:
            genre.books.clear()
        case 5 if book and reader:
            book.readers.add(reader)
        case 6 if book and reader:
            Loan.objects.filter(book=book).update(reader=reader)
        case 7 if book:
            book.readers.clear()
        case 8 if reader:
            reader.friends.set(Reader.objects.exclude(pk=reader.pk)[: b % 3])


OPERATIONS: dict[str, Callable[[int, int, int], None]] = {
    function.__name__: function for function in (create, save, write_sets, delete, link)
}
small = st.integers(min_value=0, max_value=20)
operation = st.tuples(st.sampled_from(sorted(OPERATIONS)), small, small, small)
programs = st.lists(
    st.recursive(
        operation,
        lambda steps: st.tuples(st.just("atomic"), st.booleans(), st.lists(steps, max_size=5)),
        max_leaves=8,
    ),
    min_size=5,
    max_size=25,
)


def run(steps: list[Step]) -> None:
    """Run a program; a step that the database refuses is undone and passed over, as an application would."""
    for kind, *arguments in steps:
        try:
            with transaction.atomic():
                if kind == "atomic":
                    rolls_back, inner = arguments
                    run(inner)
                    if rolls_back:
                        transaction.set_rollback(True)
                else:
                    OPERATIONS[kind](*arguments)
        except (IntegrityError, models.ProtectedError):
            continue
