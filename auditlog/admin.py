"""Django's admin: the audit log to read, API keys without their secrets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from auditlog import api_keys, context, exact_json
from auditlog.access import grants
from auditlog.access.rights import Rights, rights_of_user
from auditlog.admin_reads import RecordedReads
from auditlog.large_values import Reference, references
from auditlog.models import AccessGrant, ApiKey, AuditLog
from auditlog.models.access import SCOPES
from auditlog.vocabulary import Action, Category

LISTED_EVENTS = 10_000
# What the list may be narrowed by in its address; anything else could scan the whole table.
LOOKUPS = frozenset(
    {"action", "category", "model", "object_pk", "actor_id", "request_id", "occurred_at__gte", "occurred_at__lt"}
)
RIGHTS_ATTRIBUTE = "_auditlog_rights"
ORIGIN = ("topic", "partition", "offset", "sequence", "schema_version")


class NewestEvents(Paginator):  # type: ignore[type-arg]
    """Pages of the newest events: to count them all would read all of the log."""

    @cached_property
    def count(self) -> int:
        """Return the number of events that are listed."""
        return min(self._found, LISTED_EVENTS)

    @property
    def is_cut(self) -> bool:
        """Say whether there are more."""
        return self._found > LISTED_EVENTS

    @cached_property
    def _found(self) -> int:
        rows: Any = self.object_list
        found: int = rows.order_by()[: LISTED_EVENTS + 1].count()
        return found


class FixedFilter(admin.SimpleListFilter):
    """A filter with the choices of a vocabulary: distinct values of the table would cost a scan of it."""

    vocabulary: type[Action] | type[Category]

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        """Return the choices."""
        return [(str(member), str(member)) for member in self.vocabulary]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditLog]) -> QuerySet[AuditLog]:  # noqa: ARG002
        """Return the rows of the chosen value; actions of the application's own may be asked for as well."""
        return queryset.filter(**{str(self.parameter_name): self.value()}) if self.value() else queryset


class ActionFilter(FixedFilter):
    """By action."""

    title, parameter_name, vocabulary = "action", "action", Action


class CategoryFilter(FixedFilter):
    """By category."""

    title, parameter_name, vocabulary = "category", "category", Category


def _json(column: str, label: str) -> Callable[[AuditLog], SafeString | str]:
    """Return a field that shows a column's JSON, a member a line."""

    @admin.display(description=label)
    def shown(event: AuditLog) -> SafeString | str:
        value = getattr(event, column)
        return "-" if value is None else _block(exact_json.encode(value, indent=2).decode())

    return shown


def _block(text: str) -> SafeString:
    return format_html('<pre style="margin: 0; white-space: pre-wrap; overflow-wrap: anywhere">{}</pre>', text)


def _time(column: str, label: str) -> Callable[[AuditLog], str]:
    """Return a field that shows an instant to the millisecond, with its zone."""

    @admin.display(description=label, ordering=column)
    def shown(event: AuditLog) -> str:
        at = getattr(event, column)
        return f"{at:%F %T}.{at.microsecond // 1000:03d} UTC"

    return shown


@admin.display(description="who")
def _who(event: AuditLog) -> str:
    kind = (event.actor or {}).get("type")
    named = " ".join(str(part) for part in (kind, event.actor_repr) if part)
    return f"{named} ({event.actor_id})" if event.actor_id else named or "-"


@admin.display(description="changes")
def _changes(event: AuditLog) -> SafeString | str:
    changed = (event.changes or {}).items()
    shown = [f"{name}: {_value(old)} → {_value(new)}" for name, (old, new) in changed]
    return _block("\n".join(shown)) if shown else "-"


@admin.display(description="large values")
def _large_values(event: AuditLog) -> SafeString | str:
    """Return links to what is too large to be shown here."""
    found = references(before=event.before, after=event.after, m2m=event.m2m, data=event.data)
    links = ((_link(event, reference),) for reference in dict.fromkeys(found))
    return format_html_join(mark_safe("<br>"), "{}", links) or "-"


def _link(event: AuditLog, reference: Reference) -> SafeString | str:
    text = f"{reference.size:,} bytes, SHA-256 {reference.sha256}"
    try:
        address = reverse("audit-value", args=[event.event_id, reference.sha256])
    except NoReverseMatch:  # a project without the audit API
        return text
    return format_html('<a href="{}">{}</a>', address, text)


def _value(value: Any) -> str:
    reference = Reference.of(value)
    if reference is not None:
        return f"a large value of {reference.size:,} bytes, SHA-256 {reference.sha256}"
    return exact_json.encode(value).decode()


def _sees_all(request: HttpRequest) -> bool:
    """Tell whether nothing is hidden from a user; asked several times for each page."""
    if not hasattr(request, RIGHTS_ATTRIBUTE):
        setattr(request, RIGHTS_ATTRIBUTE, rights_of_user(request.user))
    rights: Rights = getattr(request, RIGHTS_ATTRIBUTE)
    return rights.sees_everything and not rights.hidden_classes


