"""A registered table as it is read in batches: its plan, its connection, its primary key as SQL."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from django.apps import apps
from django.db import connections, models, router
from django.db.backends.base.base import BaseDatabaseWrapper

from auditlog.capture.columns import quote, regclass
from auditlog.capture.plans import RowPlan, plan_for
from auditlog.capture.state import Capability, capability
from auditlog.errors import AuditlogError
from auditlog.registry import auditlog

# How statements name the table; no column of an application is called so.
ROW = "auditlog_t"
# The planner's estimate, -1 before the first ANALYZE: counting would read the whole table.
ESTIMATE = "SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass"


class UnknownModel(AuditlogError):
    """There is no registered model of this name."""


class NotInstalled(AuditlogError):
    """The capture functions are not installed on this database: run migrate."""


class BadKey(AuditlogError):
    """A key does not have the parts that the model's primary key has."""


@dataclass(frozen=True, slots=True)
class Table:
    """The table of a registered model on one database."""

    model: type[models.Model]
    connection: BaseDatabaseWrapper
    plan: RowPlan
    can: Capability
    # Primary key: quoted columns and their types, to turn the text of a key into values again.
    key_columns: tuple[str, ...]
    key_types: tuple[str, ...]

    @classmethod
    def of(cls, model: type[models.Model], *, using: str | None = None) -> Table:
        """
        Return the table of a registered model, on the alias that writes go to unless another is named.

        :raises NotInstalled: if the database of that alias cannot capture.
        """
        connection = connections[using or router.db_for_write(model)]
        if connection.vendor != "postgresql":
            raise NotInstalled(f"{connection.alias!r} is not PostgreSQL.")
        connection.ensure_connection()
        plan, can = plan_for(model, connection), capability(connection)
        if can is None:
            raise NotInstalled(f"The capture functions are not installed on {connection.alias!r}: run migrate.")
        if plan is None or plan.row is None:
            raise UnknownModel(f"{model._meta.label} is not registered with auditlog.")
        fields = model._meta.pk_fields
        return cls(
            model,
            connection,
            plan.row,
            can,
            tuple(quote(str(field.column)) for field in fields),
            tuple(str(field.db_type(connection)).replace("%", "%%") for field in fields),
        )

    @property
    def label(self) -> str:
        """`app_label.model`."""
        return self.plan.label

    @property
    def name(self) -> str:
        """The quoted name of the table."""
        return quote(self.model._meta.db_table)

    @property
    def relation(self) -> str:
        """The table as a `regclass`."""
        return regclass(self.name)

    def order(self, row: str = ROW) -> str:
        """Return ORDER BY's list for the order of the primary key."""
        return ", ".join(f"{row}.{column}" for column in self.key_columns)

    def compared(self, operator: str, *, row: str = ROW) -> str:
        """Return a condition on the primary key, with one parameter for each of its columns."""
        given = ", ".join(f"%s::{db_type}" for db_type in self.key_types)
        return f"({self.order(row)}) {operator} ({given})"

    def parts(self, key: str) -> list[str]:
        """
        Return the text of each column's value out of an object's key.

        :raises BadKey: if the key has other parts than the primary key.
        """
        if len(self.key_columns) == 1:
            return [key]
        try:
            parts = json.loads(key)
        except ValueError:
            parts = None
        if not isinstance(parts, list) or len(parts) != len(self.key_columns):
            raise BadKey(f"{key!r} is no key of {self.label}: it is a JSON array of {len(self.key_columns)} values.")
        return [part if isinstance(part, str) else json.dumps(part) for part in parts]

    def estimated_rows(self) -> int | None:
        """Return about how many rows there are; None where nobody has counted yet."""
        with self.connection.cursor() as cursor:
            cursor.execute(ESTIMATE, [self.name.replace("%%", "%")])
            rows: int = cursor.fetchone()[0]
        return rows if rows >= 0 else None


def chosen_models(labels: Sequence[str]) -> list[type[models.Model]]:
    """
    Return the registered models of these labels, in this order; all registered models where none is named.

    :raises UnknownModel: for a label that is no model's, or that of a model that is not registered.
    """
    return [_registered(label) for label in labels] or auditlog.get_models()


def _registered(label: str) -> type[models.Model]:
    try:
        model = apps.get_model(label)
    except (LookupError, ValueError) as exc:
        raise UnknownModel(f"There is no model {label!r}: name it app_label.Model.") from exc
    if not auditlog.contains(model):
        raise UnknownModel(f"{model._meta.label} is not registered with auditlog.")
    return model._meta.concrete_model or model
