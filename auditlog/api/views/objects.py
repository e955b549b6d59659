"""Objects: the life of one."""

from __future__ import annotations

from dataclasses import replace

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from auditlog.api import parameters
from auditlog.api.schema import COUNT, FILTERS_OF_OBJECT, PAGE, PAGING
from auditlog.api.views.base import OBJECT
from auditlog.api.views.lists import PageView
from auditlog.queries.filters import Field, Is, conjoined
from auditlog.queries.sorting import BY_SEQUENCE


class ObjectTimeline(PageView):
    """The life of one object."""

    @extend_schema(
        operation_id="audit_object_timeline", parameters=[*OBJECT, *FILTERS_OF_OBJECT, *PAGING, COUNT], responses=PAGE
    )
    def get(self, request: Request, model: str, object_pk: str) -> Response:
        """Return the events of an object in the order of their commits, newest first; its whole life by default."""
        asked = parameters.parse(
            request.query_params,
            known=parameters.TIMELINE,
            now=timezone.now(),
            default_days=None,
            sort=BY_SEQUENCE,
        )
        self.check_object(model, object_pk)
        wanted = conjoined(Is(Field.MODEL, (model,)), Is(Field.OBJECT, (object_pk,)), asked.query.filter)
        return self.page(request, replace(asked, query=replace(asked.query, filter=wanted)))
