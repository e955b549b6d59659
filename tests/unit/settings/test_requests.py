"""The entry points' requests: a header that Django cannot parse reaches the service all the same."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.test import AsyncRequestFactory, RequestFactory

from settings.requests import TolerantASGIRequest, TolerantWSGIHandler, TolerantWSGIRequest

GARBAGE = ["text/plain; a*=nonsense''x", "application/json; charset=\x00", "application/json; charset*=nonsense'y'z"]


@pytest.mark.parametrize("content_type", GARBAGE)
def test_a_content_type_that_cannot_be_parsed_is_none(content_type: str) -> None:
    environ = RequestFactory().get("/").environ | {"CONTENT_TYPE": content_type}
    asynchronous: Any = AsyncRequestFactory().get("/")
    scope = asynchronous.scope | {"headers": [(b"content-type", content_type.encode("latin-1"))]}

    for request in (TolerantWSGIRequest(environ), TolerantASGIRequest(scope, io.BytesIO())):
        assert request.content_type == request.META["CONTENT_TYPE"] == ""
        assert request.GET == {}


@pytest.mark.parametrize("content_type", GARBAGE)
def test_the_service_answers_it(content_type: str) -> None:
    answered: list[str] = []
    environ = RequestFactory().get("/api/nothing/").environ | {"CONTENT_TYPE": content_type}

    handler: Any = TolerantWSGIHandler()
    answer = handler(environ, lambda status, headers: answered.append(status))

    assert answered == ["404 Not Found"]
    assert json.loads(b"".join(answer))["code"] == "not_found"
    answer.close()


def test_an_ordinary_content_type_is_kept() -> None:
    environ = RequestFactory().get("/").environ | {"CONTENT_TYPE": "application/json; charset=utf-8"}

    request = TolerantWSGIRequest(environ)
    assert (request.content_type, request.content_params) == ("application/json", {"charset": "utf-8"})
