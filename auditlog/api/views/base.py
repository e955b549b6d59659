"""What all resources of the audit API share: who may read, what is noted of a read, and what the documents say."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, cast

from django.apps import apps
from django.db import transaction
from django.http import Http404
from django.http.response import HttpResponseBase
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from auditlog.access.rights import Rights, rights_of
from auditlog.access.wall import behind_wall
from auditlog.api import parameters, rate_limits, reads, serializers, steps
from auditlog.api.asked import MODEL
from auditlog.api.problems import CONTENT_TYPE
from auditlog.api.renderers import ExactJSONRenderer
from auditlog.queries import events
from auditlog.queries.limits import bounded
from auditlog.rates import Allowance


def problems(*statuses: int) -> dict[tuple[int, str], Any]:
    """Return what the documents say of answers with these statuses."""
    return {(status, CONTENT_TYPE): serializers.ProblemSerializer for status in statuses}


PROBLEMS = problems(400, 401, 403, 404, 406, 500, 503)
TEXT = OpenApiTypes.STR
OBJECT = [
    OpenApiParameter("model", TEXT, "path", description="`app_label.model`"),
    OpenApiParameter("object_pk", TEXT, "path", description="Percent-encoded; a composite key as a JSON array."),
]


class MayRead(BasePermission):
    """A caller with a scope that lets see any event: `auditlog.view_auditlog` gives them all."""

    def has_permission(self, request: Request, view: APIView) -> bool:  # noqa: ARG002 - the framework's signature
        """Say whether the caller may read anything."""
        return rights_of(request).may_read


@dataclass(slots=True)
class Noted:
    """What an answer says about the read that it answers: for the audit of the audit."""

    rows: int = 0
    asked: dict[str, Any] = field(default_factory=dict)


class AuditView(APIView):
    """
    A resource for those who read the audit log: each query runs with the caller's rights, behind the wall.

    Each call is an event before its answer leaves, and uses up tokens of the caller. From whom something is hidden is
    answered on a full step of time.
    """

    permission_classes = [MayRead]
    renderer_classes = [ExactJSONRenderer]
    # Tokens of the rate limit that a call costs.
    cost = 1
    rights: Rights
    # Reads in one transaction with a limit, behind the wall; a resource that waits for events must not hold one, and
    # opens both for each of its reads.
    is_brief = True
    # Whether something is hidden that the time of an answer could tell of.
    is_held = False

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        """Return the view; never in the transaction of a request, which would take the event of a refusal back."""
        return transaction.non_atomic_requests(super().as_view(**initkwargs))

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Check who calls, limit what the question may cost, and open the wall for what they may see."""
        self.noted = Noted()
        self.allowance: Allowance | None = None
        super().initial(request, *args, **kwargs)
        self.rights = self.rights_for(request)
        self.is_held = self.is_held or not self.rights.sees_everything
        reads.demand_reason(request, self.rights)
        if self.is_brief:
            self._open.enter_context(bounded())
            self._open.enter_context(behind_wall(self.rights))

    def check_permissions(self, request: Request) -> None:
        """Count the call before anything is looked up for it, then check that the caller may make it."""
        if request.user.is_authenticated:
            rights = rights_of(request)
            self.allowance = rate_limits.use_of_principal(rights.principal, cost=self.cost)
            rate_limits.check(self.allowance)
            # Not before: one call too many is answered at once, for the log was not looked at and threads are few.
            self.is_held = steps.is_needed(rights)
        super().check_permissions(request)

    def rights_for(self, request: Request) -> Rights:
        """Return what the caller may see here."""
        return rights_of(request)

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer a request; what was opened for it is closed when the answer is made, and before it is held."""
        with steps.held(if_true=lambda: self.is_held), ExitStack() as self._open:
            return super().dispatch(request, *args, **kwargs)

    def note(self, *, rows: int, asked: Mapping[str, Any] | None = None) -> None:
        """Note what was asked for, and how many events the answer holds."""
        self.noted.rows += rows
        self.noted.asked.update(asked or {})

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Record the call; keep the answer out of every cache: the next reader may not be an auditor."""
        answer = super().finalize_response(
            request, cast("Any", reads.accounted(self, request, response)), *args, **kwargs
        )
        rate_limits.show(self.allowance, answer)
        answer["Cache-Control"] = "no-store"
        return answer

    def no_parameters(self, request: Request) -> None:
        """
        Refuse parameters where there are none.

        :raises InvalidFilter: naming each.
        """
        parameters.parse(request.query_params, known=frozenset(), now=timezone.now(), default_days=None)

    def check_object(self, model: str, object_pk: str) -> None:
        """
        Refuse an object that cannot be.

        :raises Http404: for a model that neither the code nor the caller's part of the log has.
        """
        if "\x00" in object_pk or not self._exists(model):
            raise Http404

    def _exists(self, model: str) -> bool:
        if not MODEL.fullmatch(model):
            return False
        try:
            apps.get_model(model)
        except LookupError:
            return events.has_model(model, self.rights)
        return True
