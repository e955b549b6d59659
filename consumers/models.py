"""Dead letters: records that could not become events, kept whole."""

from __future__ import annotations

from typing import ClassVar

from django.db import models

from consumers.reasons import DeadLetterReason, Decision


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