@admin.register(AuditLog)
class AuditLogAdmin(RecordedReads):
    """Read-only: nobody writes the audit log by hand."""

    when, stored = staticmethod(_time("occurred_at", "occurred at")), staticmethod(_time("stored_at", "stored at"))
    who, what_changed = staticmethod(_who), staticmethod(_changes)
    large = staticmethod(_large_values)
    row_before, row_after = staticmethod(_json("before", "before")), staticmethod(_json("after", "after"))
    membership, more = staticmethod(_json("m2m", "membership")), staticmethod(_json("data", "data"))
    masked_columns = staticmethod(_json("masked", "masked columns"))
    circumstances = staticmethod(_json("context", "context"))

    list_display = ["when", "action", "model", "object_pk", "object_repr", "who"]
    list_filter = [ActionFilter, CategoryFilter]
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ["when"]
    ordering = ["-occurred_at", "-event_id"]
    list_per_page = 50
    show_full_result_count = False
    paginator = NewestEvents
    actions = None
    readonly_fields = [
        "when",
        "stored",
        "who",
        "what_changed",
        "large",
        "membership",
        "more",
        "masked_columns",
        "row_before",
        "row_after",
        "circumstances",
    ]
    fieldsets = [
        (None, {"fields": ["when", "action", "category", "model", "object_pk", "object_repr"]}),
        ("Who and why", {"fields": ["who", "reason", "remote_addr", "request_id", "session", "transaction_id"]}),
        ("What changed", {"fields": ["what_changed", "large", "membership", "more", "masked_columns"]}),
        ("The row", {"fields": ["row_before", "row_after"]}),
        ("Where it comes from", {"fields": ["event_id", "stored", *ORIGIN, "circumstances"]}),
    ]

    def get_paginator(self, request: HttpRequest, queryset: Any, *args: Any, **options: Any) -> NewestEvents:
        """Return the pages, and say so where they do not hold everything."""
        pages = NewestEvents(queryset, *args, **options)
        if pages.is_cut:
            text = (
                f"Only the newest {LISTED_EVENTS:,} of these events are listed here. Narrow the list, or use the API."
            )
            messages.warning(request, text)
        return pages

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may see every event with every value: these pages hide nothing."""
        return super().has_view_permission(request, obj) and _sees_all(request)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:  # noqa: ARG002
        """Say whether the list may be narrowed by a lookup."""
        return lookup in LOOKUPS

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Nobody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nobody."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nobody."""
        return False


class AccessGrantForm(forms.ModelForm):  # type: ignore[type-arg]
    """Scopes to tick; models and labels separated by commas."""

    scopes = forms.TypedMultipleChoiceField(
        choices=SCOPES,
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None: those that the holder's permissions give.",
    )

    class Meta:
        model = AccessGrant
        fields = ["user", "group", "api_key", "scopes", "model_names", "labels", "reason"]


@admin.register(ApiKey)
class ApiKeyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Keys are made by `manage.py api_key create`, which can show the secret once; here they are seen and revoked."""

    list_display = ["name", "prefix", "user", "scopes", "created_at", "expires_at", "revoked_at"]
    fields = ["name", "prefix", "user", "scopes", "created_at", "expires_at", "revoked_at"]
    list_select_related = ["user"]
    actions = ["revoke"]

    @admin.action(description="Revoke the selected API keys", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """Make keys useless, each with its event."""
        for prefix in queryset.values_list("prefix", flat=True):
            api_keys.revoke(prefix=prefix, now=timezone.now(), reason=_in_admin(request))

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        """Nobody: a key made here could not be shown."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nobody: a key that is to live longer, or again, is a new one."""
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Who may change keys."""
        return super().has_change_permission(request)

    def delete_model(self, request: HttpRequest, obj: ApiKey) -> None:
        """Remove a key; its event says where."""
        with context.set_reason(_in_admin(request)):
            super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """Remove several keys, each with its event."""
        with context.set_reason(_in_admin(request)):
            super().delete_queryset(request, queryset)


@admin.register(AccessGrant)
class AccessGrantAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Grants are made and taken back, never changed, so that each step is an event of its own."""

    list_display = ["holder", "scopes", "model_names", "labels", "reason", "created_at"]
    list_select_related = ["user", "group", "api_key"]
    form = AccessGrantForm
    fields = ["user", "group", "api_key", "scopes", "model_names", "labels", "reason"]
    raw_id_fields = ["user", "api_key"]

    def save_model(self, request: HttpRequest, obj: AccessGrant, form: Any, change: bool) -> None:  # noqa: ARG002
        """Store a new grant with its event."""
        grants.give(obj)

    def delete_model(self, request: HttpRequest, obj: AccessGrant) -> None:
        """Take a grant back with its event."""
        grants.take_back(obj, reason=_in_admin(request))

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[AccessGrant]) -> None:
        """Take several grants back, each with its event."""
        for grant in queryset.select_related(*grants.HOLDERS):
            self.delete_model(request, grant)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        """Nobody."""
        return False


def _in_admin(request: HttpRequest) -> str:
    """Return the reason for what is done here, where nobody is asked for one."""
    return f"in the admin, by {request.user.get_username()}"
