"""The audit log cannot be read unnoticed: what would leave the event out is named by a check and a command."""

from __future__ import annotations

import json
from io import StringIO
from typing import Any

import pytest
from django.contrib import admin
from django.core.management import call_command
from django.test import override_settings
from django.urls import path

from auditlog.api.views.events import EventList
from auditlog.checks import check_reads
from auditlog.completeness.reads import MIDDLEWARE, read_paths
from auditlog.models import AuditLog

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])


class SilentList(EventList):
    """Answers without what records."""

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Leave the event out."""
        return response


urlpatterns = [path("events/", EventList.as_view()), path("silent/", SilentList.as_view())]


def flaws() -> dict[str, str | None]:
    """Return the ways to read that leave no event."""
    return {each.name: each.flaw for each in read_paths() if each.flaw}


def test_every_way_to_read_the_audit_log_is_recorded() -> None:
    names = {each.name for each in read_paths()}
    assert {"api/audit/v1/events/", "api/audit/v1/access-log/", "admin"} <= names
    assert flaws() == {}
    assert check_reads() == []


@override_settings(ROOT_URLCONF=__name__)
def test_a_resource_that_leaves_the_event_out_is_named() -> None:
    assert flaws() == {"silent/": "SilentList.finalize_response replaces what records the call"}
    (message,) = check_reads()
    assert (message.id, message.is_serious()) == ("auditlog.E023", True)
    output = StringIO()
    with pytest.raises(SystemExit):
        call_command("audit_coverage", "--json", stdout=output)
    report = json.loads(output.getvalue())
    assert report["holes"] == ["reading the audit log: silent/"]
    assert {each["path"]: each["recorded"] for each in report["reads"]} == {
        "events/": True,
        "silent/": False,
        "admin": True,
    }


def test_an_admin_that_leaves_the_event_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class PlainAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
        """Records nothing."""

    registered: dict[Any, Any] = admin.site._registry
    monkeypatch.setitem(registered, AuditLog, PlainAdmin(AuditLog, admin.site))
    assert list(flaws()) == ["admin"]


def test_calls_that_would_name_nobody_are_found(settings: Any) -> None:
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if name != MIDDLEWARE]
    assert "api/audit/v1/events/" in flaws()
