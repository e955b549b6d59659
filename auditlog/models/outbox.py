"""The outbox: events that committed with the data and wait for Kafka, and the ledger of those that left."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import BrinIndex
from django.db import models


class OutboxEvent(models.Model):
    """
    An event that is committed and not yet published; the relay deletes it when the broker has acknowledged it.

    Written by the SQL functions of the migrations only. `id` is taken while the changed row is locked, so that it
    orders the events of a row as they committed. The database's primary key is (shard, id): a relay reads its shards
    in id order from that index whatever the planner's statistics say.
    """

    id = models.BigAutoField(primary_key=True)
    shard = models.PositiveSmallIntegerField()
    topic = models.TextField()
    key = models.TextField()
    event_id = models.UUIDField()
    # CloudEvents `ce_type`, for example auditlog.doctors.doctor.update.v1.
    event_type = models.TextField()
    occurred_at = models.DateTimeField()
    # WAL timeline at the time of the write: the first half of `source.sequence`.
    timeline = models.IntegerField()
    schema_version = models.TextField(null=True)
    traceparent = models.TextField(null=True)
    # The final bytes of the Kafka value; never parsed on the way.
    value = models.TextField()
    parked_at = models.DateTimeField(null=True)
    parked_reason = models.TextField(null=True)

    objects: ClassVar[models.Manager[OutboxEvent]]

    class Meta:
        verbose_name = "outbox event"

    def __str__(self) -> str:
        return f"{self.event_type} {self.key} ({self.id})"

    @property
    def sequence(self) -> str:
        """`source.sequence`: sorts as text in the order in which the events of an object committed."""
        return f"{self.timeline:08X}:{self.id:020d}"


class OutboxLedger(models.Model):
    """
    What one acknowledged batch took out of the outbox, per topic; written by the statement that deletes it.

    committed = outbox + ledger, so that losses are found without trusting the relay.
    """

    id = models.BigAutoField(primary_key=True)
    topic = models.TextField()
    outbox_ids = ArrayField(models.BigIntegerField())
    event_ids = ArrayField(models.UUIDField())
    # Order-independent digest of the event ids: the XOR of the first eight bytes of each id's md5.
    digest = models.BigIntegerField()
    relay = models.TextField()
    first_occurred_at = models.DateTimeField()
    last_occurred_at = models.DateTimeField()
    acknowledged_at = models.DateTimeField()

    objects: ClassVar[models.Manager[OutboxLedger]]

    class Meta:
        verbose_name = "outbox ledger entry"
        verbose_name_plural = "outbox ledger"
        # Brief, since entries come in the order of their times.
        indexes = [
            BrinIndex(
                fields=["first_occurred_at", "last_occurred_at"],
                name="auditlog_outboxledger_times",
                autosummarize=True,
                pages_per_range=16,
            )
        ]

    def __str__(self) -> str:
        return f"{self.topic}: {len(self.event_ids)} events acknowledged at {self.acknowledged_at:%F %T}"


class LedgerBeginning(models.Model):
    """How far the ledger has forgotten: one row, once the first entry was removed for its age."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    # When the youngest of the removed entries was acknowledged.
    purged_until = models.DateTimeField()

    objects: ClassVar[models.Manager[LedgerBeginning]]

    class Meta:
        verbose_name = "beginning of the ledger"
        default_permissions = ()

    def __str__(self) -> str:
        return f"after {self.purged_until:%F %T}"
