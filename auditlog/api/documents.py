"""What the OpenAPI document says of every operation: problems, examples, and what all calls of the audit API share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from auditlog.api import examples
from auditlog.api.problems import CONTENT_TYPE

METHODS = frozenset({"get", "put", "post", "delete", "patch"})
AUDIT_PREFIX = "/api/audit/"
SCHEMAS = "#/components/schemas/"
PROBLEM = {"content": {CONTENT_TYPE: {"schema": {"$ref": f"{SCHEMAS}Problem"}}}, "description": "A problem"}
REASON = {
    "in": "header",
    "name": "X-Audit-Reason",
    "schema": {"type": "string"},
    "description": "Why you ask; it stands in the event of this call.",
    "example": "Access review 2026-Q4",
}
LIMITS = {
    "RateLimit-Limit": "Tokens of a window.",
    "RateLimit-Remaining": "Tokens that are left.",
    "RateLimit-Reset": "Seconds until the next window.",
}
HEADERS = {name: {"schema": {"type": "integer"}, "description": text} for name, text in LIMITS.items()}
RETRY = {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait."}}
# Answered before it is known who calls, or in place of an answer that failed: without limits.
UNCOUNTED = frozenset({"406", "411", "413", "500"})
REQUEST_ID = {"X-Request-ID": {"schema": {"type": "string"}, "description": "Names the call in logs and events."}}
PAGES, PATCHES = "Paginated", "Patched"


def add_problems(result: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
    """Let every operation of the APIs answer with a problem where it does not name its errors itself."""
    for path, operation in _operations(result):
        responses = operation["responses"]
        if path.startswith(AUDIT_PREFIX):
            responses.setdefault("429", {**PROBLEM, "description": "Too many calls", "headers": RETRY})
        elif not any(status.startswith("4") for status in responses) and path != "/api/schema/":
            responses["default"] = PROBLEM
    return result


def add_calls(result: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
    """Describe what all calls of the audit API share: the reason that is given, limits, the request's id."""
    for path, operation in _operations(result):
        if path.startswith(AUDIT_PREFIX):
            operation.setdefault("parameters", []).append(REASON)
            for status, response in operation["responses"].items():
                limits = {} if status in UNCOUNTED else HEADERS
                response["headers"] = {**response.get("headers", {}), **limits, **REQUEST_ID}
    return result


def add_examples(result: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
    """Show each problem, and each shape of the audit API."""
    kept = result["components"].setdefault("examples", {})
    for _path, operation in _operations(result):
        for status, response in operation["responses"].items():
            shown = response.get("content", {}).get(CONTENT_TYPE)
            if shown is not None:
                response["content"] = {
                    **response["content"],
                    CONTENT_TYPE: {**shown, "examples": _problems(kept, status)},
                }
    return with_examples(result, components=examples.COMPONENTS, operations=examples.OPERATIONS)


def with_examples(
    result: dict[str, Any], *, components: Mapping[str, Any], operations: Mapping[tuple[str, str], Any]
) -> dict[str, Any]:
    """Add examples to bodies and answers, by operation and status ("body": what is sent) or by the shape's name."""
    schemas = result["components"]["schemas"]
    for _path, operation in _operations(result):
        name = operation["operationId"]
        for media in operation.get("requestBody", {}).get("content", {}).values():
            _add(media, operations.get((name, "body"), _example(media["schema"], components, schemas, "readOnly")))
        for status, response in operation["responses"].items():
            for kind, media in response.get("content", {}).items():
                if kind != CONTENT_TYPE:
                    value = _example(media["schema"], components, schemas, "writeOnly")
                    _add(media, operations.get((name, status), value))
    return result


def _operations(result: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, item in result["paths"].items():
        for method in METHODS & item.keys():
            yield path, item[method]


def _problems(kept: dict[str, Any], status: str) -> dict[str, Any]:
    """Return references to the examples of the problems of a status, and put these where they are kept."""
    found = {}
    for code, (statuses, _detail, _errors) in examples.PROBLEMS.items():
        if status == "default" or int(status) in statuses:
            of = statuses[0] if status == "default" else int(status)
            name = f"problem_{code}" if of == statuses[0] else f"problem_{code}_{of}"
            kept[name] = {"value": examples.problem(code, of)}
            found[str(code)] = {"$ref": f"#/components/examples/{name}"}
    return found


def _add(media: dict[str, Any], value: Any) -> None:
    if value is not None and "example" not in media and "examples" not in media:
        media["example"] = value


def _example(schema: dict[str, Any], components: Mapping[str, Any], schemas: dict[str, Any], hidden: str) -> Any:
    """Return the example of a schema, without the members that are not there in this direction; None: there is none."""
    if schema.get("type") == "array":
        item = _example(schema["items"], components, schemas, hidden)
        return None if item is None else [item]
    name = str(schema.get("$ref", "")).removeprefix(SCHEMAS)
    if name in components:
        return _without(components[name], schemas[name], hidden)
    if name.startswith(PATCHES):
        return _example({"$ref": SCHEMAS + name.removeprefix(PATCHES)}, components, schemas, hidden)
    if name.startswith(PAGES):
        items = _example(schemas[name]["properties"]["results"], components, schemas, hidden)
        return None if items is None else {"count": 1, "next": None, "previous": None, "results": items}
    return None


def _without(value: Any, schema: dict[str, Any], hidden: str) -> Any:
    if not isinstance(value, dict):
        return value
    members = schema.get("properties", {})
    return {name: inner for name, inner in value.items() if not members.get(name, {}).get(hidden)}
