"""
Receivers: they frame every write of a registered model, and check that it really was captured.

Connected once for each concrete model and its proxies, always with a sender: a receiver without one takes Django's
fast paths away from the whole project.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.db import connections, models
from django.db.models.signals import ModelSignal, m2m_changed, post_delete, post_save, pre_delete, pre_save

from auditlog.capture.bypassed import capture_bypassed
from auditlog.capture.reprs import text_of
from auditlog.context import current
from auditlog.frames import close_labels, current_frames, open_labels
from auditlog.registry import Registration, auditlog
from auditlog.text import key_text
from auditlog.vocabulary import Operation


def connect_all() -> None:
    """Connect the receivers of every registered model; safe to repeat."""
    for model in auditlog.get_models():
        connect(model)


def connect(model: type[models.Model]) -> None:
    """Connect the receivers of one registered model, once however often it is asked for."""
    for signal, receiver, sender in (*_signals(model), *_label_signals(model)):
        signal.connect(receiver, sender=sender, dispatch_uid=_uid(receiver, sender))


def disconnect(model: type[models.Model]) -> None:
    """Disconnect the receivers of a model that is no longer registered: its fast paths come back."""
    for signal, receiver, sender in _signals(model):
        signal.disconnect(sender=sender, dispatch_uid=_uid(receiver, sender))
    for field in model._meta.local_many_to_many:
        through: Any = field.remote_field.through
        m2m_changed.disconnect(sender=through, dispatch_uid=_uid(frame_links, through))


def follow_registration(model: type[models.Model], *, registered: bool) -> None:
    """Connect or disconnect a model that was registered or unregistered after the applications were ready."""
    if registered:
        connect(model)
    else:
        disconnect(model)


def frame_save(sender: type[models.Model], instance: models.Model, raw: bool = False, **_kwargs: Any) -> None:
    """pre_save: put together the frame of this instance."""
    wanted = not (raw and getattr(settings, "AUDITLOG_DISABLE_ON_RAW_SAVE", False))
    _open(instance, labels_of(sender), wanted=wanted)


def check_save(
    sender: type[models.Model],
    instance: models.Model,
    using: str,
    created: bool = False,
    update_fields: frozenset[str] | None = None,
    **_kwargs: Any,
) -> None:
    """post_save: close the frame and check that the write was captured."""
    # A save that sets no column of this table writes none of its rows.
    names = _names_of_columns_set(sender)
    writes = created or (bool(names) if update_fields is None else not names.isdisjoint(update_fields))
    operation = Operation.CREATE if created else Operation.UPDATE
    _close(instance, sender, using=using, operation=operation, expected=writes)


def frame_delete(sender: type[models.Model], instance: models.Model, **_kwargs: Any) -> None:
    """pre_delete: put together the frame of this instance."""
    _open(instance, labels_of(sender), wanted=True)


def check_delete(sender: type[models.Model], instance: models.Model, using: str, **_kwargs: Any) -> None:
    """post_delete: close the frame and check that the row's removal was captured."""
    _close(instance, sender, using=using, operation=Operation.DELETE)


def frame_links(
    sender: type[models.Model],
    instance: models.Model,
    action: str,
    reverse: bool,
    model: type[models.Model],
    pk_set: set[Any] | None,
    using: str,
    **_kwargs: Any,
) -> None:
    """m2m_changed: hold the texts of the targets while their links are written (`m2m_labels=True` only)."""
    through = sender._meta.label_lower
    if action.startswith("post_"):
        close_labels(through)
        return
    field = _declared(sender)
    targets = {instance} if reverse or field.remote_field.symmetrical else set()
    if not reverse:
        # What the links hold of their targets: not always the primary key. `clear()` names none.
        held = pk_set if pk_set is not None else _linked(field, instance, using)
        name = field.m2m_reverse_target_field_name()
        targets |= set(model._base_manager.using(using).filter(**{f"{name}__in": held}))
    open_labels(through, {key_text(target.pk): text_of(target) or "" for target in targets})


def concrete_of(model: type[models.Model]) -> type[models.Model]:
    """Return the model that owns the table of `model`, which may be a proxy."""
    return model._meta.concrete_model or model


@functools.cache
def labels_of(model: type[models.Model]) -> tuple[str, ...]:
    """Return the labels of the tables that saving an instance may touch: its concrete model's and their parents'."""
    concrete = concrete_of(model)
    return concrete._meta.label_lower, *(parent._meta.label_lower for parent in concrete._meta.all_parents)


@functools.cache
def _names_of_columns_set(model: type[models.Model]) -> frozenset[str]:
    """Return the names, of fields and attributes, that a save can set in the table of a model."""
    fields = concrete_of(model)._meta.local_concrete_fields
    return frozenset(name for f in fields if not f.primary_key and not f.generated for name in (f.name, f.attname))


def _open(instance: models.Model, labels: tuple[str, ...], *, wanted: bool) -> None:
    registration = auditlog.find(labels[0]) or Registration(labels[0])
    parts = instance.pk if isinstance(instance.pk, tuple) else (instance.pk,)
    key = None if None in parts else key_text(instance.pk)
    text = text_of(instance, registration.object_repr)
    current_frames().open(instance, labels=labels, key=key, text=text, wanted=wanted)


def _close(
    instance: models.Model, sender: type[models.Model], *, using: str, operation: Operation, expected: bool = True
) -> None:
    labels = labels_of(sender)
    frame = current_frames().close(instance, labels)
    connection = connections[using]
    if frame is None or not frame.wanted or not expected or frame.assumed or labels[0] in frame.captured:
        return
    if current().disabled is not None or connection.vendor != "postgresql":
        return
    capture_bypassed(instance, sender, connection, operation=operation, text=frame.repr)


def _declared(through: type[models.Model]) -> Any:
    """Return the many-to-many field of a registered model whose links this model holds."""
    declared = (field for model in auditlog.get_models() for field in model._meta.local_many_to_many)
    return next(field for field in declared if field.remote_field.through is through)


def _linked(field: Any, instance: models.Model, using: str) -> Any:
    links = field.remote_field.through._base_manager.using(using).filter(**{field.m2m_field_name(): instance})
    return links.values(field.m2m_reverse_field_name())


def _signals(model: type[models.Model]) -> Iterator[tuple[ModelSignal, Any, type[models.Model]]]:
    """Name each signal, receiver and sender of a registered model: the concrete model and its proxies."""
    proxies = [m for m in apps.get_models() if m._meta.proxy and m._meta.concrete_model is model]
    for sender in (model, *proxies):
        yield pre_save, frame_save, sender
        yield post_save, check_save, sender
        yield pre_delete, frame_delete, sender
        yield post_delete, check_delete, sender


def _label_signals(model: type[models.Model]) -> Iterator[tuple[ModelSignal, Any, type[models.Model]]]:
    registration = auditlog.find(model._meta.label_lower)
    for field in model._meta.local_many_to_many:
        if registration and registration.m2m_labels and registration.tracks_links(field.name):
            through: Any = field.remote_field.through
            yield m2m_changed, frame_links, through


def _uid(receiver: Any, sender: type[models.Model]) -> str:
    return f"auditlog.{receiver.__name__}.{sender._meta.label_lower}"
