"""Accounts that outlast the server that they are asked of."""

from __future__ import annotations

from typing import Any

import psycopg

from tests.acceptance.pipeline.books import Books, Published

# The headers that scenarios look at: of a million records, all would be gigabytes.
KEPT_HEADERS = frozenset({"ce_id", "ce_later"})


class LastingBooks(Books):
    """Books that ask again where the connection was lost: a scenario may have restarted the server."""

    def query(self, statement: str, *parameters: Any) -> list[dict[str, Any]]:
        """Return the rows of a statement."""
        try:
            return super().query(statement, *parameters)
        except psycopg.OperationalError:
            self.close()
            return super().query(statement, *parameters)

    def kept(self, record: Published) -> Published:
        """Return a record without what nobody looks at."""
        return record._replace(headers={name: text for name, text in record.headers.items() if name in KEPT_HEADERS})
