"""Rows that all writers fight for, rows of one writer, links, rows written in bulk, and the writers' marks."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from psycopg.types.json import Json


class Counter(models.Model):
    """A row that every writer increments: its value tells how often, and in which order."""

    value = models.IntegerField(default=0)

    objects: ClassVar[models.Manager[Counter]]


class Tag(models.Model):
    """The target of links."""

    text = models.TextField()

    objects: ClassVar[models.Manager[Tag]]


class TextJSONField(models.JSONField):
    """Keeps the text of a JSON value, escapes that stand for no character included."""

    def db_type(self, connection: object) -> str:
        """Return PostgreSQL's `json`."""
        return "json"

    def get_db_prep_value(self, value: Any, connection: object, prepared: bool = False) -> Any:
        """Send `json`, not `jsonb`, which has no place for such escapes."""
        return None if value is None else Json(value)


class Item(models.Model):
    """A row that one writer creates, updates, links and deletes."""

    writer = models.IntegerField()
    text = models.TextField()
    ratio = models.FloatField(null=True)
    blob = models.BinaryField(null=True)
    extra = TextJSONField(null=True)
    tags = models.ManyToManyField(Tag)

    objects: ClassVar[models.Manager[Item]]


class Entry(models.Model):
    """A row that is written many at a time."""

    writer = models.IntegerField()
    text = models.TextField()

    objects: ClassVar[models.Manager[Entry]]


class Mark(models.Model):
    """Not audited: says that a transaction of a writer has committed, independently of events."""

    writer = models.IntegerField()
    number = models.IntegerField()

    objects: ClassVar[models.Manager[Mark]]
