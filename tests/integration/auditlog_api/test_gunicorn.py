"""The service behind its real server: what a client sees on the wire."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.db import connections

from auditlog import api_keys
from devstack import ports
from tests.conftest import WaitUntil
from tests.integration.auditlog_api.conftest import UserOf

pytestmark = [
    pytest.mark.processes,
    pytest.mark.django_db(transaction=True, databases=["default", "audit"]),
]

PROJECT = Path(__file__).parents[3]
# Sessions that have just looked how far everything is stored.
LOOKING = b"""
SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND query LIKE '%%again_until))%%' AND pid <> pg_backend_pid()
"""
START_SECONDS = 30
POLL_SECONDS = 0.02
SPECIALTIES = "/api/specialties/"
CONTEXT = b"SELECT value::jsonb #> '{audit,context}' FROM auditlog_outboxevent WHERE topic LIKE '%.specialty'"


@pytest.fixture(scope="module", params=[(), ("--threads", "4")], ids=["sync", "threads"])
def port(request: pytest.FixtureRequest, django_db_setup: None) -> Iterator[int]:
    """The port of a server; one that is asked to stop leaves with 0."""
    port = ports.free_port()
    command = [sys.executable, "-m", "gunicorn", "settings.wsgi", "--bind", f"127.0.0.1:{port}", *request.param]
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "settings.test"}
    with subprocess.Popen(command, cwd=PROJECT, env=environment, stderr=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + START_SECONDS
            while not _answers(port):
                assert server.poll() is None
                assert time.monotonic() < deadline
                time.sleep(POLL_SECONDS)
            yield port
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(timeout=START_SECONDS) == 0


@pytest.fixture
def headers(user_of: UserOf) -> dict[str, str]:
    """What a program sends that may do everything."""
    key = api_keys.issue(user=user_of("root", is_superuser=True), name="test")
    return {"Authorization": f"Api-Key {key}", "Content-Type": "application/json"}


def _answers(port: int) -> bool:
    try:
        return _ask(port, "GET", "/livez")[0] == 200
    except OSError:
        return False


def _ask(port: int, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, str, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, **options)
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], json.loads(answer.read())
    finally:
        connection.close()


def _send(port: int, *lines: bytes, body: bytes = b"") -> tuple[int, bytes]:
    """Return the status and the rest of the answer to a request that no library would write."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as wire:
        wire.sendall(b"\r\n".join([*lines, b"Host: a.example", b"Connection: close", b"", body]))
        with wire.makefile("rb") as answer:
            status = int(answer.readline().split()[1])
            return status, answer.read()


def test_a_client_that_sends_ten_megabytes_reads_why_they_are_refused(port: int, headers: dict[str, str]) -> None:
    body = b'{"name": "' + b"x" * 10_000_000 + b'"}'

    for path in (SPECIALTIES, "/api/audit/v1/events/"):
        status, content_type, problem = _ask(port, "POST", path, body, headers=headers)
        assert (status, content_type) == (413, "application/problem+json")
        assert problem["code"] == "payload_too_large"
    assert _ask(port, "POST", SPECIALTIES, b"x" * 2_000_000)[0] == 401
    assert _ask(port, "POST", SPECIALTIES, b'{"name": "Surgery"}', headers=headers)[0] == 201


def test_a_body_in_chunks_is_refused(port: int, headers: dict[str, str]) -> None:
    status, _, problem = _ask(
        port, "POST", SPECIALTIES, iter([b'{"name": ', b'"a"}']), headers=headers, encode_chunked=True
    )

    assert (status, problem["code"]) == (411, "invalid_body")


@pytest.mark.parametrize(
    "line",
    [b"Content-Type: text/plain; a*=nonsense''x", b"Content-Type: x; charset=rot13",
     b'Cookie: sessionid="\\000abcdefgh"',
     b"Accept: \xff\xfe", b"Host: [", b"X-Request-ID: \xff", b"Authorization: Api-Key \xff", b"Content-Length: -1",
     b"Content-Length: 1e3", b"Cookie: \x01\x02", b"If-Modified-Since: \xff", b"Traceparent: \x7f"],
)  # fmt: skip
def test_a_garbled_header_is_no_crash(port: int, line: bytes) -> None:
    status, _ = _send(port, b"GET /api/audit/v1/events/ HTTP/1.1", line)

    assert 400 <= status < 500


@pytest.mark.parametrize(
    "target",
    [b"/api/%00/", b"/api/\xff/", b"/%ff%fe/", b"//api//", b"/api/audit/v1/events/?%00", b"/api/audit/v1/events/?a=%ff",
     b"/static/%00", b"/static/../../etc/passwd", b"/api/audit/v1/objects/a.b/%0a/timeline/", b"*"],
)  # fmt: skip
def test_a_garbled_address_is_no_crash(port: int, target: bytes) -> None:
    status, _ = _send(port, b"GET " + target + b" HTTP/1.1")

    assert 400 <= status < 500


def test_nothing_malformed_gets_into_an_event_off_the_wire(
    port: int, headers: dict[str, str], owner_connection: psycopg.Connection[Any]
) -> None:
    body = b'{"name": "Surgery"}'
    garbled = [
        b"User-Agent: \xff\xed\xa0\x80 \xe2\x98\x83",
        b"X-Request-ID: " + b"x" * 4_000,
        b"X-Forwarded-For: nowhere",
        b"Traceparent: 00-zz",
        b'Cookie: sessionid="abcdefgh\\000"',
        b"Content-Length: %d" % len(body),
    ]
    plain = [f"{name}: {value}".encode() for name, value in headers.items()]

    status, _ = _send(port, b"POST /api/specialties/ HTTP/1.1", *plain, *garbled, body=body)

    assert status == 201
    ((context,),) = owner_connection.execute(CONTEXT).fetchall()
    assert len(context["request_id"]) == 32
    assert (context["remote_addr"], context["traceparent"], context["session"]) == ("127.0.0.1", None, None)
    assert context["user_agent"] == "\xff\xed\xa0\x80 \xe2\x98\x83"


def test_a_server_that_is_asked_to_stop_answers_those_who_wait_for_events(
    headers: dict[str, str], wait_until: WaitUntil
) -> None:
    # Nobody else sees what the sessions of others do.
    admin = psycopg.connect(os.environ["TEST_POSTGRES_ADMIN_URL"], autocommit=True)
    database = connections["audit"].settings_dict["NAME"]
    port = ports.free_port()
    command = [sys.executable, "-m", "gunicorn", "-c", "python:settings.server", "settings.wsgi"]
    # Those who wait on would be cut off after five seconds.
    variables = {"API_BIND": f"127.0.0.1:{port}", "API_GRACEFUL_SECONDS": "5"}
    environment = os.environ | variables | {"DJANGO_SETTINGS_MODULE": "settings.test"}
    with admin, subprocess.Popen(command, cwd=PROJECT, env=environment, stderr=subprocess.DEVNULL) as server:
        try:
            wait_until(lambda: _answers(port))
            with ThreadPoolExecutor(2) as pool:
                path = "/api/audit/v1/feed/?wait=30"
                waiting = [pool.submit(_ask, port, "GET", path, headers=headers) for _ in range(2)]
                wait_until(lambda: admin.execute(LOOKING, [database]).fetchone() == (2,))
                server.send_signal(signal.SIGTERM)
                answers = [one.result() for one in waiting]
        finally:
            server.send_signal(signal.SIGTERM)
            assert server.wait(timeout=START_SECONDS) == 0
    assert [(status, body["results"]) for status, _type, body in answers] == [(200, []), (200, [])]
