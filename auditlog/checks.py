"""System checks: what would make a registration say less, or more, than it promises, or keep writes from being seen."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 - Django's name
from django.core.exceptions import FieldDoesNotExist
from django.db import connections, models, router

from auditlog.access.wall import stands
from auditlog.capture.compilers import installed_on
from auditlog.capture.subjects import is_key_of_another
from auditlog.completeness.coverage import bypassing_methods
from auditlog.completeness.facts import obstacle_of_table
from auditlog.completeness.reads import read_paths
from auditlog.models import AuditLog
from auditlog.registry import MASKED_BY_DEFAULT, Registration, auditlog, global_classes, global_names
from auditlog.vocabulary import FieldClass

# Fields whose text in an image is that of a key in `object_pk`.
NAMING = (models.IntegerField, models.CharField, models.TextField, models.UUIDField, models.DecimalField)


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


@register(Tags.database, deploy=True)
def check_row_security(databases: Collection[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    """Find an audit log whose readers no row security holds back: only the queries' own conditions do."""
    alias = router.db_for_read(AuditLog)
    if alias not in (databases or ()) or connections[alias].vendor != "postgresql" or stands(connections[alias]):
        return []
    return [
        Warning(
            f"Callers who may see a part of the audit log are held back by no row security on {alias!r}.",
            hint="Run audit_roles --admin-url …, then migrate, and let the alias connect as auditlog_reader.",
            id="auditlog.W021",
        )
    ]


@register("auditlog")
def check_reads(**_kwargs: Any) -> list[CheckMessage]:
    """Find ways to read the audit log that leave no event of it."""
    return [
        Error(
            f"Whoever reads the audit log by {path.name!r} leaves no event that says so: {path.flaw}.",
            hint="Derive resources from AuditView and the admin from RecordedReads, and leave what records alone.",
            id="auditlog.E023",
        )
        for path in read_paths()
        if path.flaw
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
    for what in _unfit_to_name(model, registration):
        yield Error(
            what,
            hint="Name a column of numbers or short texts that every reader of the events may see.",
            obj=model,
            id="auditlog.E009",
        )


def _unfit_to_name(model: type[models.Model], registration: Registration) -> Iterator[str]:
    fields = {field.name: field for field in model._meta.local_concrete_fields}
    for name in registration.subject_fields:
        if _has_field(model, name) and (why := _no_subject(fields.get(name), registration)):
            yield f"The field {name!r} cannot name a subject: {why}."
    for dimension, name in sorted(registration.label_fields.items()):
        if _has_field(model, name) and (why := _no_label(fields.get(name), registration)):
            yield f"The field {name!r} cannot hold the label {dimension!r}: {why}."
        if not dimension or ":" in dimension:
            yield f"The dimension {dimension!r} of labels is empty or has a colon."


def _no_subject(field: Any, registration: Registration) -> str | None:
    """Return why a field cannot name a subject."""
    if field is not None and not is_key_of_another(field):
        return "it is no foreign key to a primary key"
    return _no_label(field, registration)


def _no_label(field: Any, registration: Registration) -> str | None:
    """Return why the values of a field can be no labels."""
    if field is None:
        return "it is no column of the model's own table"
    if not registration.tracks(field.name):
        return "it is not tracked"
    if field.name in registration.masks:
        return "it is masked"
    held = field
    while held.remote_field is not None:
        held = held.target_field
    return None if isinstance(held, NAMING) else f"{type(held).__name__} holds neither numbers nor short texts"


def _named(registration: Registration) -> set[str]:
    """Return the names that this registration brought itself: those of the settings are for all models."""
    general = MASKED_BY_DEFAULT | global_names("AUDITLOG_MASK_TRACKING_FIELDS")
    excluded = registration.exclude_fields - global_names("AUDITLOG_EXCLUDE_TRACKING_FIELDS")
    own_masks, own_classes = registration.masks.keys() - general, registration.classes.keys() - global_classes().keys()
    naming = {*registration.subject_fields, *registration.label_fields.values()}
    named = (registration.include_fields, excluded, own_masks, own_classes, registration.mapping_fields, naming)
    return {name for names in named for name in names} | (registration.m2m_fields or frozenset())


def _has_field(model: type[models.Model], name: str) -> bool:
    try:
        model._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return True
