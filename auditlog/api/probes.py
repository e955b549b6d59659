"""What an orchestrator and a monitoring system ask: answered before host, session or anything else is looked at."""

from __future__ import annotations

import prometheus_client
from django.db import DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, JsonResponse
from django.utils.deprecation import MiddlewareMixin

# Aliases whose migrations were found complete. That stays so for as long as this process runs this code, and working
# it out costs a look at every migration: once is enough.
_migrated: set[str] = set()


class ProbeMiddleware(MiddlewareMixin):
    """
    Serves /livez, /readyz and /metrics.

    A middleware, placed first, because probes come to a pod's address, which is no allowed host, and over plain HTTP.
    """

    def process_request(self, request: HttpRequest) -> HttpResponse | None:
        """Answer a probe; let everything else in."""
        probe = PROBES.get(request.path_info)
        if probe is None:
            return None
        return probe() if request.method in {"GET", "HEAD"} else HttpResponseNotAllowed(["GET", "HEAD"])


def livez() -> HttpResponse:
    """Answer as long as the process does; looks at nothing else, so that an outage restarts no process."""
    return JsonResponse({"status": "ok"})


def readyz() -> HttpResponse:
    """Answer 200 while the databases answer and once every migration is applied, otherwise 503."""
    checks = {alias: _state(alias) for alias in connections}
    ready = all(state == "ok" for state in checks.values())
    body = {"status": "ok" if ready else "unavailable", "checks": checks}
    return JsonResponse(body, status=200 if ready else 503)


def metrics() -> HttpResponse:
    """Answer with the metrics of this process in Prometheus' text format."""
    return HttpResponse(prometheus_client.generate_latest(), content_type=prometheus_client.CONTENT_TYPE_LATEST)


PROBES = {"/livez": livez, "/readyz": readyz, "/metrics": metrics}


def _state(alias: str) -> str:
    try:
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT 1")
        if alias not in _migrated:
            executor = MigrationExecutor(connections[alias])
            if executor.migration_plan(executor.loader.graph.leaf_nodes()):
                return "migrations pending"
            _migrated.add(alias)
    except DatabaseError:
        return "unavailable"
    return "ok"
