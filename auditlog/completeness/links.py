"""The links of a registered table: the rows of the through table of each tracked many-to-many field."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db import models

from auditlog import context
from auditlog.capture.columns import quote
from auditlog.capture.plans import LinkPlan, plan_for
from auditlog.completeness.streams import streamed
from auditlog.completeness.tables import ROW, Table
from auditlog.vocabulary import Action

LINK, LOCKED = "auditlog_l", "auditlog_s"


class Link(NamedTuple):
    """A link as it is."""

    key: str
    target: str
    # The fields of its own, as JSON text; None where the through table has none.
    through: str | None


@dataclass(frozen=True, slots=True)
class LinkTable:
    """The through table of a tracked many-to-many field, seen from the table that declares the field."""

    table: Table
    model: type[models.Model]
    plan: LinkPlan
    # The column of the owner's table that links hold, quoted; mostly its primary key.
    owner_target: str
    # Whether there is one link at most between two objects.
    is_unique: bool

    @property
    def name(self) -> str:
        """The quoted name of the through table."""
        return quote(self.model._meta.db_table)

    def snapshot(self, condition: str, params: Sequence[Any], *, reprs: str | None) -> int:
        """
        Record the links of the owners that a condition on their table chooses, and return how many that were.

        Holds each of them FOR SHARE, in the transaction of the caller: a link that is being removed is waited for, so
        that it was there when its event took its place in the order. An event tells of links that are there, never
        that there are no others: one that is being added meanwhile has its own event. Served by the index of the
        through table's reference to its owner.
        """
        owners = f"SELECT {ROW}.{self.owner_target} FROM {self.table.name} {ROW}{condition}"
        call = self.plan.emit(
            schema=self.table.can.schema, action=Action.SNAPSHOT, owner="auditlog_owner", target="auditlog_target"
        )
        links = self._links(owners, lock="SHARE")
        statement = (
            f"SELECT coalesce(sum(auditlog_count), 0)::bigint FROM (SELECT {call} AS auditlog_done, "
            f"count(*) AS auditlog_count FROM ({links}) auditlog_links GROUP BY auditlog_owner) auditlog_events"
        )
        frame = (None, context.frame_members(), reprs, context.traceparent())
        with self.table.connection.cursor() as cursor:
            cursor.execute(statement, [*frame, *params])
            count: int = cursor.fetchone()[0]
        return count

    def live(self, keys: Sequence[str]) -> AbstractContextManager[Iterator[Link]]:
        """Read the links of these owners in the order of keys, then targets, by code point."""
        statement = (
            f"{self._selected()} FROM ({self._links(self._of_keys())}) auditlog_a "
            'ORDER BY auditlog_owner COLLATE "C", auditlog_target COLLATE "C"'
        )
        return streamed(self.table.connection, statement, [list(keys)], Link)

    def held(self, key: str) -> list[Link]:
        """Return the links of an owner, and hold them until the transaction ends."""
        links = self._links(self._of_keys(), lock="UPDATE")
        with self.table.connection.cursor() as cursor:
            cursor.execute(f"{self._selected()} FROM ({links}) auditlog_a", [[key]])
            return [Link(*row) for row in cursor.fetchall()]

    def _links(self, owners: str, *, lock: str | None = None) -> str:
        """Return the SELECT of the links that hold one of `owners`; as they are once locks were waited for."""
        columns = {
            **self.plan.returning(old=None, new=f"({LOCKED}.auditlog_row)", schema=self.table.can.schema),
            "auditlog_table": f"{LOCKED}.auditlog_table",
        }
        order = ", ".join(f"{LINK}.{quote(str(field.column))}" for field in self.model._meta.pk_fields)
        locking = f" ORDER BY {order} FOR {lock}" if lock else ""
        return (
            f"SELECT {', '.join(f'{sql} AS {name}' for name, sql in columns.items())} "
            f"FROM (SELECT {LINK} AS auditlog_row, {LINK}.tableoid AS auditlog_table FROM {self.name} {LINK} "
            f"WHERE {LINK}.{quote(self.plan.owner_column)} IN ({owners}){locking}) {LOCKED}"
        )

    def _of_keys(self) -> str:
        """Return the SELECT of what links hold of owners whose keys are a parameter."""
        keys = f"SELECT unnest(%s::text[])::{self.table.key_types[0]}"
        if self.owner_target == self.table.key_columns[0]:
            return keys  # also those of owners that are gone
        return f"SELECT {ROW}.{self.owner_target} FROM {self.table.name} {ROW} WHERE {self.table.order()} IN ({keys})"

    def _selected(self) -> str:
        return f"SELECT auditlog_owner, auditlog_target, {'auditlog_through' if self.plan.fields else 'NULL'}"


def links_of(table: Table) -> list[LinkTable]:
    """Return the through tables of the many-to-many fields of a table whose memberships become events."""
    return [found for field in table.model._meta.local_many_to_many if (found := _link_table(table, field))]


def _link_table(table: Table, field: Any) -> LinkTable | None:
    through: Any = field.remote_field.through
    plan = plan_for(through, table.connection)
    links = plan.links if plan else None
    # A through table that two fields share speaks of the links of one of them.
    if links is None or (links.owner_label, links.field_name) != (table.label, field.name):
        return None
    ends = (field.m2m_field_name(), field.m2m_reverse_field_name())
    owner = through._meta.get_field(ends[0])
    return LinkTable(table, through, links, quote(str(owner.target_field.column)), _is_unique(through, set(ends)))


def _is_unique(through: type[models.Model], ends: set[str]) -> bool:
    meta = through._meta
    unique = (*meta.unique_together, *(constraint.fields for constraint in meta.total_unique_constraints))
    keys = [field.name for field in meta.pk_fields]
    return any(set(names) <= ends for names in (*unique, keys))
