"""Interleaved rounds: each candidate once in every round, in a random order, so that noise meets all alike."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from django.db import connection, transaction

Run = Callable[[], object]
T = TypeVar("T")
# Rounds that are thrown away: caches fill, plans and connections are made.
WARM_UP_ROUNDS = 2
# The first number is the nanoseconds that a process was on a processor (Linux).
SCHEDULER = "/proc/{}/schedstat"
NANOSECOND = 1e-9


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some figures, and their extremes."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    def scaled(self, factor: float) -> Spread:
        """Return it in another unit."""
        return Spread(self.median * factor, self.low * factor, self.high * factor)

    def text(self, digits: int) -> str:
        """Return `median (low to high)`."""
        return f"{self.median:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


@dataclass(frozen=True, slots=True)
class Cost:
    """The mean seconds of one run: on the clock, and on a processor in this process and in the database's."""

    seconds: float
    client_cpu: float
    server_cpu: float

    @property
    def cpu(self) -> float:
        """Processor time on both sides: what other load on the machine changes least."""
        return self.client_cpu + self.server_cpu


def interleaved(
    candidates: Mapping[str, Callable[[], T]], *, rounds: int, warm_up: int = WARM_UP_ROUNDS
) -> dict[str, list[T]]:
    """Call every candidate once in each round and return what each said, without the first `warm_up` rounds."""
    order = list(candidates)
    shuffled = random.Random(0)
    figures: dict[str, list[T]] = {name: [] for name in candidates}
    for number in range(warm_up + rounds):
        shuffled.shuffle(order)
        for name in order:
            figure = candidates[name]()
            if number >= warm_up:
                figures[name].append(figure)
    return figures


def ratios(candidate: Sequence[float], reference: Sequence[float]) -> Spread:
    """Return the spread of the ratios within each round."""
    return Spread.of([one / other for one, other in zip(candidate, reference, strict=True)])


def cost_of(runs: Sequence[Run], *, in_transaction: bool) -> Cost:
    """Return the cost of a run: each its own transaction, or all in one, whose BEGIN and COMMIT count."""
    connection.ensure_connection()
    server = connection.connection.info.backend_pid
    server_cpu, client_cpu, started = on_processor(server), time.process_time(), time.perf_counter()
    with transaction.atomic() if in_transaction else nullcontext():
        for run in runs:
            run()
    seconds = time.perf_counter() - started
    client_cpu, server_cpu = time.process_time() - client_cpu, on_processor(server) - server_cpu
    count = len(runs)
    return Cost(seconds / count, client_cpu / count, server_cpu / count)


def on_processor(pid: int) -> float:
    """Return the seconds that a process has been on a processor."""
    return int(Path(SCHEDULER.format(pid)).read_text(encoding="ascii").split()[0]) * NANOSECOND
