"""What pages may be ordered by, and the key of an event in each order."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import BooleanField, DateTimeField, Expression, F, Func, GenericIPAddressField, TextField, Value
from django.db.models.functions import Cast, Coalesce
from django.db.models.lookups import GreaterThan, LessThan

from auditlog.models import AuditLog

# By the name that callers use. Of these three an index exists; the others sort what the filter leaves.
TIME, SEQUENCE, STORED = "occurred_at", "sequence", "stored_at"
# An event without an address sorts before all that have one.
NO_ADDRESS: Final = "0.0.0.0"  # noqa: S104 - a value, not an address to listen on
COLUMNS: Final = {
    TIME: TIME,
    STORED: STORED,
    SEQUENCE: SEQUENCE,
    "event_id": "event_id",
    "model": "model",
    "object_pk": "object_pk",
    "object_repr": "object_repr",
    "action": "action",
    "category": "category",
    "actor": "actor_repr",
    "request_id": "request_id",
    "transaction_id": "transaction_id",
    "remote_addr": "remote_addr",
    "reason": "reason",
}
TIMES: Final = frozenset({TIME, STORED})
NULLABLE: Final = frozenset({"object_pk", "object_repr", "actor", "request_id", "transaction_id", "reason"})

Key = datetime | str


@dataclass(frozen=True, slots=True)
class Sort:
    """A column and a direction; the event id decides among equals, in the same direction."""

    name: str = TIME
    descending: bool = True

    def __str__(self) -> str:
        return f"-{self.name}" if self.descending else self.name

    @classmethod
    def of(cls, text: str) -> Sort | None:
        """Return the order that a text as `-occurred_at` asks for; None where there is none of this name."""
        name = text.removeprefix("-")
        return cls(name, text != name) if name in COLUMNS else None

    @property
    def expression(self) -> Expression | F:
        """The value that is sorted by: never null, so that one is always before or after another."""
        column = F(COLUMNS[self.name])
        if self.name in NULLABLE:
            return Coalesce(column, Value(""), output_field=TextField())
        if self.name == "remote_addr":
            lowest = Cast(Value(NO_ADDRESS), GenericIPAddressField())
            return Coalesce(column, lowest, output_field=GenericIPAddressField())
        return column

    def key(self, event: AuditLog) -> Key:
        """Return the value of an event in this order."""
        value = getattr(event, COLUMNS[self.name])
        if isinstance(value, datetime):
            return value
        if value is None:
            return NO_ADDRESS if self.name == "remote_addr" else ""
        return str(value)

    def order(self, *, backwards: bool) -> list[Any]:
        """Return what `order_by` takes."""
        down = self.descending != backwards
        fields = (self.expression, F("event_id")) if self.name != "event_id" else (F("event_id"),)
        return [field.desc() if down else field.asc() for field in fields]

    def beyond(self, key: Key, event_id: uuid.UUID, *, backwards: bool) -> Any:
        """Return the condition of the rows after a place in this order; before it where `backwards`."""
        place = _Row(self.expression, F("event_id"))
        here = _Row(self._literal(key), Value(event_id))
        return LessThan(place, here) if self.descending != backwards else GreaterThan(place, here)

    def _literal(self, key: Key) -> Expression:
        if self.name in TIMES:
            return Value(key, DateTimeField())
        if self.name == "remote_addr":
            return Cast(Value(key), GenericIPAddressField())
        if self.name == "event_id":
            return Value(uuid.UUID(str(key)))
        return Value(key)


BY_TIME: Final = Sort()
BY_SEQUENCE: Final = Sort(SEQUENCE)


class _Row(Func):
    """A row value: two of them are compared as one index entry with another, member by member."""

    template = "(%(expressions)s)"
    output_field = BooleanField()
