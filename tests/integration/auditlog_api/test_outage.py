"""A database that is away: 503 where it is needed, no harm where it is not."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from django.db import connections
from django.test import Client, RequestFactory
from prometheus_client import REGISTRY
from rest_framework.test import APIClient

from auditlog.api import probes
from tests.integration.auditlog_api.conftest import Store, UserOf

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

EVENTS = "/api/audit/v1/events/"
SPECIALTIES = "/api/specialties/"


@contextmanager
def away(alias: str) -> Iterator[None]:
    """Point an alias to a port at which nobody listens."""
    connection = connections[alias]
    connection.close()
    port = connection.settings_dict["PORT"]
    with socket.socket() as closed:
        # Bound and not listening: nobody else can take it meanwhile.
        closed.bind(("127.0.0.1", 0))
        connection.settings_dict["PORT"] = str(closed.getsockname()[1])
        try:
            yield
        finally:
            connection.close()
            connection.settings_dict["PORT"] = port


@pytest.fixture
def browser(user_of: UserOf) -> Client:
    """Somebody who is logged in; a crash is an answer with status 500."""
    logged_in = Client(raise_request_exception=False)
    logged_in.force_login(user_of("root", is_superuser=True, is_staff=True))
    return logged_in


def assert_unavailable(answer: Any) -> None:
    assert (answer.status_code, answer["Content-Type"]) == (503, "application/problem+json")
    assert answer.json() == {
        "type": "https://auditlog.invalid/problems/unavailable",
        "title": "Unavailable",
        "status": 503,
        "detail": "A database does not answer at the moment: try again later.",
        "code": "unavailable",
        "errors": [],
        "request_id": answer["X-Request-ID"],
    }


def test_the_audit_api_says_so_when_the_read_model_is_away(caller: APIClient, store: Store) -> None:
    event_id = store()
    with away("audit"):
        for path in (EVENTS, f"{EVENTS}{event_id}/", "/api/audit/v1/objects/doctors.doctor/17/timeline/"):
            assert_unavailable(caller.get(path))
    assert caller.get(f"{EVENTS}{event_id}/").status_code == 200


def test_the_domain_is_written_while_the_read_model_is_away(
    caller: APIClient, owner_connection: psycopg.Connection[Any]
) -> None:
    with away("audit"):
        assert caller.post(SPECIALTIES, {"name": "Surgery"}).status_code == 201
        assert caller.get(SPECIALTIES).json()["count"] == 1
    counted = "SELECT count(*) FROM auditlog_outboxevent WHERE topic LIKE '%.specialty'"
    assert owner_connection.execute(counted.encode()).fetchone() == (1,)


@pytest.mark.parametrize("path", [EVENTS, SPECIALTIES, "/api/audit/v1/objects/doctors.doctor/17/timeline/"])
def test_neither_a_key_nor_a_session_can_be_looked_up_when_the_application_is_away(
    caller: APIClient, browser: Client, path: str
) -> None:
    with away("default"):
        assert_unavailable(caller.get(path))
        assert_unavailable(browser.get(path))
        assert_unavailable(caller.post(SPECIALTIES, {"name": "Surgery"}))
        assert APIClient().get(path).status_code == 401


@pytest.mark.parametrize("alias", ["default", "audit"])
def test_the_admin_says_so_too(browser: Client, alias: str) -> None:
    with away(alias):
        page = browser.get("/admin/auditlog/auditlog/")
        assert (page.status_code, page["Content-Type"]) == (503, "text/plain")
        assert "does not answer" in page.content.decode()
    assert browser.get("/admin/auditlog/auditlog/").status_code == 200


def test_a_login_says_so_too(transactional_db: None) -> None:
    with away("default"):
        page = Client(raise_request_exception=False).post("/admin/login/", {"username": "a", "password": "b"})
    assert page.status_code == 503


def test_a_defect_is_a_500_that_tells_nothing(caller: APIClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditlog.partitions.EVENT_ID_SLACK", None)
    monkeypatch.setattr("auditlog.queries.compiler.EVENT_ID_SLACK", None)
    answer = caller.get(EVENTS)

    assert (answer.status_code, answer["Content-Type"]) == (500, "application/problem+json")
    assert (answer.json()["code"], answer.json()["title"]) == ("unavailable", "Internal error")
    assert "TypeError" not in answer.content.decode()


@pytest.mark.parametrize("known", [True, False])
def test_a_process_is_not_ready_without_the_domains_database(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "_migrated", set(connections) if known else set())
    with away("default"):
        answer = Client().get("/readyz")
        assert answer.status_code == 503
        assert answer.json() == {"status": "unavailable", "checks": {"default": "unavailable", "audit": "ok"}}
        assert Client().get("/livez").json() == {"status": "ok"}
    assert Client().get("/readyz").json() == {"status": "ok", "checks": {"default": "ok", "audit": "ok"}}


@pytest.mark.parametrize("known", [True, False])
def test_a_process_stays_ready_for_the_domain_without_the_read_model(
    known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "_migrated", set(connections) if known else set())
    with away("audit"):
        answer = Client().get("/readyz")
        assert answer.status_code == 200
        assert answer.json() == {"status": "degraded", "checks": {"default": "ok", "audit": "unavailable"}}
    assert Client().get("/readyz").json()["status"] == "ok"


def test_readiness_waits_for_a_silent_read_model_no_longer_than_a_probe_does(transactional_db: None) -> None:
    """A server that takes connections and says nothing, as one that vanished behind a live address does."""
    connection = connections["audit"]
    connection.ensure_connection()
    port = connection.settings_dict["PORT"]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        connection.settings_dict["PORT"] = str(silent.getsockname()[1])
        try:
            # Its own time-out would be the test's: the server never answers.
            assert Client().get("/readyz").json()["checks"] == {"default": "ok", "audit": "unavailable"}
        finally:
            connection.settings_dict["PORT"] = port


def test_readiness_waits_for_migrations_and_looks_for_them_once(
    owner_connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    monkeypatch.setattr(probes, "_migrated", set())
    latest = "SELECT max(id) FROM django_migrations WHERE app = 'consumers'"
    row = owner_connection.execute(
        f"DELETE FROM django_migrations WHERE id = ({latest}) RETURNING *".encode()
    ).fetchone()
    assert row is not None
    try:
        answer = Client().get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["checks"] == {"default": "migrations pending", "audit": "migrations pending"}
    finally:
        statement = b"INSERT INTO django_migrations OVERRIDING SYSTEM VALUE VALUES (%s, %s, %s, %s)"
        owner_connection.execute(statement, row)

    assert Client().get("/readyz").status_code == 200
    with (
        django_assert_num_queries(1, connection=connections["default"]),
        django_assert_num_queries(0, connection=connections["audit"]),
    ):
        assert Client().get("/readyz").status_code == 200


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_a_probe_needs_no_credentials_no_host_and_no_tls(transactional_db: None, path: str, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    settings.ALLOWED_HOSTS = ["audit.example"]
    probe = Client(headers={"host": "10.0.0.7:8000"})

    assert probe.get(path).status_code == 200
    assert probe.head(path).content == b""
    refused = probe.post(path)
    assert (refused.status_code, refused["Allow"]) == (405, "GET, HEAD")
    assert probe.get("/api/schema/").status_code == 400


def test_metrics_are_prometheus_text(transactional_db: None) -> None:
    answer = Client().get("/metrics")

    assert answer["Content-Type"].startswith("text/plain; version=")
    assert "# TYPE auditlog_uncaptured_writes_total counter" in answer.content.decode()


def test_metrics_that_have_a_port_of_their_own_are_on_no_other(settings: Any) -> None:
    settings.API_METRICS_PORT = 9464
    assert Client().get("/metrics").status_code == 404


def test_requests_are_timed_by_area_method_and_status(caller: APIClient) -> None:
    def counted(area: str, method: str, status: str) -> float:
        labels = {"area": area, "method": method, "status": status}
        return REGISTRY.get_sample_value("auditlog_api_request_seconds_count", labels) or 0

    before = counted("audit", "GET", "2xx"), counted("domain", "POST", "4xx"), counted("other", "other", "4xx")
    assert caller.get(EVENTS).status_code == 200
    assert caller.post(SPECIALTIES, {"wrong": 1}).status_code == 400
    assert caller.generic("BREW", "/tea").status_code == 404
    after = counted("audit", "GET", "2xx"), counted("domain", "POST", "4xx"), counted("other", "other", "4xx")
    assert after == tuple(count + 1 for count in before)


def test_a_csrf_failure_below_the_api_is_a_problem() -> None:
    from auditlog.api.handlers import csrf_failure

    below = csrf_failure(RequestFactory().post("/api/x/"), reason="no token")
    assert (below.status_code, below["Content-Type"]) == (403, "application/problem+json")
    assert b"no token" in below.content
