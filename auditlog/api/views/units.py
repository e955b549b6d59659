"""Units of work: everything that one request or one transaction did."""

from __future__ import annotations

from dataclasses import replace

from django.http import Http404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from auditlog.api import activities, parameters
from auditlog.api.schema import PAGING
from auditlog.api.views.base import PROBLEMS, TEXT
from auditlog.api.views.lists import PageView
from auditlog.queries import positions
from auditlog.queries.filters import Field, Is, conjoined
from auditlog.queries.sorting import SEQUENCE, Sort
from auditlog.queries.units import NEEDED, summary

IN_ORDER = Sort(SEQUENCE, descending=False)
KNOWN = frozenset({"action", "category", "model", *parameters.PAGING})
NARROWING = [
    OpenApiParameter("action", TEXT, many=True),
    OpenApiParameter("category", TEXT, many=True),
    OpenApiParameter("model", TEXT, description="`app_label.model`, or `app_label.*`"),
]
RESPONSES = {(200, "application/json"): activities.UnitPageSerializer, **PROBLEMS}


class UnitView(PageView):
    """Everything that one unit of work did, in order."""

    unit: Field
    needed = NEEDED

    def work(self, request: Request, number: str) -> Response:
        """
        Return the events of a unit, oldest first; the first page adds them up.

        :raises Http404: where there is none.
        """
        if not number or "\x00" in number:
            raise Http404
        query = request.query_params
        asked = parameters.parse(query, known=KNOWN, now=timezone.now(), default_days=None, sort=IN_ORDER)
        wanted = conjoined(Is(self.unit, (number,)), asked.query.filter)
        pinned = replace(asked.query, filter=wanted, pinned=None if asked.cursor else positions.now())
        answer, page = self.page_and_events(request, replace(asked, query=pinned))
        if asked.cursor is None and not page.events:
            raise Http404
        found = None if asked.cursor else summary(pinned, self.rights, page=page)
        answer.data |= {str(self.unit): number, "summary": activities.shown_summary(found)}
        return answer


class RequestWork(UnitView):
    """One request."""

    unit = Field.REQUEST

    @extend_schema(
        operation_id="audit_request",
        parameters=[OpenApiParameter("request_id", TEXT, "path"), *NARROWING, *PAGING],
        responses=RESPONSES,
    )
    def get(self, request: Request, request_id: str) -> Response:
        """Return everything that a request did, in the order of commits."""
        return self.work(request, request_id)


class TransactionWork(UnitView):
    """One transaction of the database."""

    unit = Field.TRANSACTION

    @extend_schema(
        operation_id="audit_transaction",
        parameters=[OpenApiParameter("transaction_id", TEXT, "path"), *NARROWING, *PAGING],
        responses=RESPONSES,
    )
    def get(self, request: Request, transaction_id: str) -> Response:
        """
        Return everything that a transaction did, in order.

        Its number is unique within one database server only: `summary.sources` tells servers apart, and `model`, `from`
        and `to` choose one.
        """
        return self.work(request, transaction_id)
