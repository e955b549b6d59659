"""What the OpenAPI document says of every operation."""

from __future__ import annotations

from typing import Any

from auditlog.api.problems import CONTENT_TYPE

METHODS = frozenset({"get", "put", "post", "delete", "patch"})
PROBLEM = {"content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}, "description": "A problem"}


def add_problems(result: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
    """Let every operation of the APIs answer with a problem where it does not name its errors itself."""
    for path, operations in result["paths"].items():
        for method in METHODS & operations.keys():
            responses = operations[method]["responses"]
            if not any(status.startswith("4") for status in responses) and path != "/api/schema/":
                responses["default"] = PROBLEM
    return result
