"""Names of the Kafka topics: one for the row changes of each model, one beside it for what is no row change."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from auditlog.registry import auditlog

EVENTS_SUFFIX = ".events"
SYSTEM_MODEL = "auditlog.system"
BLOBS = "auditlog.blobs"


def prefix() -> str:
    """Return the first part of every topic name, also `source.name` of every event."""
    return str(getattr(settings, "AUDITLOG_TOPIC_PREFIX", "audit"))


def row_topic(label: str) -> str:
    """Return the topic of the row changes of a model, given its lower-case label."""
    registration = auditlog.find(label)
    return (registration.topic if registration else None) or f"{prefix()}.{label}"


def events_topic(label: str) -> str:
    """Return the topic of memberships, domain events and accesses of a model's objects."""
    return row_topic(label) + EVENTS_SUFFIX


def system_topic() -> str:
    """Return the topic of what belongs to no object: logins, disabled auditing, requeues."""
    return f"{prefix()}.{SYSTEM_MODEL}{EVENTS_SUFFIX}"


def blobs_topic() -> str:
    """Return the topic of the contents of large values, in chunks."""
    return f"{prefix()}.{BLOBS}"


def all_topics() -> list[str]:
    """Return every topic that the registered models publish to, sorted."""
    labels = [_label(model) for model in auditlog.get_models()]
    return sorted({system_topic(), blobs_topic(), *map(row_topic, labels), *map(events_topic, labels)})


def _label(model: type[models.Model]) -> str:
    return model._meta.label_lower
