"""Whom the events of a model are about, and where they belong: by column where they have images, by value elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from auditlog.capture.columns import Column
from auditlog.registry import Registration
from auditlog.text import clean, key_text


def declared(registration: Registration, columns: Iterable[Column]) -> dict[str, Any]:
    """
    Return the members of `audit` that say which columns name subjects and labels, where there are any.

    Whoever reads an event finds the values in both of its images; SQL works nothing out.
    """
    columns = tuple(columns)
    return _present(
        is_subject=registration.is_subject,
        subject_columns={c.name: c.subject for c in columns if c.subject},
        label_columns={dimension: c.name for c in columns for dimension in c.labels},
    )


def named(instance: models.Model, registration: Registration) -> dict[str, Any]:
    """
    Return the members of `audit` that name subjects and labels of an event without images.

    They are those that the instance holds: what it has not loaded stays unknown, because it would cost a statement.
    """
    concrete = type(instance)._meta.concrete_model or type(instance)
    fields = {field.name: field for field in concrete._meta.local_concrete_fields}
    subjects = (
        f"{model}:{key}"
        for name in registration.subject_fields
        if (model := subject_model(fields.get(name), registration)) and (key := _held(instance, fields[name]))
    )
    labels = (
        f"{dimension}:{value}"
        for name, field in fields.items()
        for dimension in label_dimensions(field, registration)
        if (value := _held(instance, field))
    )
    told = _present(is_subject=registration.is_subject, subjects=list(subjects), labels=list(labels))
    return told | _present(classes=_classes(fields.values(), registration))


def _classes(fields: Iterable[Any], registration: Registration) -> dict[str, list[str]]:
    """Return the classes of the columns and fields that name something: they hide the names as well."""
    found: dict[str, list[str]] = {}
    for field in fields:
        data_class = registration.classes.get(field.name)
        if data_class and (subject_model(field, registration) or label_dimensions(field, registration)):
            found.setdefault(str(data_class), []).extend(dict.fromkeys((field.column, field.name)))
    return found


def subject_model(field: Any, registration: Registration) -> str | None:
    """Return the model that a field's values are keys of, where they name subjects."""
    if field is None or field.name not in registration.subject_fields or not registration.shows(field.name):
        return None
    if not is_key_of_another(field):
        return None
    target = field.remote_field.model
    return str((target._meta.concrete_model or target)._meta.label_lower)


def label_dimensions(field: Any, registration: Registration) -> tuple[str, ...]:
    """Return the dimensions that a field's values are labels in."""
    if not registration.shows(field.name):
        return ()
    return tuple(dimension for dimension, name in registration.label_fields.items() if name == field.name)


def is_key_of_another(field: Any) -> bool:
    """Tell whether a field holds primary keys of a model."""
    return isinstance(field, models.ForeignKey) and field.target_field.primary_key


def _held(instance: models.Model, field: Any) -> str | None:
    """Return the value as the database holds it, which some fields seal; None where that cannot be told."""
    value = instance.__dict__.get(field.attname)
    if value is None or hasattr(value, "resolve_expression"):
        return None
    try:
        return clean(key_text(field.get_prep_value(value)))
    except (TypeError, ValueError, ValidationError):
        return None


def _present(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value}
