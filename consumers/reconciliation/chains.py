"""Finds pairs of events that do not fit: reads them out of the read model, keeps what was found."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Count, QuerySet
from psycopg.types.json import Jsonb

from auditlog import topics
from auditlog.queries import secrets
from auditlog.queries.accounts import AT_ONCE, Window
from auditlog.vocabulary import Action
from consumers import decisions
from consumers.faults import ConsumerError
from consumers.models import ChainGap
from consumers.reasons import GapKind
from consumers.reconciliation.chain import Gap, Pair, judge
from consumers.reconciliation.comparison import Sides

log = structlog.get_logger(__name__)

# Row events with the row event of their object before them, but for pairs that fit at a glance. The inner select has
# one row at most, from the index auditlog_auditlog_object of each partition; the outer one goes by the primary keys.
PAIRS = f"""
SELECT c.model, c.object_pk, p.event_id, c.event_id, p.occurred_at, c.occurred_at, p.action, c.action,
       p.schema_version, c.schema_version, p.after::text, coalesce(c.before, here.image)::text, marked.is_adopted,
       EXISTS (
           SELECT FROM auditlog_auditlog d
           WHERE d.model = '{topics.SYSTEM_MODEL}' AND d.action = '{Action.AUDITING_DISABLED}'
             AND d.data ->> 'model' = c.model
             AND d.occurred_at BETWEEN p.occurred_at - interval '1 hour' AND c.occurred_at
       )
FROM auditlog_auditlog c
CROSS JOIN LATERAL (SELECT CASE WHEN c.action = '{Action.SNAPSHOT}' THEN c.after END AS image) here
CROSS JOIN LATERAL (
    SELECT e.event_id, e.occurred_at, e.action, e.schema_version, e.after FROM auditlog_auditlog e
    WHERE e.model = c.model AND e.object_pk = c.object_pk AND e.sequence < c.sequence
      AND e.topic !~ '[.]events([.]v[0-9]+)?$'
    ORDER BY e.sequence DESC LIMIT 1
) p
CROSS JOIN LATERAL (
    SELECT EXISTS (
        SELECT FROM auditlog_eventshape s WHERE s.id = c.shape AND s.text LIKE '%%"captured_by","bypass_check"%%'
    ) AS is_adopted
) marked
WHERE c.topic !~ '[.]events([.]v[0-9]+)?$' AND {{events}}
  AND NOT (c.action = '{Action.CREATE}' AND p.action = '{Action.DELETE}' AND NOT marked.is_adopted)
  AND (marked.is_adopted OR coalesce(c.before, here.image) IS DISTINCT FROM p.after)
"""
IN_WINDOW = PAIRS.format(events="c.event_id >= %(low)s AND c.event_id < %(high)s")
BY_ID = PAIRS.format(events="c.event_id = ANY(%(ids)s)")
# What an operator has explained stays so. Index: unique event_id.
KEEP = f"""
INSERT INTO consumers_chaingap (model, object_pk, previous_event_id, event_id, kind, columns, found_at)
VALUES (%s, %s, %s, %s, %s, %s, clock_timestamp())
ON CONFLICT (event_id) DO UPDATE SET
    previous_event_id = excluded.previous_event_id, kind = excluded.kind, columns = excluded.columns
WHERE consumers_chaingap.kind <> '{GapKind.EXPLAINED}'
RETURNING xmax = 0
"""
# Unexplained gaps are judged again, so many at a time: what explains them may come later.
JUDGED_AGAIN = 500


class NoSuchGap(ConsumerError):
    """No unexplained gap is known before this event."""


@dataclass(frozen=True, slots=True)
class Chains:
    """The chains of images of all objects."""

    sides: Sides

    def gaps(self, window: Window) -> Iterator[Gap]:
        """Yield the gaps before the events of a window, whatever their kind; in bounded memory."""
        yield from self._judged(IN_WINDOW, dict(window.bounds))

    def check(self, window: Window) -> None:
        """Keep the gaps of a window, and log those that are new and unexplained."""
        for gap in self.gaps(window):
            self._keep(gap)

    def judge_again(self) -> None:
        """Look again at what is unexplained: an event that came late may fill or explain it."""
        rows = self._rows.filter(kind=GapKind.UNEXPLAINED).order_by("-found_at")[:JUDGED_AGAIN]
        ids = list(rows.values_list("event_id", flat=True))
        if not ids:
            return
        still = {gap.pair.event_id: gap for gap in self._judged(BY_ID, {"ids": ids})}
        self._rows.filter(event_id__in=[one for one in ids if one not in still]).update(kind=GapKind.FILLED)
        for gap in still.values():
            self._keep(gap)

    def is_explained(self, gap: Gap) -> bool:
        """Tell whether an operator has explained a gap."""
        return self._rows.filter(event_id=gap.pair.event_id, kind=GapKind.EXPLAINED).exists()

    def counts(self) -> dict[str, int]:
        """Return how many gaps of each kind are known."""
        rows = self._rows.values("kind").annotate(count=Count("id")).order_by("kind")
        return {kind.value: 0 for kind in GapKind} | {row["kind"]: row["count"] for row in rows}

    @property
    def _rows(self) -> QuerySet[ChainGap]:
        return ChainGap.objects.using(self.sides.read_model.alias)

    def _judged(self, statement: str, values: dict[str, Any]) -> Iterator[Gap]:
        key_made_at = secrets.mask_key_made_at(self.sides.source)
        for pair in self._pairs(statement, values):
            gap = judge(pair, key_made_at=key_made_at)
            if gap is not None:
                yield gap

    def _pairs(self, statement: str, values: dict[str, Any]) -> Iterator[Pair]:
        connection = self.sides.read_model
        with transaction.atomic(using=connection.alias), connection.chunked_cursor() as cursor:
            cursor.execute(statement, values)
            while rows := cursor.fetchmany(AT_ONCE):
                yield from (Pair(*row) for row in rows)

    def _keep(self, gap: Gap) -> None:
        pair = gap.pair
        ids = (pair.previous_id, pair.event_id)
        values: list[Any] = [pair.model, pair.object_pk, *ids, gap.kind.value, Jsonb(list(gap.columns))]
        with self.sides.read_model.cursor() as cursor:
            cursor.execute(KEEP, values)
            is_new = cursor.fetchone() == (True,)
        if is_new and gap.kind is GapKind.UNEXPLAINED:
            log.error("chain.unexplained", model=pair.model, event_id=str(pair.event_id), columns=list(gap.columns))


def explain(sides: Sides, *, event_id: UUID, reason: str) -> None:
    """
    Note why there is a gap before an event: an event of the system, in one transaction with the mark.

    :raises NoSuchGap: if there is no unexplained gap.
    """
    alias = sides.read_model.alias
    rows = ChainGap.objects.using(alias).filter(event_id=event_id, kind=GapKind.UNEXPLAINED)
    with transaction.atomic(using=alias, durable=True):
        gap = rows.select_for_update().first()
        if gap is None:
            raise NoSuchGap(f"{NoSuchGap.__doc__} ({event_id})")
        data = {"model": gap.model, "object_pk": gap.object_pk, "event_id": str(event_id), "columns": gap.columns}
        decisions.record(action=Action.GAP_EXPLAINED, data=data, reason=reason)
        rows.update(kind=GapKind.EXPLAINED)
