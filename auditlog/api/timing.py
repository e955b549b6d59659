"""Counts and times the requests of the API."""

from __future__ import annotations

import time

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

from auditlog import metrics

# A label per method that somebody makes up would let a caller fill the memory.
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
AREAS = (("/api/audit/", "audit"), ("/api/", "domain"), ("/admin/", "admin"))


class TimingMiddleware(MiddlewareMixin):
    """Observes how long each request took and how it was answered. Behind the probes, before everything else."""

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        """Note when the request came in."""
        request.META["auditlog.received"] = time.perf_counter()
        return None

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """Observe how long it took."""
        seconds = time.perf_counter() - request.META["auditlog.received"]
        method = request.method if request.method in METHODS else "other"
        area = next((area for prefix, area in AREAS if request.path_info.startswith(prefix)), "other")
        metrics.REQUEST_SECONDS.labels(area, method, f"{response.status_code // 100}xx").observe(seconds)
        return response
