"""The OpenAPI document and its browser."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest
import yaml
from django.core.management import call_command
from django.test import Client

from auditlog.api import parameters

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

ALWAYS = {"200", "400", "401", "403", "404", "406", "429", "500", "503"}
COMMITTED = Path(__file__).parents[3] / "docs" / "reference" / "openapi.yaml"


@pytest.fixture
def document() -> dict[str, Any]:
    """The document that is served."""
    served: dict[str, Any] = yaml.safe_load(Client().get("/api/schema/").content)
    return served


def test_the_committed_document_is_what_is_served(document: dict[str, Any]) -> None:
    assert yaml.safe_load(COMMITTED.read_text(encoding="utf-8")) == document


def test_the_document_is_valid_and_made_without_warnings() -> None:
    output = io.StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=output)

    assert output.getvalue() == COMMITTED.read_text(encoding="utf-8")


def test_the_document_speaks_of_every_contract(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    audit = {
        path: next(iter(item.values())) for path, item in document["paths"].items() if path.startswith("/api/audit/v1/")
    }
    named = {path: {each["name"] for each in item["parameters"]} - {"X-Audit-Reason"} for path, item in audit.items()}
    expected = {
        "/api/audit/v1/events/": parameters.LIST,
        "/api/audit/v1/events/search/": {"cursor"},
        "/api/audit/v1/events/{event_id}/": {"event_id", "If-None-Match"},
        "/api/audit/v1/events/{event_id}/values/{sha256}/": {"event_id", "sha256", "If-None-Match"},
        "/api/audit/v1/objects/{model}/{object_pk}/timeline/": {"model", "object_pk"} | parameters.TIMELINE,
    }
    assert {path: named[path] for path in expected} == expected
    for path, item in audit.items():
        assert item["security"] == [{"apiKey": []}, {"bearer": []}, {"session": []}]
        # What never changes has an ETag.
        kept = {"304"} if path.endswith(("{sha256}/", "{event_id}/")) else set()
        assert ("If-None-Match" in named[path]) == bool(kept)
        tagged = {status for status, answer in item["responses"].items() if "ETag" in answer["headers"]}
        assert tagged == ({"200", "304"} if kept else set())
        # What an object was, it is no more once it is deleted.
        gone = {"410"} if path.endswith(("/as-of/", "/blame/")) else set()
        # A feed's place may be ahead of a log that was restored.
        ahead = {"409"} if path.endswith("/feed/") else set()
        # Only a search has a body.
        body = {"411", "413", "415"} if path.endswith("/search/") else set()
        assert set(item["responses"]) == ALWAYS | kept | gone | ahead | body
        assert set(item["responses"]["403"]["content"]) == {"application/problem+json"}
    assert {f"/api/{name}/" for name in ("doctors", "departments", "specialties", "appointments")} <= set(
        document["paths"]
    )


def test_every_operation_may_answer_with_a_problem(document: dict[str, Any]) -> None:
    operations = [operation for item in document["paths"].values() for operation in item.values()]

    assert len(operations) > 40
    for operation in operations:
        errors = [answer for status, answer in operation["responses"].items() if status[0] in "4d"]
        assert errors
        assert all(set(error["content"]) == {"application/problem+json"} for error in errors)


def test_a_bad_key_does_not_hide_what_is_public_and_errors_are_problems() -> None:
    stranger = Client(headers={"authorization": "Api-Key nonsense"})

    assert stranger.get("/api/schema/").status_code == 200
    refused = stranger.post("/api/schema/")
    assert (refused.status_code, refused["Content-Type"]) == (405, "application/problem+json")
    assert refused.json()["code"] == "method_not_allowed"


def test_the_browser_of_the_document_needs_no_other_host() -> None:
    browser = Client()
    page = browser.get("/api/docs/")

    assert page.status_code == 200
    links = re.findall(r"""(?:src|href)=["']([^"']+)["']""", page.content.decode())
    assert {Path(urlsplit(link).path).suffix for link in links} == {".css", ".js", ".png"}
    for link in links:
        address = urlsplit(urljoin("http://testserver/api/docs/", link))
        assert address.netloc == "testserver"
        answer = browser.get(address.path)
        assert answer.status_code == 200
        answer.close()
    assert browser.get("/").url == "/api/docs/"  # type: ignore[attr-defined]
