"""Headers and addresses that nobody should send: a clear refusal or no effect, never a 500, no trace in an event."""

from __future__ import annotations

import re
from typing import Any

import psycopg
import pytest
import yaml
from django.test import Client
from rest_framework.test import APIClient

from tests.integration.auditlog_api.conftest import Store, UserOf

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

EVENTS = "/api/audit/v1/events/"
SPECIALTIES = "/api/specialties/"
SEARCH = f"{EVENTS}search/"
BOTH = (EVENTS, SPECIALTIES)
CONTEXT = b"SELECT value::jsonb #> '{audit,context}' FROM auditlog_outboxevent WHERE topic LIKE '%.specialty'"


@pytest.mark.parametrize("accept", ["application/xml", "\xff/;q=abc", "text/html;q=\x00", ";;;", "a*=x''y; b"])
def test_an_accept_header_that_cannot_be_met_is_406(caller: APIClient, accept: str) -> None:
    for path in (*BOTH, "/api/schema/"):
        answer = caller.get(path, headers={"accept": accept})
        assert (answer.status_code, answer["Content-Type"]) == (406, "application/problem+json")
        assert answer.json()["code"] == "unsupported_media_type"


@pytest.mark.parametrize(
    ("status", "sent", "headers"),
    [
        (406, "{}", {"accept": "text/html"}),
        (411, "", {"transfer-encoding": "chunked"}),
        (413, " " * 10_000_000, {}),
        (415, "{}", {"content-type": "text/plain"}),
    ],
    ids=["406", "411", "413", "415"],
)
def test_a_search_that_cannot_be_read_is_refused_as_the_document_shows(
    caller: APIClient, status: int, sent: str, headers: dict[str, str]
) -> None:
    document = yaml.safe_load(Client().get("/api/schema/").content)
    promised = document["paths"][SEARCH]["post"]["responses"][str(status)]
    ((code, example),) = promised["content"]["application/problem+json"]["examples"].items()
    shown = document["components"]["examples"][example["$ref"].rpartition("/")[2]]["value"]

    answer = caller.generic("POST", SEARCH, sent, content_type="application/json", headers=headers)

    assert answer.status_code == status
    assert answer.json() == {**shown, "request_id": answer["X-Request-ID"]}
    assert answer.json()["code"] == code
    assert ("RateLimit-Limit" in answer) == ("RateLimit-Limit" in promised["headers"])


def test_what_never_changes_is_sent_with_the_etag_that_the_document_declares(caller: APIClient, store: Store) -> None:
    document = yaml.safe_load(Client().get("/api/schema/").content)
    promised = document["paths"][f"{EVENTS}{{event_id}}/"]["get"]["responses"]
    path = f"{EVENTS}{store()}/"

    first = caller.get(path)
    again = caller.get(path, headers={"if-none-match": first["ETag"]})

    for status, answer in ((200, first), (304, again)):
        assert answer.status_code == status
        assert promised[str(status)]["headers"].keys() <= answer.headers.keys()
    assert "ETag" not in caller.get(EVENTS)


@pytest.mark.parametrize("host", ["", "a b", "ex ample.org", "[", "a\x00b", "é.org", "/", "a@b"])
def test_a_malformed_host_is_400(caller: APIClient, host: str) -> None:
    answer = caller.get(EVENTS, headers={"host": host})

    assert answer.status_code == 400
    assert (answer["Content-Type"], answer.json()["code"]) == ("application/problem+json", "invalid_filter")


@pytest.mark.parametrize("path", ["/api/", "/api/nothing/", "/api/audit/v1/", "/api/audit/v2/events/", "/api/%00/"])
def test_an_unknown_address_below_the_api_is_a_problem(caller: APIClient, path: str) -> None:
    answer = caller.get(path)

    assert (answer.status_code, answer["Content-Type"]) == (404, "application/problem+json")
    assert answer.json()["code"] == "not_found"


@pytest.mark.parametrize(
    ("path", "status"),
    [("/nothing/", 404), ("/admin/%00/", 404), ("/admin/login/?next=%00", 400), ("/admin/login/?a%00=1", 400)],
)
def test_elsewhere_a_browser_gets_a_page(caller: APIClient, path: str, status: int) -> None:
    answer = caller.get(path)

    assert answer.status_code == status
    assert answer["Content-Type"].split(";")[0] in {"text/html", "text/plain"}


