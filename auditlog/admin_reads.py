"""Looks at the audit log in Django's admin are calls like any other: recorded before the page is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from auditlog import reads
from auditlog.reads import Read, Unrecorded

OPERATIONS = ("admin-events", "admin-event", "admin-history")
REDIRECTS = range(300, 400)
NOT_FOUND, FORBIDDEN, UNAVAILABLE = 404, 403, 503


class RecordedReads(admin.ModelAdmin):  # type: ignore[type-arg]
    """Pages of the audit log; each look leaves an event, or shows nothing."""

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Show the list."""
        show = super().changelist_view
        return _recorded(request, OPERATIONS[0], lambda: show(request, extra_context))

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Show an event."""
        show = super().changeform_view
        return _recorded(request, OPERATIONS[1], lambda: show(request, *args, **kwargs))

    def history_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """Show what the admin did to an event: nothing, and a caller learns whether it is there."""
        show = super().history_view
        return _recorded(request, OPERATIONS[2], lambda: show(request, *args, **kwargs))


def _recorded(request: HttpRequest, operation: str, show: Callable[[], HttpResponseBase]) -> HttpResponseBase:
    """Return the answer of a page once its call is recorded; a 503 if it cannot be."""
    try:
        try:
            response = _shown(show)
        except PermissionDenied:
            _record(request, operation, status=FORBIDDEN, rows=None)
            raise
        # The admin leads away from what is not there.
        status = NOT_FOUND if response.status_code in REDIRECTS else response.status_code
        _record(request, operation, status=status, rows=_rows(response) if status < reads.FIRST_ERROR else None)
    except Unrecorded as exc:
        return HttpResponse(str(exc), status=UNAVAILABLE, content_type="text/plain")
    return response


def _shown(show: Callable[[], HttpResponseBase]) -> HttpResponseBase:
    if getattr(settings, "AUDITLOG_DEMAND_REASON", False):
        raise PermissionDenied("A reason is demanded, and a page of the admin has no header for it: use the API.")
    return show()


def _record(request: HttpRequest, operation: str, *, status: int, rows: int | None) -> None:
    reads.record(
        Read(
            operation=operation,
            principal=f"user:{request.user.pk}",
            method=request.method or "",
            path=request.path,
            asked={name: request.GET.getlist(name) for name in request.GET} or None,
            rows=rows,
            status=status,
        )
    )


def _rows(response: HttpResponseBase) -> int:
    """Return how many events a page is about to show; those of a list are read here, and not again by its template."""
    listed = (getattr(response, "context_data", None) or {}).get("cl")
    return 1 if listed is None else len(listed.result_list)
