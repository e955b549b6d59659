"""System checks: what would make a registration say less, or more, than it promises, or keep writes from being seen."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 - Django's name
from django.core.exceptions import FieldDoesNotExist
from django.db import connections, models, router

from auditlog.capture.compilers import installed_on
from auditlog.completeness.coverage import bypassing_methods
from auditlog.completeness.facts import obstacle_of_table
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


@register("auditlog")
def check_write_paths(**_kwargs: Any) -> list[CheckMessage]:
    """Find registered models whose writes go where nothing is captured."""
    return [message for model in auditlog.get_models() for message in _uncovered(model)]


@register("auditlog")
def check_restricted_classes(**_kwargs: Any) -> list[CheckMessage]:
    """Find a class that is to be restricted and is none: it would hide nothing."""
    unknown = sorted(global_names("AUDITLOG_RESTRICTED_CLASSES") - set(FieldClass))
    return [
        Error(
            f"AUDITLOG_RESTRICTED_CLASSES names {name!r}, and there is no such class.",
            hint=f"The classes are {', '.join(FieldClass)}.",
            id="auditlog.E020",
        )
        for name in unknown
    ]


@register(Tags.database)
def check_tables(databases: Collection[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    """Find registered tables whose writes cannot hand back their rows; on the databases that are to be checked."""
    obstacles = (
        (model, obstacle_of_table(connections[alias], model))
        for alias in databases or ()
        if connections[alias].vendor == "postgresql"
        for model in auditlog.get_models()
        if router.allow_migrate_model(alias, model)
    )
    return [
        Error(
            f"Writes of {model._meta.label} cannot be captured: {obstacle}.",
            hint="Register the table that is written in the end, or unregister the model; see audit_coverage.",
            obj=model,
            id="auditlog.E006",
        )
        for model, obstacle in obstacles
        if obstacle
    ]


def _uncovered(model: type[models.Model]) -> Iterator[CheckMessage]:
    alias = router.db_for_write(model)
    if connections[alias].vendor != "postgresql":
        yield Error(
            f"Writes of {model._meta.label} go to the database {alias!r}, which is not PostgreSQL: no events.",
            hint="Unregister the model, or route it to a PostgreSQL database.",
            obj=model,
            id="auditlog.E005",
        )
    for override in bypassing_methods(model):
        kind, number = (Error, "auditlog.E007") if override.replaces else (Warning, "auditlog.W008")
        yield kind(
            f"Writes of {model._meta.label} may pass by the audit: {override.name} {override.how}.",
            hint="Call Django's own method, or wrap the raw SQL in auditlog.raw.capture_rows and silence this check.",
            obj=model,
            id=number,
        )


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
