"""Examples of the OpenAPI document, written by hand: of each problem, and of each shape of the audit API."""

from __future__ import annotations

from typing import Any

from auditlog.api.problems import TYPES, Code

REQUEST_ID = "0f6e4c1b9d8a4e7f8a52c3d1b7e90a64"
EVENT_ID = "019ab0c2-7c1e-7e0a-8d1e-3b1f0d6a2c11"
SERVICE = "https://audit.example.org"
WINDOW = {"from": "2026-10-24T09:10:00Z", "to": "2026-11-23T09:10:00Z", "applied": "default-30-days"}
ACTOR = {"id": "7", "repr": "m.okonkwo", "type": "user", "on_behalf_of": None}

# Code -> statuses, detail, errors.
PROBLEMS: dict[Code, tuple[tuple[int, ...], str, list[dict[str, str]]]] = {
    Code.INVALID_FILTER: (
        (400,),
        "1 value(s) cannot be accepted; `errors` names each.",
        [
            {
                "pointer": "/from",
                "code": "invalid_datetime",
                "detail": "Write an ISO 8601 time from 1971 to 9000 with an offset: 2026-11-23T09:05:00Z (+ as %2B).",
            }
        ],
    ),
    Code.INVALID_CURSOR: (
        (400,),
        "The cursor is not valid for this caller and these filters: start again without it.",
        [],
    ),
    Code.INVALID_BODY: (
        (400, 411),
        "1 value(s) cannot be accepted; `errors` names each.",
        [{"pointer": "/name", "code": "required", "detail": "This field is required."}],
    ),
    Code.NOT_AUTHENTICATED: ((401,), "Authentication credentials were not provided.", []),
    Code.PERMISSION_DENIED: ((403,), "You do not have permission to perform this action.", []),
    Code.REASON_REQUIRED: (
        (403,),
        "Say why you ask, in the header X-Audit-Reason: you would see values of restricted classes.",
        [],
    ),
    Code.NOT_FOUND: ((404,), "Not found.", []),
    Code.METHOD_NOT_ALLOWED: ((405,), 'Method "DELETE" not allowed.', []),
    Code.UNSUPPORTED_MEDIA_TYPE: ((406, 415), "Could not satisfy the request Accept header.", []),
    Code.CONFLICT: ((409,), "The row is still referred to.", []),
    Code.GONE: ((410,), "The object had been deleted: `event` did it. Ask about an earlier instant.", []),
    Code.POSITION_AHEAD: (
        (409,),
        "Less is stored than this position has seen: begin with after=beginning, and leave out what you have.",
        [],
    ),
    Code.PAYLOAD_TOO_LARGE: ((413,), "The body is larger than this service accepts.", []),
    Code.THROTTLED: ((429,), "Request was throttled. Expected available in 42 seconds.", []),
    Code.UNAVAILABLE: ((503, 500), "A database does not answer at the moment: try again later.", []),
    Code.TOO_EXPENSIVE: (
        (400,),
        "The question takes too long to answer: choose a shorter window or a narrower filter.",
        [],
    ),
    Code.CONTENT_PENDING: ((503,), "The content of this value has not arrived completely: try again later.", []),
}

# What a code says at another status than its first; there is nothing to point at.
OTHER_DETAILS = {
    (Code.INVALID_BODY, 411): "Send a Content-Length: a body in chunks is not read.",
    (Code.UNSUPPORTED_MEDIA_TYPE, 415): 'Unsupported media type "text/plain" in request.',
    (Code.UNAVAILABLE, 500): "The service failed to answer; the failure was logged.",
}

