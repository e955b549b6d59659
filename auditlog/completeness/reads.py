"""
Which ways of reading the audit log leave an event, and which do not: the resources of the API, and the admin.

Nothing switches these events off. What could leave them out is code: a view or an admin class that replaces what
records.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, get_resolver

from auditlog.models import AuditLog

MIDDLEWARE = "auditlog.middleware.AuditlogMiddleware"
RECORDING_METHODS = ("as_view", "dispatch", "finalize_response")
ADMIN_METHODS = ("changelist_view", "changeform_view", "history_view")


@dataclass(frozen=True, slots=True)
class ReadPath:
    """A way to read the audit log."""

    name: str
    # Why its calls leave no event, or one that does not say who; None: they do.
    flaw: str | None = None


def read_paths() -> list[ReadPath]:
    """Return the ways to read the audit log that this project has."""
    return [*_resources(), *_admins()]


def _resources() -> Iterator[ReadPath]:
    # A project of commands and workers serves no addresses.
    if not hasattr(settings, "ROOT_URLCONF"):
        return
    from auditlog.api.views.base import AuditView

    has_middleware = MIDDLEWARE in settings.MIDDLEWARE
    for route, view in _routes(get_resolver().url_patterns, ""):
        if not issubclass(view, AuditView):
            continue
        flaw = _replaced(view, AuditView, RECORDING_METHODS)
        yield ReadPath(route, flaw or (None if has_middleware else f"{MIDDLEWARE} is not installed: nobody is named"))


def _admins() -> Iterator[ReadPath]:
    if not apps.is_installed("django.contrib.admin"):
        return
    from auditlog.admin_reads import RecordedReads

    registered = admin.site._registry.get(AuditLog)
    if registered is None:
        return
    if isinstance(registered, RecordedReads):
        flaw = _replaced(type(registered), RecordedReads, ADMIN_METHODS)
    else:
        flaw = f"{type(registered).__qualname__} is no RecordedReads"
    yield ReadPath("admin", flaw)


def _replaced(cls: type, recording: type, methods: tuple[str, ...]) -> str | None:
    for name in methods:
        owner = next(base for base in cls.__mro__ if name in vars(base))
        if owner is not recording:
            return f"{owner.__qualname__}.{name} replaces what records the call"
    return None


def _routes(patterns: list[Any], prefix: str) -> Iterator[tuple[str, type]]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _routes(pattern.url_patterns, route)
        elif isinstance(pattern, URLPattern) and isinstance(view := getattr(pattern.callback, "cls", None), type):
            yield route, view
