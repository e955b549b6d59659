"""
The proof that never ends: each round compares the minutes that have passed since the last one.

A minute is compared soon after it has passed, and once more after the last transaction that could add to it has ended,
where one was running then. What was equal is remembered, and is looked at again in turn, an hour of it each round.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import takewhile

import structlog

from auditlog import topics
from auditlog.partitions import EPOCH
from auditlog.queries import accounts
from auditlog.queries.accounts import Cell, Mark, Sum, Window, minute_of
from consumers import metrics
from consumers.reconciliation.chains import Chains
from consumers.reconciliation.comparison import Compared, Difference, Sides, slices
from consumers.reconciliation.memory import Memory, Progress, Totals
from consumers.reconciliation.stored import stored

log = structlog.get_logger(__name__)

# So long an event may be on its way before its minute is compared.
GRACE = timedelta(minutes=1)
# Topics and minutes that differ are looked at again, so many in a round.
LOOKED_AT_AGAIN = 500
# What was equal is looked at again, so much in a round, whichever is less.
SWEPT = timedelta(hours=1)
SWEPT_EVENTS = 100_000
# Marks that wait for old transactions: one a round at most.
MARKS = 1_000
# Ids of a topic and minute that one line of the log names.
NAMED = 100


@dataclass(slots=True)
class Rounds:
    """The continuous comparison. Not safe for more than one thread; two processes do the same work twice."""

    sides: Sides
    memory: Memory
    grace: timedelta = GRACE
    # Asked between two parts of a round: whether to go on.
    may_go_on: Callable[[], bool] = lambda: True
    _marks: deque[Mark] = field(default_factory=lambda: deque(maxlen=MARKS))
    _closed: datetime | None = None
    _said: dict[Cell, tuple[int, int]] = field(default_factory=dict)

    def run(self) -> Progress:
        """
        Compare what has passed, and set the metrics.

        :raises django.db.DatabaseError: if a database is away; what was compared by then is remembered.
        """
        started = time.perf_counter()
        now = self._note_transactions()
        progress = self.memory.progress() or self._first(now)
        until = max(minute_of(now - self.grace), progress.compared_until)
        progress = self._compare(progress, Window(progress.compared_until, until), is_last=False)
        closed = min(minute_of(self._closed or progress.closed_until), until)
        progress = self._compare(progress, Window(progress.closed_until, closed), is_last=True)
        self._look_again()
        progress = self._check_chains(progress)
        progress = self._sweep(progress)
        self.memory.save(progress)
        self._measure(progress, time.perf_counter() - started)
        return progress

    def disconnect(self) -> None:
        """Close the connections, so that the next round makes new ones."""
        self.sides.source.close()
        self.sides.read_model.close()

    def _note_transactions(self) -> datetime:
        """Take a mark, and see which earlier marks no transaction is older than."""
        mark = accounts.mark(self.sides.source)
        self._marks.append(mark)
        running = accounts.oldest_running(self.sides.source)
        while self._marks and running >= self._marks[0].transaction:
            self._closed = self._marks.popleft().at
        return mark.at

    def _first(self, now: datetime) -> Progress:
        begin = minute_of(accounts.oldest(self.sides.source) or now)
        begin = max(begin, accounts.accounted_since(self.sides.source) or begin)
        return Progress(begin, begin, begin, begin)

    def _compare(self, progress: Progress, window: Window, *, is_last: bool) -> Progress:
        """Compare a window hour by hour, remembering after each how far it came."""
        for part in takewhile(lambda _: self.may_go_on(), slices(window)):
            # Twice only where something may have been added since.
            is_closed = is_last or (self._closed is not None and self._closed >= part.until)
            for compared in self.sides.compare(part):
                self._settle(compared, is_closed=is_closed)
            if is_last or (is_closed and progress.closed_until >= part.since):
                progress = progress.to(closed_until=max(progress.closed_until, part.until))
            progress = progress.to(compared_until=max(progress.compared_until, part.until))
            self.memory.save(progress)
        return progress

    def _settle(self, compared: Compared, *, is_closed: bool) -> None:
        """Remember a topic and minute; where its sides differ, name the difference."""
        difference = None if compared.is_equal else self.sides.difference(compared.cell)
        if difference is not None and not is_closed:
            # Stored by now, and committed after the outbox was read.
            difference.unaccounted.clear()
        self.memory.remember(compared, difference)
        self._say(compared.cell, difference)

    def _check_chains(self, progress: Progress) -> Progress:
        """Check the chains of images up to where everything is closed, hour by hour."""
        chains = Chains(self.sides)
        chains.judge_again()
        for part in takewhile(
            lambda _: self.may_go_on(), slices(Window(progress.chained_until, progress.closed_until))
        ):
            chains.check(part)
            progress = progress.to(chained_until=part.until)
            self.memory.save(progress)
        return progress

    def _look_again(self) -> None:
        since = accounts.accounted_since(self.sides.source)
        for cell in takewhile(lambda _: self.may_go_on(), self.memory.open_cells(LOOKED_AT_AGAIN)):
            self._settle_again(cell, since, is_closed=self._closed is not None and self._closed >= cell.window.until)

    def _settle_again(self, cell: Cell, since: datetime | None, *, is_closed: bool) -> None:
        """Compare a topic and minute with the ledger where that still knows it, else with what is remembered."""
        if since is None or cell.at >= since:
            self._settle(self._compared(cell), is_closed=is_closed)
        else:
            self._settle_from_memory(cell, stored(self.sides.read_model, cell.window).get(cell, Sum()))

    def _compared(self, cell: Cell) -> Compared:
        found = (compared for compared in self.sides.compare(cell.window) if compared.cell == cell)
        return next(found, Compared(cell, Sum(), Sum()))

    def _sweep(self, progress: Progress) -> Progress:
        """Compare an hour of what was equal with what is stored now, and begin anew behind the last one."""
        begin = self.memory.next_minute(progress.swept_until)
        if begin is None or begin >= progress.closed_until:
            begin = self.memory.next_minute(EPOCH)
        if begin is None or begin >= progress.closed_until:
            return progress
        window = self.memory.some(Window(begin, min(begin + SWEPT, progress.closed_until)), SWEPT_EVENTS)
        since = accounts.accounted_since(self.sides.source)
        for cell in self._changed(window):
            self._settle_again(cell, since, is_closed=True)
        Chains(self.sides).check(window)
        return progress.to(swept_until=window.until)

    def _changed(self, window: Window) -> Iterator[Cell]:
        """Yield what is not what was remembered; not what is open, which is looked at anyway."""
        remembered = self.memory.settled(window)
        now = stored(self.sides.read_model, window)
        is_open = set(self.memory.open_cells(LOOKED_AT_AGAIN))
        for cell in sorted((remembered.keys() | now.keys()) - is_open, key=lambda cell: (cell.at, cell.topic)):
            if remembered.get(cell, Sum()) != now.get(cell, Sum()):
                yield cell

    def _settle_from_memory(self, cell: Cell, held: Sum) -> None:
        """Compare with what is remembered, since the ledger has forgotten: ids cannot be named."""
        known = self.memory.remembered(cell)
        difference = Difference(cell, known.events, held.events)
        if known != held:
            # One is lost at least where the numbers agree and the ids do not.
            difference.lost.count = max(known.events - held.events, int(held.events <= known.events))
            difference.unaccounted.count = max(held.events - known.events, 0)
        self.memory.remember(Compared(cell, known, held), difference)
        self._say(cell, difference)

    def _say(self, cell: Cell, difference: Difference | None) -> None:
        """Log a difference that is new, with ids."""
        counts = (0, 0) if difference is None else (difference.lost.count, difference.unaccounted.count)
        if counts == self._said.get(cell, (0, 0)):
            return
        self._said[cell] = counts
        fields = {"topic": cell.topic, "minute": cell.at.isoformat(), "lost": counts[0], "unaccounted": counts[1]}
        if difference is None or counts == (0, 0):
            self._said.pop(cell)
            log.info("reconcile.settled", **fields)
            return
        named = [str(event_id) for event_id in (*difference.lost.named, *difference.unaccounted.named)[:NAMED]]
        log.error("reconcile.difference", events=named, **fields)

    def _measure(self, progress: Progress, seconds: float) -> None:
        totals = self.memory.totals()
        _measure_differences(totals)
        metrics.PENDING.set(sum(found.pending for found in totals.values()))
        metrics.OPEN_MINUTES.set(sum(found.minutes for found in totals.values()))
        for kind, count in Chains(self.sides).counts().items():
            metrics.CHAIN_GAPS.labels(kind).set(count)
        metrics.PROVEN_UNTIL.set(progress.closed_until.timestamp())
        metrics.ROUND_SECONDS.set(seconds)
        metrics.LAST_ROUND.set_to_current_time()


def _measure_differences(totals: Mapping[str, Totals]) -> None:
    """Set the difference of every registered topic, also where it is zero; all other topics are one."""
    names = topics.all_topics()
    for kind in ("lost", "unaccounted"):
        counts = dict.fromkeys((*names, metrics.UNREGISTERED), 0)
        for topic, found in totals.items():
            counts[topic if topic in names else metrics.UNREGISTERED] += getattr(found, kind)
        for topic, count in counts.items():
            metrics.DIFFERENCE.labels(kind, topic).set(count)