EVENT: dict[str, Any] = {
    "event_id": EVENT_ID,
    "occurred_at": "2026-11-23T09:05:00.000001Z",
    "stored_at": "2026-11-23T09:05:00.412345Z",
    "model": "doctors.doctor",
    "object_pk": "17",
    "object_repr": "Dr Ada Byron",
    "action": "update",
    "category": "write",
    "changes": {"email": ["a@example.org", "b@example.org"]},
    "m2m": None,
    "data": None,
    "actor": ACTOR,
    "request_id": REQUEST_ID,
    "transaction_id": "774",
    "remote_addr": "192.0.2.7",
    "reason": None,
    "sequence": "00000001:00000000000000004711",
    "redacted": [],
}
DETAIL: dict[str, Any] = {
    **EVENT,
    "before": {"id": 17, "email": "a@example.org", "tax_id": "***"},
    "after": {"id": 17, "email": "b@example.org", "tax_id": "***"},
    "context": {"request_id": REQUEST_ID, "method": "PATCH", "path": "/api/doctors/17/", "remote_addr": "192.0.2.7"},
    "masked": ["tax_id"],
    "topic": "audit.doctors.doctor",
    "partition": 3,
    "offset": 4711,
    "session": None,
    "trace_id": None,
    "schema_version": "doctors.doctor:3f9c2a",
    "subjects": ["doctors.doctor:17"],
    "labels": ["department:3"],
    "changed_fields": ["email"],
}
PAGE: dict[str, Any] = {
    "results": [EVENT],
    "next": f"{SERVICE}/api/audit/v1/events/?cursor=WyI1ZjA1Il0:1vNq",
    "previous": None,
    "window": WINDOW,
    "count": None,
    "policy_filters": [],
}
CALL = {
    **EVENT,
    "model": "auditlog.system",
    "object_pk": "api_key:0a1b2c3d4e5f",
    "object_repr": "audit-timeline",
    "action": "audit_log_read",
    "category": "read",
    "changes": None,
    "data": {
        "operation": "audit-timeline",
        "principal": "api_key:0a1b2c3d4e5f",
        "method": "GET",
        "path": "/api/audit/v1/objects/doctors.patient/42/timeline/",
        "asked": {"filter": {"field": "object_pk", "in": ["42"]}, "sort": "-sequence", "page_size": 100},
        "rows": 12,
        "status": 200,
        "code": None,
    },
    "actor": {**ACTOR, "type": "api_key"},
    "reason": "Access review 2026-Q4",
}
FEED = {
    "results": [DETAIL],
    "next": f"{SERVICE}/api/audit/v1/feed/?wait=20&after=WyI5YzQxIl0:1vNq",
    "after": "WyI5YzQxIl0:1vNq",
    "has_more": False,
    "policy_filters": [],
}

DEED = {
    "event_id": EVENT_ID,
    "sequence": "00000001:00000000000000004711",
    "occurred_at": "2026-11-23T09:05:00.000001Z",
    "action": "update",
    "actor": ACTOR,
    "reason": "Moved to another ward",
    "request_id": REQUEST_ID,
    "transaction_id": "774",
}
OBJECT = {"model": "doctors.doctor", "object_pk": "17", "policy_filters": []}
STATE = {
    **OBJECT,
    "object_repr": "Dr Ada Byron",
    "at": "2026-11-23T12:00:00Z",
    "event": DEED,
    "is_before_the_log": False,
    "moved_from": None,
}
SET_BY = {"column": "department_id", "origin": "event", "set_by": DEED}
MEMBER = {
    "target": "3",
    "target_repr": "Cardiology",
    "links": 1,
    "through": None,
    "origin": "event",
    "added_by": DEED,
}
AS_OF = {
    **STATE,
    "fields": {"department": {**SET_BY, "value": 3}},
    "memberships": {"specialties": {"target_model": "doctors.specialty", "members": [MEMBER]}},
    "redacted": [],
}
SIDE = {"at": "2026-11-23T09:00:00Z", "exists": True, "event": DEED, "is_before_the_log": False}
DIFF = {
    **OBJECT,
    "from": SIDE,
    "to": {**SIDE, "at": "2026-11-23T12:00:00Z"},
    "changes": {"department": {"old": 2, "new": 3, "origin": "event", "set_by": DEED}},
    "appeared": [],
    "disappeared": [],
    "memberships": {
        "specialties": {"target_model": "doctors.specialty", "added": [MEMBER], "removed": [], "changed": []}
    },
    "redacted": [],
}
VIEWER = {
    "actor": ACTOR,
    "first_at": "2026-11-23T09:05:00Z",
    "last_at": "2026-11-23T11:40:00Z",
    "count": 3,
    "actions": ["access"],
    "reasons": ["Ward round"],
    "is_cut": False,
}
TALLY = {
    "count": 1,
    "first_at": "2026-11-23T09:05:00.000001Z",
    "last_at": "2026-11-23T09:05:00.000001Z",
    "actions": {"update": 1},
    "categories": {"write": 1},
    "addresses": ["192.0.2.7"],
}
DAY_WINDOW = {"from": "2026-11-23T00:00:00Z", "to": "2026-11-24T00:00:00Z", "applied": "requested"}
ACTIVITY = {
    **PAGE,
    "next": None,
    "window": DAY_WINDOW,
    "policy_filters": [],
    "actor_id": "7",
    "timezone": "UTC",
    "summary": {
        "total": TALLY,
        "days": [{"date": "2026-11-23", **TALLY, "sessions": [{"session": "sha256:9f86d081884c7d65", **TALLY}]}],
        "is_cut": False,
    },
}
UNIT = {
    **PAGE,
    "next": None,
    "window": {"from": None, "to": None, "applied": "all"},
    "policy_filters": [],
    "request_id": REQUEST_ID,
    "summary": {
        "count": 1,
        "first_at": "2026-11-23T09:05:00.000001Z",
        "last_at": "2026-11-23T09:05:00.000001Z",
        "actors": [ACTOR],
        "actions": {"update": 1},
        "objects": [
            {"model": "doctors.doctor", "object_pk": "17", "object_repr": "Dr Ada Byron", "actions": {"update": 1}}
        ],
        "sources": [{"name": "audit", "database": "clinic", "timeline": "00000001"}],
        "is_ambiguous": False,
        "is_cut": False,
    },
}

