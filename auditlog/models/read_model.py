"""The read model: one row for each event, partitioned by month of the event id, and how far each topic was read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.base import ModelState

from auditlog.exact_json import ExactDecoder


class AuditLog(models.Model):
    """
    One event, as compliance staff query it. Append-only: no role of the service may update or delete rows.

    Range-partitioned on `event_id` (UUIDv7: its first 48 bits are the time in milliseconds), so that the primary key
    makes an event unique over the whole table and a time window still prunes partitions.
    """

    event_id = models.UUIDField(primary_key=True)
    occurred_at = models.DateTimeField()
    stored_at = models.DateTimeField()
    model = models.TextField()
    object_pk = models.TextField(null=True)
    object_repr = models.TextField(null=True)
    action = models.TextField()
    category = models.TextField()
    # {field name: [old, new]}, worked out from before and after.
    changes = models.JSONField(null=True, decoder=ExactDecoder)
    before = models.JSONField(null=True, decoder=ExactDecoder)
    after = models.JSONField(null=True, decoder=ExactDecoder)
    m2m = models.JSONField(null=True, decoder=ExactDecoder)
    data = models.JSONField(null=True, decoder=ExactDecoder)
    masked = models.JSONField(null=True, decoder=ExactDecoder)
    # {class: [names of columns, and of their fields, and Naming]}: what the values were said to hold when the event was
    # made.
    classes = models.JSONField(null=True, decoder=ExactDecoder)
    actor_id = models.TextField(null=True)
    actor_repr = models.TextField(null=True)
    actor = models.JSONField(null=True, decoder=ExactDecoder)
    request_id = models.TextField(null=True)
    session = models.TextField(null=True)
    transaction_id = models.TextField(null=True)
    remote_addr = models.GenericIPAddressField(null=True)
    reason = models.TextField(null=True)
    context = models.JSONField(null=True, decoder=ExactDecoder)
    schema_version = models.TextField(null=True)
    topic = models.TextField()
    partition = models.IntegerField()
    offset = models.BigIntegerField()
    sequence = models.TextField()
    # Whom the event is about, as "doctors.patient:42", and where it belongs, as "department:3": as its model is
    # registered. Empty in rows that were stored before these columns.
    subjects = ArrayField(models.TextField(), default=list, db_default=[])
    labels = ArrayField(models.TextField(), default=list, db_default=[])
    # The keys of `changes`, or the field of a membership.
    changed_fields = ArrayField(models.TextField(), default=list, db_default=[])
    on_behalf_of_id = models.TextField(null=True)
    # Out of the traceparent of the context.
    trace_id = models.TextField(null=True)
    # What the record said beyond these columns: an EventShape. Null: stored before shapes were kept.
    shape = models.UUIDField(null=True)

    # Names whose values were taken out for a caller; see `auditlog.access.redaction`. No column.
    redacted: Sequence[str] = ()
    # The number of a LateEvent. Null: positions had not passed the offset when the row was stored.
    late = models.BigIntegerField(null=True)

    objects: ClassVar[models.Manager[AuditLog]]

    class Meta:
        verbose_name = "audit event"
        verbose_name_plural = "audit log"
        default_permissions = ("view",)

    @classmethod
    def from_db(cls, db: str | None, field_names: Collection[str], values: Collection[Any], **_later: Any) -> Self:
        """
        Make an event of a row: its values and nothing else, in a fifth of the time that the framework takes.

        Deferred columns are loaded when they are asked for, as ever; `pre_init` and `post_init` are not sent.
        """
        event = cls.__new__(cls)
        event._state = ModelState()
        event._state.adding, event._state.db = False, db
        event.__dict__.update(zip(field_names, values, strict=True))
        return event

    def __str__(self) -> str:
        return f"{self.occurred_at:%F %T} {self.action} {self.model} {self.object_pk or ''}".rstrip()


class EventShape(models.Model):
    """
    What records of one kind said beyond the columns of their rows, so that a topic can be made again. Append-only.

    `id` is the beginning of the SHA-256 of `text`; `consumers.shapes` reads and writes the text.
    """

    id = models.UUIDField(primary_key=True)
    text = models.TextField()

    objects: ClassVar[models.Manager[EventShape]]

    class Meta:
        verbose_name = "event shape"
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.id)


class ContentChunk(models.Model):
    """
    A part of the content of a large value, as it came. Append-only.

    Parts of the same `sha256` and `chunks` fit together; of several with the same number the one with the highest
    `event_id` counts. Once all are there, together they have the hash. Not partitioned: events of any later month may
    refer to a content that was sent once.
    """

    event_id = models.UUIDField(primary_key=True)
    stored_at = models.DateTimeField()
    sha256 = models.TextField()
    # Of the whole content.
    bytes = models.BigIntegerField()
    chunk = models.IntegerField()
    chunks = models.IntegerField()
    # Null where the same bytes are stored already.
    data = models.BinaryField(null=True)
    # As those of dead letters. Null: stored before they were kept.
    headers = models.JSONField(null=True)
    topic = models.TextField()
    partition = models.IntegerField()
    offset = models.BigIntegerField()

    objects: ClassVar[models.Manager[ContentChunk]]

    class Meta:
        verbose_name = "content chunk"
        default_permissions = ()
        indexes = [
            models.Index(
                fields=["sha256", "chunks", "chunk", "event_id"],
                name="auditlog_contentchunk_bytes",
                condition=models.Q(data__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{self.chunk + 1} of {self.chunks} of {self.sha256}"


class ConsumerOffset(models.Model):
    """
    The next offset that a consumer group will store of one topic partition; moved in the transaction of the rows.

    A writer moves it only from the value that it expects, so that a consumer which lost its partition changes nothing.
    """

    pk = models.CompositePrimaryKey("group", "topic", "partition")
    group = models.TextField()
    topic = models.TextField()
    partition = models.IntegerField()
    next_offset = models.BigIntegerField()
    # Null but after a move back, or where another group was before: what is stored below it is late.
    again_until = models.BigIntegerField(null=True)
    updated_at = models.DateTimeField()

    objects: ClassVar[models.Manager[ConsumerOffset]]

    class Meta:
        verbose_name = "consumer offset"

    def __str__(self) -> str:
        return f"{self.group} {self.topic}[{self.partition}] at {self.next_offset}"


class LateEvent(models.Model):
    """
    An event that was stored where a position had passed: by a repair, say, or out of a dead letter. Append-only.

    Numbered in the order of commits, in the transaction of the row, which has the number too: `consumers.late`. One
    whose row the owner removed, and that is stored again, has another number.
    """

    number = models.BigIntegerField(primary_key=True)
    event_id = models.UUIDField()

    objects: ClassVar[models.Manager[LateEvent]]

    class Meta:
        verbose_name = "late event"
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.number}: {self.event_id}"
