"""Django's admin: the audit log to read, API keys without their secrets."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from auditlog.models import ApiKey, AuditLog
from auditlog.vocabulary import Action, Category


class FixedFilter(admin.SimpleListFilter):
    """A filter with the choices of a vocabulary: distinct values of the table would cost a scan of it."""

    vocabulary: type[Action] | type[Category]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        """Return the choices."""
        return [(str(member), str(member)) for member in self.vocabulary]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:  # noqa: ARG002
        """Return the rows of the chosen value."""
        return queryset.filter(**{str(self.parameter_name): self.value()}) if self.value() else queryset


class ActionFilter(FixedFilter):
    """By action."""

    title, parameter_name, vocabulary = "action", "action", Action


class CategoryFilter(FixedFilter):
    """By category."""

    title, parameter_name, vocabulary = "category", "category", Category


@admin.register(AuditLog)
class AuditLogAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Read-only: nobody writes the audit log by hand."""

    list_display = ["occurred_at", "action", "model", "object_pk", "object_repr", "actor_repr", "request_id"]
    list_filter = [ActionFilter, CategoryFilter]
    ordering = ["-occurred_at", "-event_id"]
    list_per_page = 50
    show_full_result_count = False
    actions = None
    exclude = ["changes"]
    readonly_fields = ["what_changed"]

    @admin.display(description="changes")
    def what_changed(self, event: AuditLog) -> SafeString | str:
        """Return the changed fields as text, one a line."""
        changes = event.changes or {}
        lines = [f"{name}: {json.dumps(old)} → {json.dumps(new)}" for name, (old, new) in changes.items()]
        return format_html("<pre>{}</pre>", "\n".join(lines)) if lines else "-"

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Nobody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nobody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nobody."""
        return False


@admin.register(ApiKey)
class ApiKeyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Keys are made by `manage.py api_key create`, which can show the secret once; here they are seen and revoked."""

    list_display = ["name", "prefix", "user", "created_at", "expires_at", "revoked_at"]
    fields = ["name", "prefix", "user", "created_at", "expires_at", "revoked_at"]
    readonly_fields = ["prefix", "user", "created_at"]
    list_select_related = ["user"]

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Nobody: a key made here could not be shown."""
        return False
