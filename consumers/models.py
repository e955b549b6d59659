"""Dead letters: records that could not become events, kept whole; what the loss proof remembers."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from consumers.reasons import DeadLetterReason, Decision, GapKind


class DeadLetter(models.Model):
    """
    A record as it stood on its topic, and why it is not in the read model; written in the transaction of its offset.

    The bytes are kept, so that it can be examined and tried again. What is decided about it is marked; the row stays.
    """

    topic = models.TextField()
    partition = models.IntegerField()
    offset = models.BigIntegerField()
    key = models.BinaryField(null=True)
    # [{"name": …, "value": text or null} or {"name": …, "base64": …}]: names repeat and their order counts.
    headers = models.JSONField(default=list)
    value = models.BinaryField(null=True)
    reason = models.TextField(choices=[(reason.value, reason.name) for reason in DeadLetterReason])
    # Where in the event and which error; never what the event says.
    detail = models.TextField()
    at = models.DateTimeField()
    # Null while it is open.
    decision = models.TextField(null=True, choices=[(decision.value, decision.name) for decision in Decision])
    decided_at = models.DateTimeField(null=True)
    decided_by = models.TextField(null=True)
    decided_because = models.TextField(null=True)

    objects: ClassVar[models.Manager[DeadLetter]]

    class Meta:
        verbose_name = "dead letter"
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["topic", "partition", "offset"], name="consumers_deadletter_record"),
            models.CheckConstraint(
                condition=models.Q(reason__in=[reason.value for reason in DeadLetterReason]),
                name="consumers_deadletter_reason",
            ),
            models.CheckConstraint(
                condition=models.Q(
                    decision__isnull=True,
                    decided_at__isnull=True,
                    decided_by__isnull=True,
                    decided_because__isnull=True,
                )
                | models.Q(
                    decision__in=[decision.value for decision in Decision],
                    decided_at__isnull=False,
                    decided_by__isnull=False,
                    decided_because__isnull=False,
                ),
                name="consumers_deadletter_decision",
            ),
            models.CheckConstraint(
                condition=models.Q(partition__gte=0, offset__gte=0), name="consumers_deadletter_position"
            ),
        ]
        indexes = [
            models.Index(fields=["-at", "-id"], name="consumers_deadletter_at"),
            models.Index(
                fields=["reason"], name="consumers_deadletter_open", condition=models.Q(decision__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reason}: {self.topic}[{self.partition}]@{self.offset}"


class ReconciledMinute(models.Model):
    """
    What a topic and minute held when both sides were last compared.

    While they differ the row is open and is looked at again. Once they are equal it remembers how many events there
    were and the digest of their ids: whatever the read model loses later is noticed, even if the ledger has forgotten.
    """

    pk = models.CompositePrimaryKey("topic", "minute")
    topic = models.TextField()
    minute = models.DateTimeField()
    # Of what committed: how many, and the XOR of the first eight bytes of each id's md5.
    events = models.BigIntegerField()
    digest = models.BigIntegerField()
    # How many ids only one side had: acknowledged by Kafka and not stored, waiting in the outbox, stored and unknown.
    lost = models.BigIntegerField(default=0)
    pending = models.BigIntegerField(default=0)
    unaccounted = models.BigIntegerField(default=0)
    is_open = models.BooleanField()
    compared_at = models.DateTimeField()

    objects: ClassVar[models.Manager[ReconciledMinute]]

    class Meta:
        verbose_name = "reconciled minute"
        default_permissions = ()
        indexes = [
            models.Index(fields=["minute"], name="consumers_reconciled_open", condition=models.Q(is_open=True)),
            models.Index(fields=["minute"], name="consumers_reconciled_minute"),
        ]

    def __str__(self) -> str:
        return f"{self.topic} {self.minute:%F %R}"


class ReconciliationProgress(models.Model):
    """How far the loss proof has come: one row."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    # Up to here everything was compared once.
    compared_until = models.DateTimeField()
    # Up to here everything was compared after the last transaction that could have added to it had ended.
    closed_until = models.DateTimeField()
    # Where the next look at what was equal begins.
    swept_until = models.DateTimeField()
    # Up to here the chains of images were checked.
    chained_until = models.DateTimeField()

    objects: ClassVar[models.Manager[ReconciliationProgress]]

    class Meta:
        verbose_name = "progress of the reconciliation"
        default_permissions = ()

    def __str__(self) -> str:
        return f"closed until {self.closed_until:%F %T}"


class ChainGap(models.Model):
    """Two events of an object that follow each other and do not fit: what came between them has no event."""

    model = models.TextField()
    object_pk = models.TextField()
    # Of the earlier and of the later event.
    previous_event_id = models.UUIDField()
    event_id = models.UUIDField(unique=True)
    kind = models.TextField(choices=[(kind.value, kind.name) for kind in GapKind])
    # What differs between `after` of the one and `before` of the other: never the values.
    columns = models.JSONField(default=list)
    found_at = models.DateTimeField()

    objects: ClassVar[models.Manager[ChainGap]]

    class Meta:
        verbose_name = "chain gap"
        default_permissions = ("view",)
        constraints = [
            models.CheckConstraint(
                condition=models.Q(kind__in=[kind.value for kind in GapKind]), name="consumers_chaingap_kind"
            )
        ]
        indexes = [models.Index(fields=["kind", "-found_at"], name="consumers_chaingap_kind_at")]

    def __str__(self) -> str:
        return f"{self.kind}: {self.model} {self.object_pk} before {self.event_id}"
