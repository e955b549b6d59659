"""Counts of the events, kept beside them so that statistics read no events."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Rollup(models.Model):
    """
    How many events of some kind there were in an hour (UTC) of `occurred_at`; several rows of one kind add up.

    A trigger of the audit log writes a row for each kind that a statement has stored, in that statement: whoever sees
    the events sees their counts. Nothing here is ever changed; `auditlog.rollups` puts rows of one kind together.
    Every event is counted twice: once with its actor (`by_actor`), and once without, in far fewer rows.
    """

    # No key: rows are only ever added up. Django asks for one.
    at = models.DateTimeField(primary_key=True)
    by_actor = models.BooleanField()
    model = models.TextField()
    action = models.TextField()
    category = models.TextField()
    # Null: no actor was known, or `by_actor` is false.
    actor_id = models.TextField(null=True)
    events = models.BigIntegerField()
    # False: as the trigger wrote it.
    compacted = models.BooleanField()

    objects: ClassVar[models.Manager[Rollup]]

    class Meta:
        verbose_name = "rollup"
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.events} {self.action} {self.model} at {self.at:%F %H:00}"


class RollupBacklog(models.Model):
    """A month (UTC) of which events were stored before there were rollups: its counts are not to be relied on yet."""

    month = models.DateTimeField(primary_key=True)

    objects: ClassVar[models.Manager[RollupBacklog]]

    class Meta:
        verbose_name = "month without rollups"
        verbose_name_plural = "months without rollups"
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.month:%Y-%m}"
