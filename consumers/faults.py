"""What can go wrong in this package, and which errors of the database mean what."""

from __future__ import annotations

import psycopg
from django.db import Error as DjangoDatabaseError

# SQLSTATE class "program limit exceeded": a value that an index or a type cannot hold. psycopg counts it among the
# operational errors, but trying again would fail for ever.
LIMIT_EXCEEDED = "54"
DATABASE_ERRORS = (DjangoDatabaseError, psycopg.Error)


class ConsumerError(Exception):
    """Something in the consumer is wrong."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (self.__doc__ or "").strip())


class OffsetConflict(ConsumerError):
    """Another consumer has moved these partitions' offsets: nothing was stored; read the offsets again."""


class Unavailable(ConsumerError):
    """The database cannot store anything now: try again later."""


class ClientFailed(ConsumerError):
    """The Kafka client cannot go on: this process has to begin anew."""


class BrokersUnavailable(ConsumerError):
    """No Kafka broker answers: try again later."""


def is_data_error(error: BaseException) -> bool:
    """Tell whether `error` is the fault of the rows, so that trying again cannot help."""
    cause = driver_error(error)
    return isinstance(cause, psycopg.DataError | psycopg.IntegrityError) or (sqlstate(error) or "").startswith(
        LIMIT_EXCEEDED
    )


def sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE of a database error, where the server gave one."""
    cause = driver_error(error)
    return cause.sqlstate if isinstance(cause, psycopg.Error) else None


def driver_error(error: BaseException) -> BaseException:
    """Return the driver's error behind Django's."""
    if isinstance(error, psycopg.Error) or error.__cause__ is None:
        return error
    return driver_error(error.__cause__)


def described(error: BaseException) -> str:
    """Return which error it is without its text: PostgreSQL quotes the offending values."""
    cause = driver_error(error)
    parts = [type(cause).__name__]
    if isinstance(cause, psycopg.Error):
        diag = cause.diag
        parts += [cause.sqlstate or "", diag.constraint_name or "", diag.column_name or ""]
    return " ".join(part for part in parts if part)
