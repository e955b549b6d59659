"""Who looked at the audit log: the events that its calls left."""

from __future__ import annotations

from dataclasses import replace

from django.conf import settings
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from auditlog import topics
from auditlog.access.rights import Rights, rights_of
from auditlog.access.scopes import Scope
from auditlog.api import parameters
from auditlog.api.schema import COUNT, PAGE, PAGING
from auditlog.api.views.base import TEXT
from auditlog.api.views.lists import PageView
from auditlog.queries.filters import Field, Is, conjoined
from auditlog.reads import ACTIONS

# What they are called in the events.
NAMES = {"principal": Field.OBJECT, "operation": Field.OBJECT_REPR}
KNOWN = parameters.PAGING | NAMES.keys() | {"action", "count"}
FILTERS = [
    OpenApiParameter("principal", TEXT, description="Who asked: `user:7`, `api_key:<prefix>`."),
    OpenApiParameter("operation", TEXT, description="Which resource, by its name: `audit-events`."),
    OpenApiParameter("action", TEXT, many=True, description=", ".join(f"`{action}`" for action in ACTIONS)),
]


class MayReadAccessLog(BasePermission):
    """Who may read anything may see their own calls; `audit.admin` sees those of others, and needs no right to read."""

    def has_permission(self, request: Request, view: APIView) -> bool:  # noqa: ARG002 - the framework's signature
        """Say whether the caller may ask."""
        rights = rights_of(request)
        return rights.may_read or Scope.ADMIN in rights.scopes


class AccessLog(PageView):
    """Who looked at the audit log."""

    permission_classes = [MayReadAccessLog]

    def rights_for(self, request: Request) -> Rights:
        """Return the right to see all calls, or the own ones: grants speak of models and labels, which calls lack."""
        rights = rights_of(request)
        sees = Scope.READ if Scope.ADMIN in rights.scopes else Scope.READ_OWN
        scopes = frozenset({sees}) | (rights.scopes & {Scope.READ_SENSITIVE})
        return replace(rights, scopes=scopes, models=None, labels={})

    @extend_schema(operation_id="audit_access_log", parameters=[*FILTERS, *PAGING, COUNT], responses=PAGE)
    def get(self, request: Request) -> Response:
        """Return the calls of the audit log, newest first: with the scope `audit.admin` everybody's, else the own."""
        asked = parameters.parse(
            request.query_params,
            known=KNOWN,
            now=timezone.now(),
            default_days=settings.AUDITLOG_DEFAULT_WINDOW_DAYS,
        )
        named = [Is(field, (value,)) for name, field in NAMES.items() if (value := request.query_params.get(name))]
        calls = (Is(Field.MODEL, (topics.SYSTEM_MODEL,)), Is(Field.ACTION, tuple(map(str, ACTIONS))))
        wanted = conjoined(*calls, *named, asked.query.filter)
        return self.page(request, replace(asked, query=replace(asked.query, filter=wanted)))
