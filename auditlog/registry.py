"""Which models are audited, and how: the registration that applications write in their `ready()` or as a decorator."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from django.conf import settings
from django.db import models
from django.utils.module_loading import import_string

from auditlog.errors import RegistrationError
from auditlog.vocabulary import BulkPolicy, FieldClass

M = TypeVar("M", bound=type[models.Model])

# Never captured, whatever is asked: our own tables, sessions, tokens, migration records, the queue of Django's tasks.
NEVER_CAPTURED_APPS = frozenset(
    {"auditlog", "publishers", "consumers", "sessions", "authtoken", "migrations", "django_tasks_database"}
)
MASKED_BY_DEFAULT = frozenset({"password"})
MASK_METHODS = frozenset({"full", "hash"})
CLASSIFIED_BY_DEFAULT: Mapping[str, str] = {"password": FieldClass.CREDENTIAL}


class OnChange(Protocol):
    """What wants to know of registrations."""

    def __call__(self, model: type[models.Model], *, registered: bool) -> None:
        """Follow a registration that was made or taken back."""


@dataclass(frozen=True, slots=True)
class Registration:
    """How one model is audited. Field names, not columns; plans resolve them against the model of each write."""

    label: str
    include_fields: frozenset[str] = frozenset()
    exclude_fields: frozenset[str] = frozenset()
    mapping_fields: Mapping[str, str] = field(default_factory=dict)
    # Field name -> "full", "hash" or "callable".
    masks: Mapping[str, str] = field(default_factory=dict)
    mask_callable: Callable[[str], str] | None = None
    # Field name -> FieldClass.
    classes: Mapping[str, str] = field(default_factory=dict)
    # Whether the object is somebody whom events are about; foreign keys to such; dimension -> field name.
    is_subject: bool = False
    subject_fields: tuple[str, ...] = ()
    label_fields: Mapping[str, str] = field(default_factory=dict)
    # None: all that the model declares.
    m2m_fields: frozenset[str] | None = None
    m2m_labels: bool = False
    bulk: BulkPolicy = BulkPolicy.CAPTURE
    topic: str | None = None
    object_repr: Callable[[Any], str] | None = str

    def tracks(self, name: str) -> bool:
        """Tell whether the field of this name is part of the images."""
        return (not self.include_fields or name in self.include_fields) and name not in self.exclude_fields

    def shows(self, name: str) -> bool:
        """Tell whether the images hold the plain value of the field of this name."""
        return self.tracks(name) and name not in self.masks

    def tracks_links(self, name: str) -> bool:
        """Tell whether memberships in the many-to-many field of this name become events."""
        return (self.m2m_fields is None or name in self.m2m_fields) and name not in self.exclude_fields


class AuditlogRegistry:
    """The registered models, by label: historical models of migrations are found by the same label."""

    def __init__(self) -> None:
        self._registrations: dict[str, Registration] = {}
        self._models: dict[str, type[models.Model]] = {}
        self._on_change: list[OnChange] = []

    def register(  # noqa: PLR0913 - django-auditlog's keywords and ours
        self,
        model: M | None = None,
        include_fields: Iterable[str] | None = None,
        exclude_fields: Iterable[str] | None = None,
        mapping_fields: Mapping[str, str] | None = None,
        mask_fields: Collection[str] | Mapping[str, str] | None = None,
        mask_callable: str | Callable[[str], str] | None = None,
        m2m_fields: Collection[str] | None = None,
        serialize_data: bool = False,  # noqa: ARG002 - images are always stored
        serialize_kwargs: dict[str, Any] | None = None,  # noqa: ARG002
        serialize_auditlog_fields_only: bool = False,  # noqa: ARG002
        *,
        bulk: str = BulkPolicy.CAPTURE,
        topic: str | None = None,
        object_repr: Callable[[Any], str] | None = str,
        m2m_labels: bool = False,
        classify_fields: Mapping[str, str] | None = None,
        subject: bool = False,
        subject_fields: Collection[str] | None = None,
        label_fields: Mapping[str, str] | None = None,
    ) -> Any:
        """
        Audit `model`; without a model, return a class decorator.

        `mask_fields` is a list (the value becomes "***") or `{field: "hash"}` (a keyed hash: equal values look equal).
        `m2m_fields` names many-to-many fields that this model declares; all of them by default (none in
        django-auditlog). Its `serialize_*` keywords are accepted and have no effect: images are always stored.

        `mask_callable`, a function or the dotted path of one, makes the masked text of the fields that `mask_fields`
        lists (or maps to "callable") out of their text. It runs in the writing process after the write and before the
        event, which takes a second statement in the same transaction.

        `classify_fields` says what fields hold: `{field: FieldClass}`. It hides nothing by itself.

        `subject` says that events of an object are about that object as somebody whose history is asked for, and
        `subject_fields` names foreign keys to such somebodies. `label_fields` says where events belong, for those who
        may see the events of one department only: `{dimension: field}`.

        :raises RegistrationError: for a model that is never captured, for unknown masks or policies, and for a
            `mask_callable` that cannot be imported.
        """

        def decorate(cls: M) -> M:
            make = _callable(mask_callable)
            self._add(
                cls,
                Registration(
                    label=cls._meta.concrete_model._meta.label_lower if cls._meta.concrete_model else "",
                    include_fields=frozenset(include_fields or ()),
                    exclude_fields=frozenset(exclude_fields or ()) | global_names("AUDITLOG_EXCLUDE_TRACKING_FIELDS"),
                    mapping_fields=dict(mapping_fields or {}),
                    masks=_masks(mask_fields, own="callable" if make else "full"),
                    mask_callable=make,
                    classes=global_classes() | dict(classify_fields or {}),
                    is_subject=subject,
                    subject_fields=tuple(dict.fromkeys(subject_fields or ())),
                    label_fields=dict(label_fields or {}),
                    m2m_fields=None if m2m_fields is None else frozenset(m2m_fields),
                    m2m_labels=m2m_labels,
                    bulk=_bulk_policy(bulk),
                    topic=topic,
                    object_repr=object_repr,
                ),
            )
            return cls

        return decorate if model is None else decorate(model)

    def register_by_settings(self, models_known: Iterable[type[models.Model]]) -> None:
        """
        Audit these models where AUDITLOG_INCLUDE_ALL_MODELS says so, as they are.

        Leaves out what is never captured and what AUDITLOG_EXCLUDE_TRACKING_MODELS names, by application label or by
        `app_label.Model`. A registration in code, earlier or later, takes precedence.
        """
        if not getattr(settings, "AUDITLOG_INCLUDE_ALL_MODELS", False):
            return
        excluded = {name.lower() for name in global_names("AUDITLOG_EXCLUDE_TRACKING_MODELS")}
        for model in models_known:
            meta = model._meta
            unfit = meta.proxy or meta.swapped or meta.auto_created or not meta.managed
            named = excluded & {meta.app_label, meta.label_lower} or meta.app_label in NEVER_CAPTURED_APPS
            if not (unfit or named or self.contains(model)):
                self.register(model)

    def unregister(self, model: type[models.Model]) -> None:
        """Stop auditing `model`; does nothing where it is not registered."""
        label = _label(model)
        if self._registrations.pop(label, None) is not None:
            self._changed(self._models.pop(label), registered=False)

    def contains(self, model: type[models.Model]) -> bool:
        """Tell whether `model`, or the concrete model of this proxy, is registered."""
        return _label(model) in self._registrations

    def get_models(self) -> list[type[models.Model]]:
        """Return the registered models in the order of their labels."""
        return [self._models[label] for label in sorted(self._models)]

    def find(self, label: str) -> Registration | None:
        """Return the registration of a lower-case model label."""
        return self._registrations.get(label)

    def on_change(self, listener: OnChange) -> None:
        """Call `listener(model, registered=…)` whenever a model comes or goes: plans and receivers follow."""
        self._on_change.append(listener)

    def _add(self, model: type[models.Model], registration: Registration) -> None:
        if model._meta.abstract or model._meta.swapped:
            raise RegistrationError(f"{model._meta.label} is abstract or swapped out: register the concrete model.")
        if model._meta.app_label in NEVER_CAPTURED_APPS:
            raise RegistrationError(f"{model._meta.label} is never captured: it belongs to {model._meta.app_label}.")
        concrete = model._meta.concrete_model
        if concrete is None:
            raise RegistrationError(f"{model._meta.label} has no concrete model.")
        self._registrations[registration.label] = registration
        self._models[registration.label] = concrete
        self._changed(concrete, registered=True)

    def _changed(self, model: type[models.Model], *, registered: bool) -> None:
        for listener in self._on_change:
            listener(model, registered=registered)


def global_names(setting: str) -> frozenset[str]:
    """Return the names that a setting of Django holds; none where it is not set."""
    return frozenset(getattr(settings, setting, ()) or ())


def global_classes() -> dict[str, str]:
    """Return the classes of fields that hold for all models, by field name."""
    return {**CLASSIFIED_BY_DEFAULT, **(getattr(settings, "AUDITLOG_CLASSIFY_TRACKING_FIELDS", None) or {})}


def _label(model: type[models.Model]) -> str:
    concrete = model._meta.concrete_model or model
    return concrete._meta.label_lower


def _masks(mask_fields: Collection[str] | Mapping[str, str] | None, *, own: str) -> dict[str, str]:
    names = set(MASKED_BY_DEFAULT | global_names("AUDITLOG_MASK_TRACKING_FIELDS"))
    asked = dict(mask_fields) if isinstance(mask_fields, Mapping) else dict.fromkeys(mask_fields or (), own)
    unknown = set(asked.values()) - MASK_METHODS - {own}
    if unknown:
        raise RegistrationError(f"Unknown masks {sorted(unknown)}: use 'full', 'hash', or mask_callable.")
    return dict.fromkeys(names, "full") | asked


def _callable(given: str | Callable[[str], str] | None) -> Callable[[str], str] | None:
    if not isinstance(given, str):
        return given
    try:
        found: Callable[[str], str] = import_string(given)
    except ImportError as exc:
        raise RegistrationError(f"mask_callable {given!r} cannot be imported: {exc}") from exc
    return found


def _bulk_policy(name: str) -> BulkPolicy:
    try:
        return BulkPolicy(name)
    except ValueError:
        raise RegistrationError(f"Unknown bulk policy {name!r}: use capture, warn or raise.") from None


auditlog = AuditlogRegistry()
