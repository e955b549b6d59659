"""The ORM operations that are measured, each on any model of the clinician's shape."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.db.models import F

from bench.models import Clinician, Person, Specialty
from bench.timing import Run

# Rows that are there from the beginning: their keys are 1 to this number.
SEEDED_ROWS = 1_000
# Short operations are timed in blocks of this many.
RUNS = 20
DELETED_ROWS = 100
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Operation:
    """
    Something an application does; `prepare` makes the runs of one block, outside the time that is measured.

    `rows` is how many rows one run writes. `ratio_autocommit` and `ratio_in_transaction` are the targets against no
    audit, where there are any.
    """

    name: str
    prepare: Callable[[Any, int], list[Run]]
    rows: int = 1
    runs: int = RUNS
    ratio_autocommit: float | None = None
    ratio_in_transaction: float | None = None


def seed(model: type[Person]) -> None:
    """Fill the empty table of a model."""
    model._default_manager.bulk_create([new(model) for _ in range(SEEDED_ROWS)])


def seed_specialties() -> None:
    """Make the targets of links."""
    Specialty.objects.bulk_create([Specialty(name=name) for name in ("Cardiology", "Surgery", "Paediatrics")])


def new(model: type[Person]) -> Person:
    """Return an instance, not saved, of about 500 bytes; no two have the same e-mail address."""
    number = next(_numbers)
    values = {
        "first_name": "Ada",
        "last_name": f"Byron-{number:09d}",
        "email": f"ada.byron.{number:09d}@example.org",
        "slug": f"ada-byron-{number:09d}",
        "phone": f"+1 555 {number:09d}",
        "bio": "Trained in London and Turin; sees patients on Mondays and Thursdays. " * 3,
        "hired_on": datetime.date(2020, 1, 1),
        "tags": ["telehealth", "english", "italian"],
        "tax_id" if issubclass(model, Clinician) else "licence": f"{number:09d}",
    }
    return model(**values)


def _made(model: type[Person], count: int) -> list[Any]:
    return model._default_manager.bulk_create([new(model) for _ in range(count)])


def _create(model: type[Person], runs: int) -> list[Run]:
    return [new(model).save for _ in range(runs)]


def _get_and_save(model: type[Person], runs: int) -> list[Run]:
    def run(key: int) -> None:
        instance = model._default_manager.get(pk=key)
        instance.phone = f"+1 555 {next(_numbers):09d}"
        instance.save()

    return [partial(run, key) for key in range(1, runs + 1)]


def _save_one_field(model: type[Person], runs: int) -> list[Run]:
    def run(instance: Person) -> None:
        instance.phone = f"+1 555 {next(_numbers):09d}"
        instance.save(update_fields=["phone"])

    return [partial(run, instance) for instance in model._default_manager.filter(pk__lte=runs)]


def _delete(model: type[Person], runs: int) -> list[Run]:
    return [instance.delete for instance in _made(model, runs)]


def _delete_rows(model: type[Person], runs: int) -> list[Run]:
    batches = [[instance.pk for instance in _made(model, DELETED_ROWS)] for _ in range(runs)]
    return [model._default_manager.filter(pk__in=keys).delete for keys in batches]


def _add_links(model: type[Clinician], runs: int) -> list[Run]:
    specialties = list(Specialty.objects.order_by("pk")[:3])
    return [partial(_linked, instance, specialties) for instance in _made(model, runs)]


def _linked(instance: Clinician, specialties: list[Specialty]) -> None:
    instance.specialties.add(*specialties)


def _update_rows(model: type[Person], runs: int) -> list[Run]:
    rows = model._default_manager.filter(pk__lte=SEEDED_ROWS)
    return [partial(rows.update, visits=F("visits") + 1) for _ in range(runs)]


def _bulk_create(model: type[Person], runs: int) -> list[Run]:
    batches = [[new(model) for _ in range(SEEDED_ROWS)] for _ in range(runs)]
    return [partial(model._default_manager.bulk_create, batch) for batch in batches]


CREATE = Operation("create", _create, ratio_autocommit=1.3, ratio_in_transaction=1.2)
SAVE_ONE_FIELD = Operation("save(update_fields)", _save_one_field, ratio_autocommit=1.4, ratio_in_transaction=1.3)
DELETE = Operation("delete", _delete, ratio_autocommit=1.3, ratio_in_transaction=1.25)
DELETE_ROWS = Operation("delete of 100 rows", _delete_rows, rows=DELETED_ROWS, runs=1)
UPDATE_ROWS = Operation("update of 1,000 rows", _update_rows, rows=SEEDED_ROWS, runs=1)
BULK_CREATE = Operation("bulk_create(1000)", _bulk_create, rows=SEEDED_ROWS, runs=1)
OPERATIONS = (
    CREATE,
    Operation("get + save", _get_and_save, ratio_autocommit=1.2, ratio_in_transaction=1.15),
    SAVE_ONE_FIELD,
    DELETE,
    Operation("m2m add(3)", _add_links, ratio_autocommit=1.2, ratio_in_transaction=1.2),
    UPDATE_ROWS,
    BULK_CREATE,
)
