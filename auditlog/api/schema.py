"""What the OpenAPI document says of the parameters and bodies of questions."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter

from auditlog.api import parameters, serializers
from auditlog.api.asked import DEFAULT_PAGE_SIZE, LARGEST_PAGE_SIZE
from auditlog.api.views.base import PROBLEMS, problems
from auditlog.queries.counts import CountKind
from auditlog.queries.filters import DEEPEST, MOST_CONDITIONS, MOST_VALUES_OF_TREE, Field
from auditlog.queries.sorting import COLUMNS

TEXT = OpenApiTypes.STR
ETAG = '"9f86d081884c7d659a2feaa0c55ad015"'
MEANINGS = {
    Field.ACTOR: "The id of who acted.",
    Field.ACTOR_TYPE: "`user`, `api_key`, `command`, `system` or `anonymous`.",
    Field.ON_BEHALF_OF: "The id of whom the actor acted for.",
    Field.ACTION: "Repeated or separated by commas; one that ends with `*` stands for all that begin so.",
    Field.CATEGORY: "`read`, `write`, `admin`, `security`; repeated or separated by commas.",
    Field.MODEL: "`app_label.model`, or `app_label.*`.",
    Field.OBJECT: "The primary key as text.",
    Field.OBJECT_REPR: "What the object was called; one that ends with `*` stands for all that begin so.",
    Field.SUBJECT: "Whom the event is about: `doctors.patient:42`.",
    Field.LABEL: "Where the event belongs: `department:3`.",
    Field.IP: "The client's address, or a network: `192.0.2.0/24`.",
    Field.REQUEST: "The request's id.",
    Field.SESSION: "The session's digest, as events show it.",
    Field.TRACE: "The trace's id, 32 hexadecimal digits.",
    Field.TRANSACTION: "The number of the database transaction.",
    Field.REASON: "The reason that was given; one that ends with `*` stands for all that begin so.",
}
OTHERS = {
    "changed_field": "The name of a field that the event changed.",
    "q": "Words, each of which begins a word of the object's name, the actor's name, the reason, action or model.",
}
SEVERAL = {str(name) for name in parameters.REPEATABLE}


def _conditions(names: dict[Any, str]) -> list[OpenApiParameter]:
    found = []
    for name, meaning in names.items():
        several = str(name) in SEVERAL
        found.append(OpenApiParameter(str(name), TEXT, many=several, description=meaning))
        negation = f"Leaves out the events that `{name}` would choose."
        found.append(OpenApiParameter(f"{parameters.NEGATION}{name}", TEXT, many=several, description=negation))
    return found


VALUES = [
    OpenApiParameter(
        name, TEXT, description=f"The {name} value of `changed_field`: a text, or a number or word of JSON."
    )
    for name in ("old", "new")
]
FILTERS = _conditions({**MEANINGS, **OTHERS}) + VALUES
FILTERS_OF_OBJECT = [parameter for parameter in FILTERS if parameter.name in parameters.TIMELINE]
COUNT = OpenApiParameter(
    "count",
    {"type": "string", "enum": [str(kind) for kind in CountKind]},
    description="How to count what the filter chooses; `none` by default.",
)
SORTING = [
    OpenApiParameter(
        "sort",
        {"type": "string", "enum": [f"{sign}{name}" for name in COLUMNS for sign in ("-", "")]},
        description="`-occurred_at` by default. Only times and sequences have an index.",
    ),
    COUNT,
]
WINDOW = [
    OpenApiParameter("from", OpenApiTypes.DATETIME, description="From this time on; needs an offset."),
    OpenApiParameter("to", OpenApiTypes.DATETIME, description="Up to and without this time; needs an offset."),
]
PAGING = [
    *WINDOW,
    OpenApiParameter(
        "page_size",
        {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE_SIZE},
        description=f"{DEFAULT_PAGE_SIZE} by default.",
    ),
    OpenApiParameter("cursor", TEXT, description="Out of `next` or `previous`; bound to the filters and the caller."),
    OpenApiParameter(
        "fields", TEXT, description="The members of each event, separated by commas; else those of a list."
    ),
    OpenApiParameter(
        "include", TEXT, description=f"Members beyond those of a list: {', '.join(serializers.INCLUDED_FIELDS)}."
    ),
]
PAGE = {(200, "application/json"): serializers.EventPageSerializer, **PROBLEMS}
SEARCHED = {**PAGE, **problems(411, 413, 415)}
FEED_PARAMETERS = [
    OpenApiParameter(
        "after", TEXT, description="`after` of the last answer, or `beginning`; without it the feed begins now."
    ),
    OpenApiParameter(
        "wait",
        {"type": "integer", "minimum": 0, "maximum": parameters.LONGEST_WAIT_SECONDS},
        description="Seconds to wait where nothing is stored yet; 0 by default. Less where too many wait already.",
    ),
    OpenApiParameter(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE_SIZE},
        description=f"{DEFAULT_PAGE_SIZE} by default.",
    ),
    *(parameter for parameter in PAGING if parameter.name in parameters.SHAPE),
]
FEED = {
    (200, "application/json"): serializers.FeedSerializer,
    **problems(409),
    **PROBLEMS,
}
# Of what never changes.
KEPT = [
    OpenApiParameter(
        "If-None-Match",
        TEXT,
        "header",
        description="ETags of answers that you have, or `*`: the answer to one of them is 304.",
        examples=[OpenApiExample("etag", ETAG)],
    ),
    OpenApiParameter(
        "ETag",
        TEXT,
        "header",
        response=[200, 304],
        description="Names this answer, which never changes.",
        examples=[OpenApiExample("etag", ETAG)],
    ),
]
FILTER: dict[str, Any] = {
    "type": "object",
    "description": (
        f"At most {DEEPEST} levels, {MOST_CONDITIONS} conditions and {MOST_VALUES_OF_TREE} values. One of: `and`, `or` "
        "(arrays of filters), `not` (a filter); `field` with `is`, `in`, `prefix` or (ip) `within`; `changed` with "
        "`old`, `new`, `old_in`, `new_in`; "
        "`text`."
    ),
    "additionalProperties": True,
}
SEARCH_BODY: dict[str, Any] = {
    "application/json": {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "filter": FILTER,
            "from": {"type": "string", "format": "date-time"},
            "to": {"type": "string", "format": "date-time"},
            "sort": {"type": "string"},
            "page_size": {"type": "integer", "minimum": 1, "maximum": LARGEST_PAGE_SIZE},
            "fields": {"type": "array", "items": {"type": "string", "enum": serializers.DETAIL_FIELDS}},
            "include": {"type": "array", "items": {"type": "string", "enum": serializers.INCLUDED_FIELDS}},
            "count": {"type": "string", "enum": [str(kind) for kind in CountKind]},
        },
    }
}
