"""The peers' process, from this side: other libraries that do the same operations in turn with ours."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from bench.operations import Operation
from bench.stack import ROOT, Stack
from bench.timing import Cost
from devstack.errors import DevstackError

PEERS = ("django-auditlog", "pghistory")
# Made by `make bench`: one of the peers is called `auditlog`, and cannot be imported beside ours.
INTERPRETER = ROOT / ".venv-peers" / "bin" / "python"
WORKER = Path(__file__).parent / "peers" / "worker.py"
DATABASE = "bench_peers"


class Peers:
    """Asks the peers' process, one request at a time."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._answer()

    def costs(self, operation: Operation, *, in_transaction: bool) -> dict[str, Callable[[], Cost]]:
        """Return for each peer what measures one block of the operation."""
        return {peer: partial(self._cost, peer, operation.name, in_transaction) for peer in PEERS}

    def tidy(self) -> None:
        """Remove what operations added."""
        self._ask(tidy=True)

    def _cost(self, peer: str, operation: str, in_transaction: bool) -> Cost:
        return Cost(**self._ask(peer=peer, operation=operation, in_transaction=in_transaction))

    def _ask(self, **request: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as exc:
            raise DevstackError("The peers' process ended: its last words are above.") from exc
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        """
        Return the next answer.

        :raises DevstackError: if the process ended instead; what it said is on standard error.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise DevstackError("The peers' process ended: its last words are above.")
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextmanager
def running_peers(stack: Stack) -> Iterator[Peers | None]:
    """Run the peers' process for the length of a block, on a database of its own; None where it is not installed."""
    if not INTERPRETER.exists():
        stack.say(
            f"other libraries are not measured: there is no {INTERPRETER.relative_to(ROOT)} (make bench makes it)"
        )
        yield None
        return
    stack.say("preparing the other libraries")
    url = stack.make_database(DATABASE)
    process = subprocess.Popen(
        [INTERPRETER, "-P", WORKER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "DATABASE_URL": url},
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            yield Peers(process)
        finally:
            process.terminate()