# By the name of the schema.
COUNTED = {
    "count": {"value": 4711, "kind": "exact", "counted_from": None},
    "source": "rollup",
    "window": WINDOW,
    "policy_filters": [],
}
FACET = {"results": [{"value": "7", "name": "m.okonkwo", "count": 1204}], "values": 38, "others": 3507}
HISTOGRAM = {
    "bucket": "day",
    "tz": "Europe/Vienna",
    "buckets": [{"from": "2026-11-22T00:00:00+01:00", "to": "2026-11-23T00:00:00+01:00", "count": 311}],
    **COUNTED,
}
COMPONENTS: dict[str, Any] = {
    "Event": EVENT,
    "EventDetail": DETAIL,
    "EventPage": PAGE,
    "Feed": FEED,
    "Histogram": HISTOGRAM,
    "Top": {"by": "actor", **FACET, **COUNTED},
    "Facets": {"facets": {"actor": FACET}, **COUNTED},
    "AsOf": AS_OF,
    "Blame": {**STATE, "fields": {"department": SET_BY}},
    "Diff": DIFF,
    "Viewers": {**OBJECT, "window": UNIT["window"], "viewers": [VIEWER], "is_cut": False},
    "ActivityPage": ACTIVITY,
    "UnitPage": UNIT,
}
# Where a schema has no name, or its example would not do: by operation and status, "body" for what is sent.
OPERATIONS: dict[tuple[str, str], Any] = {
    ("audit_access_log", "200"): {
        **PAGE,
        "results": [CALL],
        "next": f"{SERVICE}/api/audit/v1/access-log/?cursor=WyI1ZjA1Il0:1vNq",
    },
    ("audit_events_search", "body"): {
        "filter": {
            "and": [
                {"field": "model", "is": "doctors.doctor"},
                {"changed": "email", "old": "a@example.org"},
                {"not": {"field": "actor", "in": ["7", "8"]}},
            ]
        },
        "from": "2026-10-24T09:10:00Z",
        "sort": "-occurred_at",
        "page_size": 50,
        "count": "capped",
    },
    ("audit_event_value", "200"): "The whole biography, all 70,002 bytes of it …",
}


# Members of one kind of problem.
MORE: dict[Code, dict[str, Any]] = {
    Code.GONE: {"event": {**DEED, "action": "delete"}, "moved_to": None, "policy_filters": []}
}


def problem(code: Code, status: int) -> dict[str, Any]:
    """Return the example of a problem."""
    _statuses, detail, errors = PROBLEMS[code]
    if (code, status) in OTHER_DETAILS:
        detail, errors = OTHER_DETAILS[code, status], []
    return {
        "type": TYPES + code.replace("_", "-"),
        "title": "Internal error" if status == 500 else code.replace("_", " ").capitalize(),  # noqa: PLR2004
        "status": status,
        "detail": detail,
        "code": str(code),
        "errors": errors,
        "request_id": REQUEST_ID,
        **MORE.get(code, {}),
    }
