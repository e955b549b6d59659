"""Examples of the OpenAPI document: each operation has one for what is sent and for each answer, and each is valid."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from django.test import Client
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from auditlog.api.problems import Code

PROBLEM = "application/problem+json"
# Binary, or a document about itself.
WITHOUT = {("/api/schema/", "200")}
ERRORS = (400, 401, 403, 404, 406, 429, 500, 503)
ERRORS_OF_BODIES = (411, 413, 415)
LIMITS = {"RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset"}
# Nobody is known yet, or nothing works any more.
UNCOUNTED = {"406", "411", "413", "500"}
Media = tuple[str, dict[str, Any]]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The document that is served."""
    served: dict[str, Any] = yaml.safe_load(Client().get("/api/schema/").content)
    return served


def sent(document: dict[str, Any]) -> Iterator[Media]:
    """Return what operations take, each with its name."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for kind, media in operation.get("requestBody", {}).get("content", {}).items():
                yield f"{method} {path} {kind}", media


def answered(document: dict[str, Any], *, problems: bool) -> Iterator[Media]:
    """Return what operations answer with, each with its name."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            for status, response in operation["responses"].items():
                for kind, media in response.get("content", {}).items():
                    if (kind == PROBLEM) == problems and (path, status) not in WITHOUT:
                        yield f"{method} {path} {status} {kind}", media


def values(document: dict[str, Any], media: dict[str, Any]) -> list[Any]:
    """Return the examples of a medium."""
    if "example" in media:
        return [media["example"]]
    found = []
    for example in media.get("examples", {}).values():
        name = example.get("$ref", "").rpartition("/")[2]
        found.append((document["components"]["examples"][name] if name else example)["value"])
    return found


def flaws(document: dict[str, Any], media: dict[str, Any], *, omitted: str = "") -> list[str]:
    """Return what is wrong with the examples of a medium; members marked with `omitted` are not there."""
    resource: Resource[Any] = DRAFT202012.create_resource(_relaxed(document, omitted))
    registry: Registry[Any] = Registry().with_resource("urn:document", resource)
    schema = _absolute(_relaxed(media["schema"], omitted))
    validator = Draft202012Validator(schema, registry=registry, format_checker=Draft202012Validator.FORMAT_CHECKER)
    return [error.message for value in values(document, media) for error in validator.iter_errors(value)]


def _relaxed(node: Any, omitted: str) -> Any:
    """Return a schema in which members that only go the other way are not required."""
    if isinstance(node, list):
        return [_relaxed(item, omitted) for item in node]
    if not isinstance(node, dict):
        return node
    found = {name: _relaxed(item, omitted) for name, item in node.items()}
    members = found.get("properties")
    if omitted and isinstance(found.get("required"), list) and isinstance(members, dict):
        found["required"] = [name for name in found["required"] if not members.get(name, {}).get(omitted)]
    return found


def _absolute(node: Any) -> Any:
    if isinstance(node, list):
        return [_absolute(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        name: f"urn:document{item}" if name == "$ref" and item.startswith("#") else _absolute(item)
        for name, item in node.items()
    }


def test_every_operation_shows_what_it_takes(document: dict[str, Any]) -> None:
    found = dict(sent(document))
    assert len(found) > 20
    assert [name for name, media in found.items() if not values(document, media)] == []
    assert {name: wrong for name, media in found.items() if (wrong := flaws(document, media, omitted="readOnly"))} == {}


def test_every_operation_shows_what_it_answers_with(document: dict[str, Any]) -> None:
    found = dict(answered(document, problems=False))
    assert len(found) > 40
    assert [name for name, media in found.items() if not values(document, media)] == []
    assert {
        name: wrong for name, media in found.items() if (wrong := flaws(document, media, omitted="writeOnly"))
    } == {}


def test_every_operation_shows_its_problems_and_each_code_is_shown(document: dict[str, Any]) -> None:
    found = dict(answered(document, problems=True))
    assert [name for name, media in found.items() if not values(document, media)] == []
    assert {name: wrong for name, media in found.items() if (wrong := flaws(document, media))} == {}
    shown = {value["code"] for media in found.values() for value in values(document, media)}
    assert shown == {str(code) for code in Code}


def test_an_example_that_does_not_fit_its_schema_is_found(document: dict[str, Any]) -> None:
    media = document["paths"]["/api/specialties/"]["post"]["requestBody"]["content"]["application/json"]
    assert flaws(document, {**media, "example": {"name": 5}}, omitted="readOnly") == ["5 is not of type 'string'"]


def test_every_call_of_the_audit_api_takes_a_reason_and_says_what_is_left(document: dict[str, Any]) -> None:
    operations = {
        path: operation
        for path, item in document["paths"].items()
        if path.startswith("/api/audit/")
        for operation in item.values()
    }
    assert len(operations) > 3
    for operation in operations.values():
        assert [each["name"] for each in operation["parameters"] if each["in"] == "header"][-1] == "X-Audit-Reason"
        assert "429" in operation["responses"]
        for status, response in operation["responses"].items():
            assert "X-Request-ID" in response["headers"]
            assert (response["headers"].keys() >= LIMITS) == (status not in UNCOUNTED)


def test_every_call_of_the_audit_api_shows_each_of_its_errors_with_its_status(document: dict[str, Any]) -> None:
    audit = {
        name: {value["status"] for value in values(document, media)}
        for name, media in answered(document, problems=True)
        if name.split()[1].startswith("/api/audit/")
    }
    calls = {name.rsplit(maxsplit=2)[0] for name in audit}
    assert len(calls) == 17
    assert {f"{call} {status} {PROBLEM}" for call in calls for status in ERRORS} <= audit.keys()
    search = "post /api/audit/v1/events/search/"
    assert {f"{search} {status} {PROBLEM}" for status in ERRORS_OF_BODIES} <= audit.keys()
    assert {name: shown for name, shown in audit.items() if shown != {int(name.split()[2])}} == {}
