"""A program of every kind of write, and the events that it must leave whatever is between Django and PostgreSQL."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Case, F, Value, When

from tests.samples.models import Book, Country, Genre, Measured, OrderLine, Reader, Shelf


def write_everything(using: str) -> None:
    """Write rows and links on an alias; one savepoint rolls back."""
    shelf = Shelf.objects.using(using).create(name="A")
    book = Book.objects.using(using).create(title="Emma", quantity=1, price=Decimal("1.5"), shelf=shelf, secret="x")
    book.title, book.quantity, book.note = 'E"m%s', F("quantity") + 1, {"a": [1.5, None]}
    book.save()
    genres = Genre.objects.using(using).bulk_create([Genre(name=name) for name in ("a", "b")])
    book.genres.add(*genres)
    with transaction.atomic(using=using):
        book.genres.remove(genres[0])
        with transaction.atomic(using=using):
            Genre.objects.using(using).all().delete()
            transaction.set_rollback(True, using=using)
    for name in ("Suisse", "Schweiz"):
        Country.objects.using(using).bulk_create(
            [Country(code="CH", name=name)], update_conflicts=True, unique_fields=["code"], update_fields=["name"]
        )
    reader = Reader.objects.using(using).create(card="A-1")
    book.readers.add(reader)
    case = Case(When(title__startswith="E", then=Value(9)), default=F("quantity"))
    Book.objects.using(using).filter(shelf__name="A").update(quantity=case)
    line = OrderLine.objects.using(using).create(tenant="t", number=1)
    OrderLine.objects.using(using).filter(pk=line.pk).update(amount=F("amount") + 5)
    Measured.objects.using(using).create(amount=Decimal("0.1"), lasts=timedelta(hours=1), blob=b"\x00\xff")
    Shelf.objects.using(using).filter(pk=shelf.pk).delete()
    Country.objects.using(using).filter(code="CH")._raw_delete(using)


def in_short(event: dict[str, Any]) -> tuple[Any, ...]:
    """Return the model, the action and what the images say, without keys that a sequence made."""
    images = [
        image and {k: v for k, v in image.items() if v and not k.endswith("id") and k != "updated_at"}
        for image in (event["before"], event["after"])
    ]
    audit = event["audit"]
    links = [len(audit["m2m"][side]) for side in ("added", "removed")] if audit["m2m"] else images
    return audit["model"].removeprefix("samples."), audit["action"], *links


_EMMA = {"title": "Emma", "quantity": 1, "double": 2, "price": "1.50", "secret": "***"}
_SAVED = _EMMA | {"title": 'E"m%s', "quantity": 2, "double": 4, "note": {"a": [1.5, None]}}
_UPDATED = _SAVED | {"quantity": 9, "double": 18}
_MEASURED = {"amount": "0.1000000000", "lasts": "PT1H", "blob": "AP8="}

WRITTEN: list[tuple[Any, ...]] = [
    ("shelf", "create", None, {"name": "A"}),
    ("book", "create", None, _EMMA),
    ("book", "update", _EMMA, _SAVED),
    ("genre", "create", None, {"name": "a"}),
    ("genre", "create", None, {"name": "b"}),
    ("book", "m2m.add", 2, 0),
    ("book", "m2m.remove", 0, 1),
    ("country", "create", None, {"code": "CH", "name": "Suisse"}),
    ("country", "update", {"code": "CH", "name": "Suisse"}, {"code": "CH", "name": "Schweiz"}),
    ("reader", "create", None, {"card": "A-1"}),
    ("book", "m2m.add", 1, 0),
    ("book", "update", _SAVED, _UPDATED),
    ("orderline", "create", None, {"tenant": "t", "number": 1}),
    ("orderline", "update", {"tenant": "t", "number": 1}, {"tenant": "t", "number": 1, "amount": 5}),
    ("measured", "create", None, _MEASURED),
    ("book", "update", _UPDATED, _UPDATED),
    ("shelf", "delete", {"name": "A"}, None),
    ("country", "delete", {"code": "CH", "name": "Schweiz"}, None),
]
