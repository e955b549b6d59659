"""
Positions: what the read model held at one moment, told by how far each topic partition was stored.

Several consumers commit out of the order of `stored_at`, so that no time and no id tells what was there. What does is
the next offset of each partition, moved in the transaction of the rows; for events that come at offsets passed before
(a repair, a dead letter tried again, a replay), their number among the late events.
"""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from django.conf import settings
from django.db import connections, router
from django.db.models import BigIntegerField, BooleanField, Case, F, Func, JSONField, Q, TextField, Value, When
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Cast, Coalesce
from django.db.models.lookups import IsNull, LessThan, LessThanOrEqual

from auditlog.models import ConsumerOffset

# A topic and the number of its partition.
Place = tuple[str, int]

# One statement, so one snapshot. A group that was there before the leading one counts where that has not begun. The
# offsets are few and read as a whole; index of the number: its primary key.
NOW = """
SELECT topic, partition, coalesce(
    max(greatest(next_offset, again_until)) FILTER (WHERE "group" = %s), max(greatest(next_offset, again_until))
) FROM auditlog_consumeroffset GROUP BY topic, partition
UNION ALL SELECT NULL, NULL, coalesce(max(number), 0) FROM auditlog_lateevent
"""


class NoPosition(ValueError):
    """The text does not describe a position."""


@dataclass(frozen=True, slots=True)
class Position:
    """The next offset of each partition, and the number of the last late event."""

    offsets: Mapping[Place, int]
    late: int = 0

    def by_topic(self) -> dict[str, list[int | None]]:
        """Return the offsets of each topic, those of its partitions in their order; None where nothing was stored."""
        found: dict[str, list[int | None]] = {}
        for (topic, partition), following in sorted(self.offsets.items()):
            ones = found.setdefault(topic, [])
            ones += [None] * (partition - len(ones))
            ones.append(following)
        return found

    def to_text(self) -> str:
        """Return the position as letters that may stand in a URL: some four or five for each partition."""
        topics = [(topic, ones, _bytes_for(ones)) for topic, ones in self.by_topic().items()]
        head = json.dumps([self.late, [[topic, len(ones), size] for topic, ones, size in topics]], ensure_ascii=False)
        # Offsets are random enough: what compresses are the names.
        body = b"".join((0 if one is None else one + 1).to_bytes(size) for _topic, ones, size in topics for one in ones)
        return base64.urlsafe_b64encode(zlib.compress(head.encode(), 9) + body).decode().rstrip("=")

    @classmethod
    def from_text(cls, text: str) -> Position:
        """
        Return the position that `to_text` described; the caller knows that it was made here.

        :raises NoPosition: if it is none.
        """
        head = zlib.decompressobj()
        try:
            late, topics = json.loads(head.decompress(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))))
            body, offsets = io.BytesIO(head.unused_data), {}
            for topic, count, size in topics:
                for partition in range(count):
                    if following := int.from_bytes(body.read(size)):
                        offsets[topic, partition] = following - 1
        except (zlib.error, ValueError, TypeError) as exc:
            raise NoPosition from exc
        return cls(offsets, late)


def _bytes_for(offsets: list[int | None]) -> int:
    """Return how many bytes hold each of these offsets, and that there is none."""
    return (max((one or 0) + 1 for one in offsets).bit_length() + 7) // 8


def leading_group() -> str:
    """Return the consumer group whose offsets are positions; what others store is late."""
    return str(getattr(settings, "KAFKA_CONSUMER_GROUP", "auditlog"))


def now() -> Position:
    """Return the position of what is stored now, with one statement."""
    with connections[router.db_for_read(ConsumerOffset)].cursor() as cursor:
        cursor.execute(NOW, [leading_group()])
        found = {(topic, partition): following for topic, partition, following in cursor.fetchall()}
    return Position(late=found.pop((None, None)), offsets=found)


def stored_by(position: Position) -> Q:
    """
    Return the condition on rows of the audit log that they were stored at a position: exactly those, for ever.

    Rows of topics that no consumer has stored from, neither then nor now, came in another way and count as stored.
    Costs a look into a constant for each row, and takes no index away from a query.
    """
    unknown = ~Q(topic__in=ConsumerOffset.objects.values("topic"))
    return Q(
        Case(
            When(IsNull(F("late"), False), then=LessThanOrEqual(F("late"), position.late)),
            default=Coalesce(LessThan(F("offset"), _following(position)), unknown),
            output_field=BooleanField(),
        )
    )


class _Once(Func):
    """A constant that a statement makes once: not anew for each partition in the plan, nor for each row."""

    template = "(SELECT %(expressions)s)"


def _following(position: Position) -> Cast:
    """Return the expression of the next offset of a row's partition; null where the position has none."""
    offsets = _Once(Value(position.by_topic(), JSONField()), output_field=JSONField())
    of_topic = CombinedExpression(offsets, "->", F("topic"), output_field=JSONField())
    return Cast(CombinedExpression(of_topic, "->>", F("partition"), output_field=TextField()), BigIntegerField())
