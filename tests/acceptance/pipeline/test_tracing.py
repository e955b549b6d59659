"""One trace, from the request of somebody's change to the storage of its event; and one that stands in nobody's way."""

from __future__ import annotations

import json
import sys
import urllib.request
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Kinds

from devstack import ports
from tests.acceptance.pipeline import collector
from tests.acceptance.pipeline.books import Books, assert_balanced
from tests.acceptance.pipeline.collector import Collector
from tests.acceptance.pipeline.services import APPLICATION, CONSUMER, RELAY, Deployment, Service

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True, databases=["default", "audit"])]

TRACE, CALLER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
MAKE_KEY = """
from django.contrib.auth.models import User
from auditlog import api_keys
print(api_keys.issue(user=User.objects.create_superuser("ada"), name="test"))
"""


class Traced:
    """The three roles, which export to a collector."""

    def __init__(self, deployment: Deployment, to: Collector) -> None:
        variables = {
            "AUDITLOG_TRACING": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": to.address,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "LOG_LEVEL": "DEBUG",
        }
        self._port = ports.free_port()
        command = [sys.executable, "-m", "gunicorn", "settings.wsgi", "--no-control-socket"]
        command += ["--bind", f"{ports.HOST}:{self._port}"]
        self._key = deployment.run("key", "shell", "-v", "0", "-c", MAKE_KEY, roles=APPLICATION).strip()
        self.services: dict[str, Service] = {
            "api": deployment.start_program(command, name="api", roles=APPLICATION, **variables),
            "relay": deployment.start("relay", "run_relay", roles=RELAY, **variables),
            "consumer": deployment.start("consumer", "run_consumer", roles=CONSUMER, **variables),
        }
        deployment.wait_until(self._answers, what="the API")

    def change(self, name: str, *, trace: str) -> None:
        """Make a specialty, as a caller who records this trace."""
        self._ask("/api/specialties/", json.dumps({"name": name}).encode(), trace)

    def lines(self, role: str) -> list[dict[str, Any]]:
        """Return what a role has logged."""
        return self.services[role].events()

    def _answers(self) -> bool:
        try:
            self._ask("/readyz", None, TRACE)
        except OSError:
            return False
        return True

    def _ask(self, path: str, body: bytes | None, trace: str) -> None:
        headers = {
            "Authorization": f"Api-Key {self._key}",
            "Content-Type": "application/json",
            "traceparent": f"00-{trace}-{CALLER}-01",
        }
        request = urllib.request.Request(f"http://{ports.HOST}:{self._port}{path}", body, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.status in {200, 201}


def test_i8_a_change_is_one_trace_up_to_its_storage_and_needs_no_collector(
    deployment: Deployment, books: Books
) -> None:
    with collector.running() as collecting:
        traced = Traced(deployment, collecting)
        traced.change("Cardiology", trace=TRACE)
        deployment.wait_until(lambda: len(collecting.of_trace(TRACE)) == 3, what="the three spans of the change")
        spans = {span.kind: span for span in collecting.of_trace(TRACE)}
        request, sent, stored = (
            spans[k] for k in (Kinds.SPAN_KIND_SERVER, Kinds.SPAN_KIND_PRODUCER, Kinds.SPAN_KIND_CONSUMER)
        )
        topic = f"{deployment.prefix}.doctors.specialty"
        assert (request.service, request.name) == ("auditlog-api", "POST /api/specialties/")
        assert (sent.service, sent.name) == ("auditlog-relay", f"send {topic}")
        assert (stored.service, stored.name) == ("auditlog-consumer", f"process {topic}")
        assert (request.parent, sent.parent, stored.parent) == (CALLER, request.id, sent.id)

        (record,) = [each for each in books.published() if each.topic == topic]
        assert record.headers["traceparent"][:52] == f"00-{TRACE}-{sent.id}"
        assert record.event["audit"]["context"]["traceparent"][:52] == f"00-{TRACE}-{request.id}"
        logged = {
            role: {
                line["event"]
                for line in traced.lines(role)
                if TRACE in (line.get("trace_id"), *line.get("trace_ids", ()))
            }
            for role in traced.services
        }
        assert logged == {
            "api": {"request.finished"},
            "relay": {"relay.published", "relay.event_published"},
            "consumer": {"consumer.stored", "consumer.event_stored"},
        }

    # The collector is gone, and nobody but the log takes notice.
    traced.change("Surgery", trace=TRACE[::-1])
    deployment.wait_until(books.settled, what="the change without a collector in the audit log")
    assert_balanced(books)
    assert {role: service.terminate() for role, service in traced.services.items()} == dict.fromkeys(traced.services, 0)
