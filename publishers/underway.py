"""Statements that the server works on while this process does something else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import errors, generators
from psycopg.adapt import Transformer
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGresult

from publishers.sessions import SETTLE

Statement = tuple[str, dict[str, Any]]


class Underway:
    """
    Transactions on their way, one after the other; until `results` are taken, the connection can do nothing else.

    All are sent at once and answered at once. The first that fails ends them all, and leaves the connection unusable;
    those before it have committed.
    """

    def __init__(self, connection: psycopg.Connection[Any], *transactions: Sequence[Statement]) -> None:
        """
        Send them; does not wait.

        :raises psycopg.OperationalError: if the connection is lost.
        """
        self._connection = connection
        cursor = psycopg.ClientCursor(connection)
        sent = [[cursor.mogrify(query.encode(), values) for query, values in each] for each in transactions]
        text = "".join(f"BEGIN; {SETTLE}{';'.join(statements)}; COMMIT; " for statements in sent)
        connection.pgconn.send_query(text.encode())
        self.look()

    def look(self) -> None:
        """
        Take in what has come without waiting, so that the server does not have to wait for this process.

        :raises psycopg.OperationalError: if the connection is lost.
        """
        self._connection.pgconn.flush()
        self._connection.pgconn.consume_input()

    def results(self) -> list[PGresult]:
        """
        Wait, and return what the statements with rows returned, in their order.

        :raises psycopg.Error: the first error there was.
        """
        results = self._connection.wait(generators.execute(self._connection.pgconn))
        for result in results:
            if result.status == ExecStatus.FATAL_ERROR:
                raise errors.error_from_result(result, self._connection.info.encoding)
        return [result for result in results if result.status == ExecStatus.TUPLES_OK]

    def rows(self, result: PGresult, *, made: Any = tuple) -> list[Any]:
        """Return the rows of a result, each made of a tuple."""
        transformer = Transformer(self._connection)
        transformer.set_pgresult(result)
        return transformer.load_rows(0, result.ntuples, made)
