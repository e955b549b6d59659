"""What the loss proof remembers between its rounds: each topic and minute, and how far it has come."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Count, QuerySet
from django.db.models import Sum as Total

from auditlog.partitions import existing
from auditlog.queries.accounts import MINUTE, Cell, Sum, Window
from consumers.models import ReconciledMinute, ReconciliationProgress
from consumers.reconciliation.comparison import Compared, Difference

# Index: primary key.
REMEMBER = """
INSERT INTO consumers_reconciledminute (
    topic, minute, events, digest, lost, pending, unaccounted, is_open, compared_at
) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, clock_timestamp())
ON CONFLICT (topic, minute) DO UPDATE SET
    events = excluded.events, digest = excluded.digest, lost = excluded.lost, pending = excluded.pending,
    unaccounted = excluded.unaccounted, is_open = excluded.is_open, compared_at = excluded.compared_at
"""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far each part of the proof has come."""

    compared_until: datetime
    closed_until: datetime
    swept_until: datetime
    chained_until: datetime

    def to(self, **moments: datetime) -> Progress:
        """Return the progress with some of it further."""
        return replace(self, **moments)


@dataclass(frozen=True, slots=True)
class Totals:
    """What is open of a topic."""

    minutes: int = 0
    lost: int = 0
    pending: int = 0
    unaccounted: int = 0


@dataclass(frozen=True, slots=True)
class Memory:
    """The tables, in the database of the read model."""

    connection: BaseDatabaseWrapper

    def progress(self) -> Progress | None:
        """Return how far the proof has come; None before its first round."""
        row = self._progress.first()
        if row is None:
            return None
        return Progress(row.compared_until, row.closed_until, row.swept_until, row.chained_until)

    def save(self, progress: Progress) -> None:
        """Note how far the proof has come."""
        moments = {name: getattr(progress, name) for name in Progress.__slots__}
        self._progress.update_or_create(id=1, defaults=moments)

    def remember(self, compared: Compared, difference: Difference | None) -> None:
        """Note what a topic and minute held; with a difference it stays open."""
        found = difference or Difference(compared.cell)
        values: list[Any] = [
            compared.cell.topic,
            compared.cell.at,
            compared.committed.events,
            compared.committed.digest,
        ]
        counts: list[Any] = [found.lost.count, found.pending.count, found.unaccounted.count, not found.is_settled]
        with self.connection.cursor() as cursor:
            cursor.execute(REMEMBER, [*values, *counts])

    def open_cells(self, limit: int) -> list[Cell]:
        """Return the oldest topics and minutes that are open. Index: consumers_reconciled_open."""
        rows = self._minutes.filter(is_open=True).order_by("minute", "topic")[:limit]
        return [Cell(row.topic, row.minute) for row in rows]

    def settled(self, window: Window) -> dict[Cell, Sum]:
        """Return what was equal in a window. Index: consumers_reconciled_minute."""
        rows = self._minutes.filter(is_open=False, minute__gte=window.since, minute__lt=window.until)
        return {Cell(row.topic, row.minute): Sum(row.events, row.digest) for row in rows}

    def known(self, window: Window) -> dict[Cell, Sum]:
        """Return what committed in a window, as far as it is remembered. Index: consumers_reconciled_minute."""
        rows = self._minutes.filter(minute__gte=window.since, minute__lt=window.until).order_by("minute", "topic")
        return {Cell(row.topic, row.minute): Sum(row.events, row.digest) for row in rows}

    def remembered(self, cell: Cell) -> Sum:
        """Return what committed in a topic and minute, as far as it is remembered."""
        row = self._minutes.filter(topic=cell.topic, minute=cell.at).first()
        return Sum() if row is None else Sum(row.events, row.digest)

    def next_minute(self, since: datetime) -> datetime | None:
        """Return the first remembered minute from `since` on, but none whose events the owner has removed."""
        first = max(since, self._oldest_month())
        return self._minutes.filter(minute__gte=first).order_by("minute").values_list("minute", flat=True).first()

    def some(self, window: Window, events: int) -> Window:
        """Return the beginning of a window, a minute at least, that has about so many events."""
        rows = self._minutes.filter(minute__gte=window.since, minute__lt=window.until).order_by("minute")
        for minute, count in rows.values_list("minute", "events"):
            events -= count
            if events < 0:
                return Window(window.since, minute + MINUTE)
        return window

    def totals(self) -> dict[str, Totals]:
        """Return the sums of what is open, by topic. Index: consumers_reconciled_open."""
        rows = self._minutes.filter(is_open=True).values("topic").order_by("topic")
        sums = [Total(name) for name in ("lost", "pending", "unaccounted")]
        return {topic: Totals(*counts) for topic, *counts in rows.values_list("topic", Count("minute"), *sums)}

    @property
    def _minutes(self) -> QuerySet[ReconciledMinute]:
        return ReconciledMinute.objects.using(self.connection.alias)

    @property
    def _progress(self) -> QuerySet[ReconciliationProgress]:
        return ReconciliationProgress.objects.using(self.connection.alias)

    def _oldest_month(self) -> datetime:
        names = existing(self.connection)
        return (
            datetime(int(names[0][-6:-2]), int(names[0][-2:]), 1, tzinfo=UTC)
            if names
            else datetime.max.replace(tzinfo=UTC)
        )
