"""
For each registered model and each way in which Django writes: whether it is captured, and if not, why.

Worked out from the registration, the methods that an application overrides, the compilers of each connection, and the
catalog of the database.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connections, models, router

from auditlog.capture.plans import plan_for
from auditlog.completeness.facts import Facts, facts_of
from auditlog.completeness.overrides import Override, base_queryset, overrides, writers
from auditlog.registry import NEVER_CAPTURED_APPS, Registration, auditlog
from auditlog.vocabulary import BulkPolicy


class Coverage(StrEnum):
    """What becomes of a write."""

    CAPTURED = "captured"  # leaves its event
    REFUSED = "refused"  # raises before the SQL runs
    EXCLUDED = "excluded"  # leaves no event, as the registration or a setting says
    DETECTED = "detected"  # found afterwards: by the receiver of an instance's write, or by audit_bypass
    NOT_COVERED = "not_covered"  # leaves no event, and nothing finds it


# The worst of several answers counts.
ORDER = tuple(Coverage)


@dataclass(frozen=True, slots=True)
class Answer:
    """What becomes of the writes of one path, and why."""

    state: Coverage
    reason: str = ""


@dataclass(frozen=True, slots=True)
class WritePath:
    """A way in which rows of a model are written."""

    name: str
    answer: Answer
    # Past the ORM: no fault of the registration.
    is_raw: bool = False

    @property
    def is_hole(self) -> bool:
        """Whether somebody who trusts the registration is wrong."""
        return not self.is_raw and self.answer.state in {Coverage.DETECTED, Coverage.NOT_COVERED}


@dataclass(frozen=True, slots=True)
class ModelCoverage:
    """A registered model."""

    label: str
    table: str
    aliases: tuple[str, ...]
    bulk: BulkPolicy
    # Column -> full, hash or callable.
    masked: dict[str, str]
    # Column -> FieldClass; of all others nobody has said what they hold.
    classified: dict[str, str]
    unclassified: tuple[str, ...]
    excluded: tuple[str, ...]
    paths: tuple[WritePath, ...]


@dataclass(frozen=True, slots=True)
class Method:
    """A way in which Django writes: whether signals frame it, and which methods an application may have replaced."""

    name: str
    has_signals: bool
    of_model: tuple[str, ...] = ()
    of_base_queryset: tuple[str, ...] = ()
    of_managers: tuple[str, ...] = ()
    inserts_in_bulk: bool = False
    # Fixtures: AUDITLOG_DISABLE_ON_RAW_SAVE excludes them.
    is_raw_save: bool = False


SAVING = ("save_base", "_save_table", "_do_insert", "_do_update")
INSERTING = ("bulk_create", "_batched_insert", "_insert")
LINK_WRITERS = (*INSERTING, "_raw_delete", "delete")
METHODS = (
    Method("save", True, ("save", *SAVING), ("_insert", "_update")),
    Method("delete", True, ("delete",)),
    Method("cascade", True),
    Method("QuerySet.update", False, of_managers=("update",)),
    Method("bulk_create", False, of_managers=INSERTING, inserts_in_bulk=True),
    Method("bulk_create(ignore_conflicts)", False, of_managers=INSERTING, inserts_in_bulk=True),
    Method("bulk_create(update_conflicts)", False, of_managers=INSERTING, inserts_in_bulk=True),
    Method("bulk_update", False, of_managers=("bulk_update", "update")),
    Method("QuerySet.delete", True, of_managers=("delete",)),
    Method("QuerySet._raw_delete", False, of_managers=("_raw_delete",)),
    Method("loaddata", True, SAVING, ("_insert", "_update"), is_raw_save=True),
    Method("historical models in migrations", False),
)
RAW = (
    ("raw SQL, other programs", Answer(Coverage.DETECTED, "by audit_bypass")),
    ("TRUNCATE", Answer(Coverage.DETECTED, "by audit_bypass")),
)


def coverage() -> list[ModelCoverage]:
    """Return the coverage of every registered model; reads the catalog of each database that it is written to."""
    return [_of_model(model) for model in auditlog.get_models()]


def bypassing_methods(model: type[models.Model]) -> list[Override]:
    """Return the methods of a model, of its managers and of its through tables' that may write past the compilers."""
    found = [override for method in METHODS for override in _replaced(method, model)]
    registration = auditlog.find(model._meta.label_lower)
    for field in model._meta.local_many_to_many:
        if registration is None or registration.tracks_links(field.name):
            through: Any = field.remote_field.through
            found += overrides(writers(through), LINK_WRITERS)
    return list({override.name: override for override in found if override.passes_by}.values())


def unregistered() -> dict[str, str]:
    """Return the label of each model that is not registered, and what that means."""
    parents = {parent: model for model in auditlog.get_models() for parent in model._meta.all_parents}
    return {
        model._meta.label_lower: _why_unregistered(model, parents.get(model))
        for model in sorted(apps.get_models(), key=lambda model: model._meta.label_lower)
        if not model._meta.proxy and not auditlog.contains(model)
    }


