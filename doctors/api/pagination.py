"""Numbered pages in the order of the primary key, or in the order that was asked for."""

from __future__ import annotations

from typing import Any

from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.pagination import PageNumberPagination
from rest_framework.request import Request

DEFAULT_PAGE_SIZE = 50
LARGEST_PAGE_SIZE = 500


class Pages(PageNumberPagination):
    """Refuses a page size out of range: an answer that is shorter than asked for would pass for a complete one."""

    page_size = DEFAULT_PAGE_SIZE
    max_page_size = LARGEST_PAGE_SIZE
    page_size_query_param = "page_size"

    def get_page_size(self, request: Request) -> int | None:
        """Return the number of rows of a page."""
        asked: Any = request.query_params.get("page_size")
        if asked is None:
            return self.page_size
        if not (asked.isascii() and asked.isdigit() and len(asked) <= len(str(LARGEST_PAGE_SIZE))):
            asked = "0"
        if not 1 <= int(asked) <= LARGEST_PAGE_SIZE:
            detail = ErrorDetail(f"A page holds 1 to {LARGEST_PAGE_SIZE} rows.", code="invalid_page_size")
            raise ValidationError({"page_size": [detail]})
        return int(asked)

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the shape of a page; the framework's says `nullable`, which OpenAPI 3.1 dropped."""
        page: dict[str, Any] = super().get_paginated_response_schema(schema)
        for name in ("next", "previous"):
            link = page["properties"][name]
            page["properties"][name] = {**link, "type": ["string", "null"]}
            del page["properties"][name]["nullable"]
        return page
