"""What nobody should send: a clear refusal, never a 500, and nothing malformed in an event."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.conf import settings
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from rest_framework.test import APIClient

from doctors.api.urls import router

pytestmark = pytest.mark.django_db(databases=["default", "audit"])

EVENTS = "/api/audit/v1/events/"
TIMELINE = "/api/audit/v1/objects/doctors.doctor/17/timeline/"
SPECIALTIES = "/api/specialties/"
BOTH = (EVENTS, SPECIALTIES)
FILTERS = [
    "model", "object_pk", "action", "actor", "request_id", "from", "to", "cursor", "page", "page_size", "search", "npi",
    "specialty", "department", "hired_from", "state", "ordering", "doctor", "is_active", "status", "x",
]  # fmt: skip


@pytest.mark.parametrize(
    "query",
    [
        "page_size=0", "page_size=-1", "page_size=abc", "page_size=1001", "page_size=", "page_size=\u0661",
        "page_size=%2B5", "from=0000-01-01T00:00:00Z", "from=9999999", "from=9999-12-31T23:59:59Z", "from=now",
        "from=1970-01-01T00:00:00Z", "to=2026-02-31T00:00:00Z", "to=10000-01-01T00:00:00Z", "from=2026-01-01T00:00:00",
        "from=2026-01-01", "from=2026-01-01T00:00:00%2B99:99", "from=2026-01-01T00:00:00+00:00", "from=",
        "from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z", "from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z",
        "from=8999-01-01T00:00:00Z", "model=a%00b", "model=Doctor", "model=doctors", "model=doctors.doctor%0A",
        "colour=red", "actor=1&actor=2", "actor=", "object_pk=" + "9" * 1025, "request_id=%00", "action=", "format=csv",
        "from__gte=2026-01-01T00:00:00Z", "cursor=a&cursor=b", "action%00=create",
    ],
)  # fmt: skip
def test_a_bad_filter_is_named(caller: APIClient, query: str) -> None:
    answer = caller.get(f"{EVENTS}?{query}")

    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json")
    problem = answer.json()
    assert (problem["code"], problem["status"], problem["title"]) == ("invalid_filter", 400, "Invalid filter")
    name = query.partition("=")[0].replace("%00", "\ufffd")
    assert problem["errors"][0]["pointer"] == f"/{name}"
    assert problem["errors"][0]["detail"]


def test_every_bad_filter_is_named_at_once(caller: APIClient) -> None:
    answer = caller.get(f"{EVENTS}?colour=red&page_size=x&from=never&a~b/c=1").json()

    assert [(error["pointer"], error["code"]) for error in answer["errors"]] == [
        ("/colour", "unknown_filter"),
        ("/a~0b~1c", "unknown_filter"),
        ("/from", "invalid_datetime"),
        ("/page_size", "invalid_page_size"),
    ]


@pytest.mark.parametrize("path", [*BOTH, TIMELINE])
def test_a_thousand_parameters_are_refused(caller: APIClient, path: str) -> None:
    answer = caller.get(path + "?" + "&".join(f"a{number}=1" for number in range(1_001)))

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_filter")


@hypothesis_settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.sampled_from([EVENTS, TIMELINE, SPECIALTIES, "/api/doctors/", "/api/appointments/"]),
    query=st.dictionaries(
        st.sampled_from(FILTERS),
        st.text(max_size=30) | st.integers().map(str) | st.datetimes().map(lambda at: at.isoformat() + "Z"),
        max_size=4,
    ),
)  # fmt: skip
@example(path="/api/doctors/", query={"hired_from": "9999-99-99"})
@example(path="/api/appointments/", query={"from": "0001-01-01T00:00:00+14:00"})
@example(path="/api/doctors/", query={"department": "9" * 400})
@example(path="/api/doctors/", query={"page": "9" * 5_000})
def test_no_query_is_a_crash(caller: APIClient, path: str, query: dict[str, str]) -> None:
    answer = caller.get(path, {name: value.encode(errors="surrogatepass") for name, value in query.items()})

    assert answer.status_code in {200, 400, 404}, answer.content
    if answer.status_code != 200:
        assert answer.json()["code"] in {"invalid_filter", "invalid_cursor", "not_found"}


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b"3", b"null", b'"a"', b"", b'{"name": NaN}', b"\xff", b"\x00", b"[" * 100_000, b"\xef\xbb\xbf{}",
     b'{"name": "\\ud800"}', b'{"name": "a\\u0000b"}', b'{"name": 5}', b'{"name": 1e999}', b'{"name": true}',
     b'{"name": ["a"]}', b'{"name": {"a": 1}}', b'{"name": null}', b'{"name": ""}', b'{"nmae": "a"}', b"{}",
     b'{"name": "a", "id": {"$gt": 0}, "x": 1}', b'{"name": ' + b"9" * 5_000 + b"}"],
)  # fmt: skip
def test_a_bad_body_is_refused(caller: APIClient, content: bytes) -> None:
    answer = caller.post(SPECIALTIES, content, content_type="application/json")

    assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json"), answer.content
    assert answer.json()["code"] == "invalid_body"
    assert caller.get(SPECIALTIES).json()["count"] == 0


ODD = (
    st.none()
    | st.booleans()
    | st.floats()
    | st.text(st.characters(), max_size=20)
    | st.sampled_from([0, -1, 10**30, 10**400, 2**31, 2**63, -(2**63) - 1, "9999-12-31", "0001-01-01", "24:00"])
    | st.sampled_from(["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "1e400", "Infinity", "-0", "\x7f"])
)
GOOD: dict[str, dict[str, Any]] = {
    "doctors": {"first_name": "A", "last_name": "B"},
    "departments": {"code": "A", "name": "B"},
    "patients": {"first_name": "A", "last_name": "B"},
    "appointments": {"start": "2026-12-01T09:00:00Z", "end": "2026-12-01T09:30:00Z"},
    "practice-locations": {"adrs_id": "A", "address_line_1": "B", "city": "C", "state": "CT", "zip": "06512"},
    "profiles": {"languages": ["en"]},
}
REGISTRY: list[tuple[str, Any, str]] = router.registry
FIELDS = {name: sorted(view.serializer_class().fields) for name, view, _basename in REGISTRY if name in GOOD}


@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(resource=st.sampled_from(sorted(GOOD)), data=st.data())
def test_no_body_is_a_crash(caller: APIClient, resource: str, data: st.DataObject) -> None:
    value = ODD | st.lists(ODD, max_size=3) | st.dictionaries(st.text(max_size=5), ODD, max_size=2)
    fields = data.draw(st.dictionaries(st.sampled_from(FIELDS[resource]), value, min_size=1, max_size=3))
    body = json.dumps({**GOOD[resource], **fields})

    answer = caller.post(f"/api/{resource}/", body, content_type="application/json")

    assert answer.status_code in {201, 400, 409}, answer.content
    if answer.status_code == 400:
        assert answer.json()["code"] == "invalid_body"


@pytest.mark.parametrize("value", [[], "text", 5, None, True, [[]], {"a": {"b": []}}])
def test_a_body_of_another_shape_is_refused(caller: APIClient, value: object) -> None:
    for resource in GOOD:
        answer = caller.post(f"/api/{resource}/", json.dumps(value), content_type="application/json")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_body")


@pytest.mark.parametrize("path", [*BOTH, "/api/nothing/"])
@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/x-www-form-urlencoded"])
def test_ten_megabytes_are_too_large(caller: APIClient, path: str, content_type: str) -> None:
    answer = caller.post(path, b'{"name": "' + b"x" * 10_000_000 + b'"}', content_type=content_type)

    assert (answer.status_code, answer["Content-Type"]) == (413, "application/problem+json")
    assert answer.json()["code"] == "payload_too_large"


def test_a_body_is_limited_where_its_length_is_a_lie(caller: APIClient) -> None:
    content = b'{"name": "' + b"x" * settings.DATA_UPLOAD_MAX_MEMORY_SIZE + b'"}'
    exact = b'{"name": "' + b"x" * 5_000 + b'"}'

    short = caller.post(SPECIALTIES, content, content_type="application/json", CONTENT_LENGTH="100")
    assert (short.status_code, short.json()["code"]) == (400, "invalid_body")
    assert caller.post(SPECIALTIES, exact, content_type="application/json").status_code == 400


def test_a_body_without_a_length_is_not_taken_for_an_empty_one(caller: APIClient) -> None:
    answer = caller.generic("POST", SPECIALTIES, "", headers={"transfer-encoding": "chunked"})

    assert (answer.status_code, answer.json()["code"]) == (411, "invalid_body")


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/xml", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "x", "/",
     "application/json; charset=rot13", "application/json; charset=hex", "application/json; charset=utf-16",
     "application/json; charset=latin-1", "application/json; charset=nonsense", "é"],
)  # fmt: skip
def test_another_media_type_or_charset_is_415(caller: APIClient, content_type: str) -> None:
    answer = caller.post(SPECIALTIES, b'{"name": "a"}', content_type=content_type)

    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert caller.get(SPECIALTIES).json()["count"] == 0


@pytest.mark.parametrize("charset", ["utf-8", "UTF8", '"utf-8"', "us-ascii"])
def test_utf_8_is_read(caller: APIClient, charset: str) -> None:
    content_type = f"application/json; charset={charset}"
    answer = caller.post(SPECIALTIES, b'{"name": "a"}', content_type=content_type)

    assert answer.status_code == 201, answer.content