@pytest.mark.parametrize("path", ["/api/specialties", "/api/audit/v1/events"])
def test_an_address_without_its_last_slash_leads_on_with_method_and_body(caller: APIClient, path: str) -> None:
    answer = caller.post(path, {"name": "Surgery"})

    assert (answer.status_code, answer["Location"]) == (308, f"{path}/")
    assert caller.get(path)["Location"] == f"{path}/"


def test_a_form_without_its_token_is_403(user_of: UserOf) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(user_of(is_superuser=True))

    problem = browser.post(SPECIALTIES, {"name": "a"}, content_type="application/json")
    assert (problem.status_code, problem["Content-Type"]) == (403, "application/problem+json")
    assert problem.json()["code"] == "permission_denied"
    page = browser.post("/admin/login/", {"username": "a"})
    assert (page.status_code, page["Content-Type"].split(";")[0]) == (403, "text/html")


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("cookie", 'sessionid="abcdefgh\\000ijklmnop"'), ("cookie", "sessionid=\xff\xfe" * 20), ("cookie", ";=;,=\x01"),
        ("cookie", 'csrftoken="\\000"; sessionid=' + "x" * 5_000), ("x-csrftoken", "\x01\xff"), ("origin", "http://["),
        ("referer", "http://["), ("if-modified-since", "never"), ("range", "bytes=x"), ("accept-language", "\xff" * 99),
        ("x-forwarded-proto", "https,http"), ("x-forwarded-host", "[\x01"), ("x-http-method-override", "DELETE"),
    ],
)  # fmt: skip
def test_a_garbled_header_is_ignored(caller: APIClient, header: str, value: str) -> None:
    assert caller.get(EVENTS, headers={header: value}).status_code == 200
    answer = caller.post(SPECIALTIES, {"name": "a"}, headers={header: value})
    assert answer.status_code == 201, answer.content


# As a WSGI server hands headers over, each character one byte; here also half a surrogate pair and a snowman in UTF-8.
GARBAGE = [
    "\x00", "\x01\x1b[31m", "\xff\xfe\xc3", "\xed\xa0\x80", "x" * 9_000, "\xe2\x98\x83", " ", "\t\x7f",
    "' OR 1=1 --", '{"a": 1}', "fe80::1%eth0", "1.2.3.4.5", f"00-{'0' * 32}-{'0' * 16}-00",
]  # fmt: skip


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("proxies", [0, 1])
def test_nothing_malformed_gets_into_an_event(
    caller: APIClient, owner_connection: psycopg.Connection[Any], garbage: str, proxies: int, settings: Any
) -> None:
    settings.AUDITLOG_TRUSTED_PROXIES = proxies
    names = ("x-request-id", "x-forwarded-for", "user-agent", "traceparent", "tracestate", "cookie", "referer")

    answer = caller.post(SPECIALTIES, {"name": "a"}, headers=dict.fromkeys(names, garbage))

    assert answer.status_code == 201, answer.content
    # jsonb takes neither NUL nor half a surrogate pair.
    ((context,),) = owner_connection.execute(CONTEXT).fetchall()
    assert context["request_id"] == answer["X-Request-ID"]
    # What a client may name itself, or a new one.
    assert re.fullmatch("[!-~]{1,128}", context["request_id"])
    link_local = garbage == "fe80::1%eth0"
    assert context["remote_addr"] == (
        "127.0.0.1" if not proxies or not garbage.strip() else garbage if link_local else None
    )
    assert context["traceparent"] is None
    assert len(context["user_agent"] or "") <= 512


def test_a_good_request_id_and_trace_are_kept(
    caller: APIClient, owner_connection: psycopg.Connection[Any], settings: Any
) -> None:
    settings.AUDITLOG_TRUSTED_PROXIES = 1
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    headers = {"x-request-id": "r-1", "traceparent": trace, "x-forwarded-for": "6.6.6.6, 192.0.2.7"}

    assert caller.post(SPECIALTIES, {"name": "a"}, headers=headers)["X-Request-ID"] == "r-1"

    ((context,),) = owner_connection.execute(CONTEXT).fetchall()
    assert (context["request_id"], context["traceparent"], context["remote_addr"]) == ("r-1", trace, "192.0.2.7")
