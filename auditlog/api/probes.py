"""What an orchestrator and a monitoring system ask: answered before host, session or anything else is looked at."""

from __future__ import annotations

import prometheus_client
import psycopg
from django.conf import settings
from django.db import DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseNotFound, JsonResponse
from django.utils.deprecation import MiddlewareMixin

from auditlog.exposition import registry
from auditlog.routers import READ_MODEL_ALIAS

# The least that the driver can wait for a server.
GREETING_SECONDS = 2

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
    """
    Answer 200 while the domain's database answers and every migration is applied, otherwise 503.

    A read model that is away makes the answer "degraded", not 503: writes of the domain go on, and the audit API says
    by itself what it lacks. Taken out of service, a process would answer neither. Kafka is nobody's to ask here.
    """
    checks = {alias: _state(alias) for alias in connections}
    ready = all(
        state == "ok" or (alias == READ_MODEL_ALIAS and state == "unavailable") for alias, state in checks.items()
    )
    status = "unavailable" if not ready else "ok" if set(checks.values()) == {"ok"} else "degraded"
    return JsonResponse({"status": status, "checks": checks}, status=200 if ready else 503)


def metrics() -> HttpResponse:
    """Answer with the metrics in Prometheus' text format, unless they have a port of their own."""
    if getattr(settings, "API_METRICS_PORT", 0):
        return HttpResponseNotFound()
    return HttpResponse(
        prometheus_client.generate_latest(registry()), content_type=prometheus_client.CONTENT_TYPE_LATEST
    )


PROBES = {"/livez": livez, "/readyz": readyz, "/metrics": metrics}


def _state(alias: str) -> str:
    try:
        if alias == READ_MODEL_ALIAS:
            _greet(alias)
        else:
            with connections[alias].cursor() as cursor:
                cursor.execute("SELECT 1")
        if alias not in _migrated:
            executor = MigrationExecutor(connections[alias])
            if executor.migration_plan(executor.loader.graph.leaf_nodes()):
                return "migrations pending"
            _migrated.add(alias)
    except (DatabaseError, psycopg.Error):
        return "unavailable"
    return "ok"


def _greet(alias: str) -> None:
    """
    Log in and leave.

    On a connection that was open when its server vanished without a word, a query would wait for many seconds: longer
    than an orchestrator waits for the probe, which would then take the domain out of service.

    :raises psycopg.Error: if nobody answers soon.
    """
    parameters = connections[alias].get_connection_params() | {"connect_timeout": GREETING_SECONDS}
    psycopg.connect(**parameters).close()
