"""`python -m bench.writer RATE`: creates so many rows a second, as several people, until it is asked to stop."""

from __future__ import annotations

import itertools
import signal
import sys
import threading
import time
import uuid
from typing import Any

import django

ROWS_PER_COMMIT = 50
# Family names of `history.sql`: what is searched for goes on happening.
ACTORS = (
    *("kowalczyk", "lindqvist", "nakagawa", "okonkwo", "quintero"),
    *("rosengarten", "trevelyan", "underhill", "winterbourne", "yamada"),
)


def main() -> int:
    """Write at the rate; a slow machine writes less, and never more afterwards to catch up."""
    django.setup()
    # Models cannot be imported before.
    from auditlog.context import set_actor
    from bench.models import Audited

    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stopping.set())
    pause = ROWS_PER_COMMIT / float(sys.argv[1])
    due = time.monotonic()
    rows: Any = Audited._default_manager
    actors = itertools.cycle(ACTORS)
    while not stopping.wait(max(0.0, due - time.monotonic())):
        with set_actor(next(actors)):
            rows.bulk_create([_new(Audited) for _ in range(ROWS_PER_COMMIT)])
        due = max(due + pause, time.monotonic() - 1)
    return 0


def _new(model: Any) -> Any:
    from bench.operations import new

    row = new(model)
    # Other processes number their rows, too.
    row.email = f"{uuid.uuid4()}@example.org"
    return row


if __name__ == "__main__":
    sys.exit(main())
