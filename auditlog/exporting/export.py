"""One export: its events, what it says of itself at the end, and the events that tell of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from auditlog import reads
from auditlog.access.redaction import redacted
from auditlog.access.rights import Rights
from auditlog.api.search import written
from auditlog.errors import AuditlogError
from auditlog.exporting.files import Digested, Sink
from auditlog.exporting.formats import Format
from auditlog.exporting.walk import walk
from auditlog.queries.compiler import Query
from auditlog.reads import Read

OPERATION = "audit_export"


class Stopped(AuditlogError):
    """Stopped before the end: what was written is not whole, and a file was not made."""


class State(StrEnum):
    """How far an export has come; `state` of its events."""

    BEGUN = "begun"  # before its first byte
    FINISHED = "finished"  # all is written; a file gets its name next
    BROKEN_OFF = "broken_off"  # stopped, or failed


@dataclass(frozen=True, slots=True)
class Export:
    """The events of a query at its pinned position, as one caller may see them."""

    query: Query
    rights: Rights
    format: Format
    reason: str
    # Whose rights these are; None: an operator's.
    username: str | None = None

    def write(self, sink: Sink, *, stop: threading.Event, progress: Callable[[int], None]) -> dict[str, Any]:
        """
        Write everything, and return what the end of the export says.

        The event that it began commits before the first byte, so that nothing leaves untold; the one that it has
        finished, with row count and digest, before the end is written.

        :raises Stopped: at a signal.
        :raises Unrecorded: if the event cannot be recorded.
        """
        self._tell(State.BEGUN)
        content, rows = Digested(sink), 0
        try:
            content.write(self.format.beginning())
            for events in walk(self.query, self.rights):
                _go_on(stop)
                content.write(self.format.lines(redacted(event, self.rights) for event in events))
                rows += len(events)
                progress(rows)
        except BaseException:
            self._tell(State.BROKEN_OFF, rows=rows)
            raise
        trailer = {"rows": rows, "sha256": content.sha256, **self.described()}
        self._tell(State.FINISHED, rows=rows, sha256=content.sha256)
        sink.write(self.format.ending(trailer))
        return trailer

    def described(self) -> dict[str, Any]:
        """Return what was asked for."""
        bounds = {"from": self.query.since, "to": self.query.until}
        return {
            "filter": written(self.query.filter),
            **{name: at.isoformat() if at is not None else None for name, at in bounds.items()},
            "position": None if self.query.pinned is None else self.query.pinned.to_text(),
            "policy_filters": list(self.rights.policy_filters),
        }

    def _tell(self, state: State, *, rows: int | None = None, sha256: str | None = None) -> None:
        read = Read(
            operation=OPERATION,
            principal=self.rights.principal,
            path="",
            asked={**self.described(), "as": self.username},
            rows=rows,
            reason=self.reason,
            exported=True,
        )
        told = {"state": str(state), "format": str(self.format), "sha256": sha256}
        reads.put(
            action=read.action,
            category=read.category,
            data={**read.data(), **told},
            reason=self.reason,
            operation=OPERATION,
            key=self.rights.principal,
        )


def _go_on(stop: threading.Event) -> None:
    if stop.is_set():
        raise Stopped
