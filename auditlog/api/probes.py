"""What an orchestrator and a monitoring system ask."""

from __future__ import annotations

import prometheus_client
from django.db import DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse


def livez(request: HttpRequest) -> HttpResponse:  # noqa: ARG001 - a view's signature
    """Answer as long as the process does; looks at nothing else, so that an outage restarts no process."""
    return JsonResponse({"status": "ok"})


def readyz(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    """Answer 200 once the databases answer and every migration is applied, otherwise 503."""
    checks = {alias: _state(alias) for alias in connections}
    ready = all(state == "ok" for state in checks.values())
    body = {"status": "ok" if ready else "unavailable", "checks": checks}
    return JsonResponse(body, status=200 if ready else 503)


def metrics(request: HttpRequest) -> HttpResponse:  # noqa: ARG001
    """Answer with the metrics of this process in Prometheus' text format."""
    return HttpResponse(prometheus_client.generate_latest(), content_type=prometheus_client.CONTENT_TYPE_LATEST)


def _state(alias: str) -> str:
    try:
        executor = MigrationExecutor(connections[alias])
        pending = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError:
        return "unavailable"
    return "migrations pending" if pending else "ok"
