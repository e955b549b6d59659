"""The account of a window: how many events there are on each side, and the differences by name."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from auditlog.queries.accounts import Cell, Window
from consumers.reconciliation.comparison import NAMED_AT_MOST, Compared, Difference, Sides


@dataclass(slots=True)
class Account:
    """What a window holds; differences are kept by topic and minute, so that they can be looked at again."""

    committed: int = 0
    published: int = 0
    stored: int = 0
    differences: dict[Cell, Difference] = field(default_factory=dict)

    @property
    def missing(self) -> int:
        """How many committed events are not in the read model."""
        return sum(difference.missing for difference in self.differences.values())

    @property
    def unaccounted(self) -> int:
        """How many stored events nobody committed, as far as outbox and ledger know."""
        return sum(difference.unaccounted.count for difference in self.differences.values())

    @property
    def unaccounted_ids(self) -> list[UUID]:
        """Their ids."""
        return _named(difference.unaccounted.named for difference in self.differences.values())

    @property
    def lost_ids(self) -> list[UUID]:
        """The ids that Kafka has acknowledged and the read model has not."""
        return _named(difference.lost.named for difference in self.differences.values())

    @property
    def lost_by_topic(self) -> dict[str, list[UUID]]:
        """The same by topic."""
        found: dict[str, list[UUID]] = {}
        for cell, difference in self.differences.items():
            if difference.lost.named:
                found.setdefault(cell.topic, []).extend(difference.lost.named)
        return found

    @property
    def pending_ids(self) -> list[UUID]:
        """The ids that wait in the outbox."""
        return _named(difference.pending.named for difference in self.differences.values())

    @property
    def missing_ids(self) -> list[UUID]:
        """Both."""
        return sorted([*self.lost_ids, *self.pending_ids])[:NAMED_AT_MOST]

    def take(self, compared: Compared, sides: Sides, window: Window) -> None:
        """Count a topic and minute; where its sides differ, walk over its ids, inside the window."""
        self.committed += compared.committed.events
        self.published += compared.committed.events - compared.committed.pending
        if compared.is_equal:
            self.stored += compared.stored.events
            return
        self._note(sides.difference(compared.cell, _within(compared.cell, window)))

    def look_again(self, sides: Sides, window: Window) -> None:
        """Walk again over what differed."""
        for cell in list(self.differences):
            self.stored -= self.differences.pop(cell).stored
            self._note(sides.difference(cell, _within(cell, window)))

    def _note(self, difference: Difference) -> None:
        self.stored += difference.stored
        self.differences[difference.cell] = difference


def account_of(sides: Sides, window: Window) -> Account:
    """Return the account of the events of a window, by the time inside their ids."""
    account = Account()
    for compared in sides.compare(window):
        account.take(compared, sides, window)
    return account


def _within(cell: Cell, window: Window) -> Window:
    """Return the part of a minute that the window has."""
    return Window(max(cell.at, window.since), min(cell.window.until, window.until))


def _named(groups: Iterator[list[UUID]]) -> list[UUID]:
    return [event_id for group in groups for event_id in group][:NAMED_AT_MOST]
