"""Names of the Kafka topics: one for the row changes of each model, one beside it for what is no row change."""

from __future__ import annotations

import re
from collections.abc import Iterable

from django.conf import settings
from django.db import models

from auditlog.registry import auditlog

EVENTS_SUFFIX = ".events"
SYSTEM_MODEL = "auditlog.system"
BLOBS = "auditlog.blobs"
# The end of a name that a topic was moved to.
GENERATION = re.compile(r"(.+)\.v[1-9][0-9]{0,8}")


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


def generation(topic: str, number: int) -> str:
    """Return the topic that another is moved to for the `number`th time; the first is the topic itself."""
    return topic if number == 1 else f"{topic}.v{number}"


def generations(topic: str, names: Iterable[str]) -> list[str]:
    """Return those of these names that are the topic itself or that it was moved to."""
    return sorted(name for name in names if original(name) == topic)


def latest(topic: str, names: Iterable[str]) -> str:
    """Return the last of these names that a topic was moved to; the topic itself where none is."""
    return max(generations(topic, names), key=lambda name: _number(topic, name), default=topic)


def original(name: str) -> str:
    """Return the topic that was moved to one of this name; the name itself where it is no other's generation."""
    found = GENERATION.fullmatch(name)
    return found[1] if found and found[1] in all_topics() and name not in all_topics() else name


def _number(topic: str, name: str) -> int:
    return 1 if name == topic else int(name.removeprefix(f"{topic}.v"))


def _label(model: type[models.Model]) -> str:
    return model._meta.label_lower
