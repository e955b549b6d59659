"""System checks: what would make a registration say less, or more, than it promises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, register
from django.core.exceptions import FieldDoesNotExist
from django.db import connections, models

from auditlog.capture.compilers import installed_on
from auditlog.registry import MASKED_BY_DEFAULT, Registration, auditlog, global_classes, global_names
from auditlog.vocabulary import FieldClass


@register("auditlog")
def check_registrations(**_kwargs: Any) -> list[CheckMessage]:
    """Find registrations that name fields or classes that are not there, or mask what identifies the object."""
    return [message for model in auditlog.get_models() for message in _problems(model)]


@register("auditlog")
def check_compilers(**_kwargs: Any) -> list[CheckMessage]:
    """Find databases whose writes do not pass the capturing compilers."""
    return [
        Error(
            f"Writes on the database {alias!r} do not pass the capturing compilers.",
            hint="Its ENGINE sets DatabaseOperations.compiler_module after the applications are ready: set it earlier.",
            id="auditlog.E003",
        )
        for alias in connections
        if connections[alias].vendor == "postgresql" and not installed_on(connections[alias])
    ]


def _problems(model: type[models.Model]) -> Iterator[CheckMessage]:
    registration = auditlog.find(model._meta.label_lower)
    if registration is None:
        return
    for field in model._meta.pk_fields:
        if field.name in registration.masks:
            yield Error(
                f"The primary key {field.name!r} is masked: its value is the key of every event.",
                hint="Take it out of mask_fields; use a surrogate key for what must not be seen.",
                obj=model,
                id="auditlog.E001",
            )
    for name in sorted(_named(registration)):
        if not _has_field(model, name):
            yield Error(
                f"auditlog.register() names {name!r}, and the model has no such field.",
                hint="A misspelt name masks, excludes or includes nothing.",
                obj=model,
                id="auditlog.E002",
            )
    for name, given in sorted(registration.classes.items()):
        if given not in set(FieldClass):
            yield Error(
                f"The field {name!r} is classified as {given!r}, and there is no such class.",
                hint=f"Use one of {', '.join(FieldClass)}.",
                obj=model,
                id="auditlog.E004",
            )


def _named(registration: Registration) -> set[str]:
    """Return the names that this registration brought itself: those of the settings are for all models."""
    general = MASKED_BY_DEFAULT | global_names("AUDITLOG_MASK_TRACKING_FIELDS")
    excluded = registration.exclude_fields - global_names("AUDITLOG_EXCLUDE_TRACKING_FIELDS")
    own_masks, own_classes = registration.masks.keys() - general, registration.classes.keys() - global_classes().keys()
    named = (registration.include_fields, excluded, own_masks, own_classes, registration.mapping_fields)
    return {name for names in named for name in names} | (registration.m2m_fields or frozenset())


def _has_field(model: type[models.Model], name: str) -> bool:
    try:
        model._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return True
