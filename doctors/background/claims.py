"""
Who works on a task: a lock that ends with its worker, however that ends.

The lock belongs to a transaction that is open for as long as the task runs, on a connection of its own. So it works
behind PgBouncer, needs no heartbeat, and comes free the moment the worker's process is gone. A transaction that waits
between statements holds no snapshot: it keeps VACUUM from nothing.
"""

from __future__ import annotations

import uuid
from contextlib import suppress

from django.db import DatabaseError, InterfaceError, connections
from django.db.backends.base.base import BaseDatabaseWrapper

# Nobody else may end the waiting transaction, and the server notices a machine that vanished without a word. Whether
# the lock was free. A hash, because advisory locks are numbers; a collision lets a task wait for another one.
TAKE = """
SELECT set_config('idle_in_transaction_session_timeout', '0', true),
       set_config('tcp_keepalives_idle', '10', true), set_config('tcp_keepalives_interval', '5', true),
       set_config('tcp_keepalives_count', '3', true),
       pg_try_advisory_xact_lock(hashtextextended('task ' || %s, 0))
"""
# Whether nobody works on a task; the lock is kept until the asking transaction ends.
IS_FREE = "SELECT pg_try_advisory_xact_lock(hashtextextended('task ' || %s, 0))"


class Claim:
    """Holds one task at a time."""

    def __init__(self, using: str) -> None:
        self._connection: BaseDatabaseWrapper = connections.create_connection(using)

    def take(self, task_id: uuid.UUID) -> bool:
        """
        Hold a task from now on; False where another worker still holds it.

        :raises django.db.DatabaseError: if the database is away.
        """
        self._connection.ensure_connection()
        self._connection.set_autocommit(False)
        with self._connection.cursor() as cursor:
            cursor.execute(TAKE, [str(task_id)])
            taken = bool(cursor.fetchone()[-1])
        if not taken:
            self.release()
        return taken

    def release(self) -> None:
        """Let go of the task; nothing happens where none is held."""
        if self._connection.connection is None:
            return
        try:
            self._connection.rollback()
            self._connection.set_autocommit(True)
        except (DatabaseError, InterfaceError):
            # The connection broke, and the lock with it.
            self.close()

    def close(self) -> None:
        """Let go of the task and of the connection."""
        with suppress(DatabaseError, InterfaceError):
            self._connection.close()


def is_free(task_id: uuid.UUID, using: str) -> bool:
    """Tell whether nobody works on a task, and keep it so until the current transaction ends."""
    with connections[using].cursor() as cursor:
        cursor.execute(IS_FREE, [str(task_id)])
        return bool(cursor.fetchone()[0])