def _of_model(model: type[models.Model]) -> ModelCoverage:
    registration = auditlog.find(model._meta.label_lower) or Registration(model._meta.label_lower)
    facts = facts_of(model)
    fields = model._meta.local_concrete_fields
    tracked = [field for field in fields if registration.tracks(field.name)]
    classes = registration.classes
    return ModelCoverage(
        label=model._meta.label_lower,
        table=model._meta.db_table,
        aliases=tuple(fact.alias for fact in facts),
        bulk=registration.bulk,
        masked={
            str(field.column): registration.masks[field.name] for field in tracked if field.name in registration.masks
        },
        classified={str(field.column): str(classes[field.name]) for field in tracked if field.name in classes},
        unclassified=tuple(str(field.column) for field in tracked if field.name not in classes),
        excluded=tuple(str(field.column) for field in fields if not registration.tracks(field.name)),
        paths=(
            *(WritePath(method.name, _of_method(method, model, registration, facts)) for method in METHODS),
            *_by_the_database(facts),
            *(path for field in model._meta.local_many_to_many for path in _of_links(field, registration)),
            *(WritePath(name, answer, is_raw=True) for name, answer in RAW),
        ),
    )


def _of_method(method: Method, model: type[models.Model], registration: Registration, facts: list[Facts]) -> Answer:
    if method.is_raw_save and getattr(settings, "AUDITLOG_DISABLE_ON_RAW_SAVE", False):
        return Answer(Coverage.EXCLUDED, "AUDITLOG_DISABLE_ON_RAW_SAVE")
    if method.inserts_in_bulk and model._meta.parents:
        return Answer(Coverage.REFUSED, "by Django: the model has a parent table")
    if not method.has_signals and registration.bulk is BulkPolicy.RAISE:
        return Answer(Coverage.REFUSED, 'bulk="raise"')
    found_by = "its receiver" if method.has_signals else "audit_bypass"
    return _worst([*(_on_alias(fact, found_by) for fact in facts), *_of_overrides(_replaced(method, model), found_by)])


def _replaced(method: Method, model: type[models.Model]) -> list[Override]:
    return [
        *overrides([model], method.of_model),
        *overrides([base_queryset(model)], method.of_base_queryset),
        *overrides(writers(model), method.of_managers),
    ]


def _on_alias(fact: Facts, found_by: str) -> Answer:
    if fact.obstacle:
        return Answer(Coverage.NOT_COVERED, f"{fact.alias}: {fact.obstacle}")
    if fact.bypassing:
        reason = f"{fact.alias}: writes do not pass the capturing compilers; found by {found_by}"
        return Answer(Coverage.DETECTED, reason)
    return Answer(Coverage.CAPTURED)


def _of_overrides(replaced: list[Override], found_by: str) -> Iterator[Answer]:
    for override in replaced:
        if not override.passes_by:
            continue
        yield Answer(Coverage.DETECTED, f"{override.name} {override.how}; found by {found_by}")


def _by_the_database(facts: list[Facts]) -> Iterator[WritePath]:
    for fact in facts:
        if fact.acting_keys:
            reason = (
                f"{fact.alias}: foreign keys act by themselves ({', '.join(fact.acting_keys)}); found by audit_bypass"
            )
            yield WritePath("foreign keys of the database", Answer(Coverage.DETECTED, reason))


def _of_links(field: Any, registration: Registration) -> Iterator[WritePath]:
    through: Any = field.remote_field.through
    names = [f"{field.name}.add", f"{field.name}.remove"]
    if not through._meta.auto_created:
        names.append(f"{field.name} through {through._meta.label_lower}")
    if not registration.tracks_links(field.name):
        for name in names:
            yield WritePath(name, Answer(Coverage.EXCLUDED, "the registration leaves the field out"))
        return
    facts = facts_of(through)
    own = auditlog.find(through._meta.label_lower)
    plan = plan_for(through, connections[router.db_for_write(through)])
    for name in names:
        replaced = list(overrides(writers(through), LINK_WRITERS))
        if plan is None or plan.links is None:
            answer = Answer(Coverage.NOT_COVERED, f"the ends of {through._meta.label_lower} are not known")
        elif name.endswith(".add") and own is not None and own.bulk is BulkPolicy.RAISE:
            answer = Answer(Coverage.REFUSED, f'bulk="raise" of {through._meta.label_lower}')
        else:
            found_by = "audit_bypass"
            answer = _worst([*(_on_alias(fact, found_by) for fact in facts), *_of_overrides(replaced, found_by)])
        yield WritePath(name, answer)
    yield WritePath(f"{field.name}, raw SQL", Answer(Coverage.DETECTED, "by audit_bypass"), is_raw=True)


def _worst(answers: list[Answer]) -> Answer:
    return max(answers, key=lambda answer: ORDER.index(answer.state), default=Answer(Coverage.CAPTURED))


def _why_unregistered(model: type[models.Model], child: type[models.Model] | None) -> str:
    if model._meta.app_label in NEVER_CAPTURED_APPS:
        return "never captured"
    for owner in auditlog.get_models():
        registration = auditlog.find(owner._meta.label_lower)
        for field in owner._meta.local_many_to_many:
            through: Any = field.remote_field.through
            if through is model and registration and registration.tracks_links(field.name):
                return f"its rows are the memberships in {owner._meta.label_lower}.{field.name}"
    if child is not None:
        return f"not registered: the columns that {child._meta.label_lower} has from it are in no event"
    return "not registered"
