"""Open dead letters: an operator has their records tried again, or lets them be."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from auditlog.capture.messages import principal
from auditlog.routers import READ_MODEL_ALIAS
from auditlog.text import clean
from auditlog.vocabulary import Action
from consumers import decisions
from consumers.deadletters import Undeliverable
from consumers.faults import ConsumerError
from consumers.models import DeadLetter
from consumers.projector import Projector
from consumers.reasons import Decision
from consumers.records import Partition, Record, header_bytes

# Letters of one transaction and one system event: each may be as large as a record.
BATCH_LETTERS = 50


class NotOpen(ConsumerError):
    """Dead letters that were named are not open."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which open dead letters: those that agree with all that is given."""

    ids: tuple[int, ...] = ()
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    reason: str | None = None

    def letters(self) -> QuerySet[DeadLetter]:
        """Return them, oldest first."""
        wanted: dict[str, Any] = {
            "id__in": self.ids or None,
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "reason": self.reason,
        }
        given = {name: value for name, value in wanted.items() if value is not None}
        return DeadLetter.objects.filter(decision__isnull=True, **given).order_by("id")

    def check(self) -> None:
        """
        See that all that are named by id can be decided about.

        :raises NotOpen: if one cannot.
        """
        missing = set(self.ids).difference(self.letters().values_list("id", flat=True))
        if missing:
            raise NotOpen(f"No open dead letters: {', '.join(map(str, sorted(missing)))}.")


@dataclass(frozen=True, slots=True)
class Decided:
    """What became of some dead letters: ids of those that are decided about now, and of those that are open still."""

    decided: tuple[int, ...]
    refused: tuple[int, ...] = ()


def requeue(selection: Selection, *, projector: Projector, reason: str) -> Iterator[Decided]:
    """
    Store the records of dead letters as if they had just been read, and mark those that are stored.

    One that still cannot be an event stays open, with its new reason and detail. Each batch is a transaction that holds
    its letters, the rows, the marks and the event of the decision. Whoever else decides meanwhile waits, and then finds
    nothing; an event that is stored meanwhile is stored once.

    :raises NotOpen: if one of the ids is not open, or is decided about meanwhile: its batch was rolled back.
    """

    def decide(letters: Sequence[DeadLetter]) -> Decided:
        records = {letter.id: _record(letter) for letter in letters}
        refused = {(bad.record.partition, bad.record.offset): bad for bad in projector.store_again([*records.values()])}
        still = {letter.id for letter in letters if (records[letter.id].partition, letter.offset) in refused}
        for letter in letters:
            if letter.id in still:
                _renew(letter, refused[records[letter.id].partition, letter.offset])
        _mark(set(records) - still, Decision.REQUEUED, reason)
        told = [{**_member(letter), "stored": letter.id not in still} for letter in letters]
        decisions.record(action=Action.DEAD_LETTERS_REQUEUED, data={"dead_letters": told}, reason=reason)
        return Decided(tuple(sorted(set(records) - still)), tuple(sorted(still)))

    return _in_batches(selection, decide)


def discard(selection: Selection, *, reason: str) -> Iterator[Decided]:
    """Mark dead letters as what shall be no events; their rows stay. Batches, locks and raises as `requeue` does."""

    def decide(letters: Sequence[DeadLetter]) -> Decided:
        ids = tuple(letter.id for letter in letters)
        _mark(ids, Decision.DISCARDED, reason)
        told = [_member(letter) for letter in letters]
        decisions.record(action=Action.DEAD_LETTERS_DISCARDED, data={"dead_letters": told}, reason=reason)
        return Decided(ids)

    return _in_batches(selection, decide)


def _in_batches(selection: Selection, decide: Callable[[Sequence[DeadLetter]], Decided]) -> Iterator[Decided]:
    selection.check()
    seen = 0
    while True:
        with transaction.atomic(using=READ_MODEL_ALIAS):
            letters = _locked(selection, after=seen)
            if not letters:
                return
            decided = decide(letters)
        yield decided
        seen = letters[-1].id


def _locked(selection: Selection, *, after: int) -> list[DeadLetter]:
    """Return the next letters that are open still when their rows are locked."""
    chosen = selection.letters().filter(id__gt=after)
    named = set(chosen.values_list("id", flat=True)[:BATCH_LETTERS]) if selection.ids else set()
    letters = list(chosen.select_for_update()[:BATCH_LETTERS])
    if gone := named.difference(letter.id for letter in letters):
        raise NotOpen(f"Decided about meanwhile: {', '.join(map(str, sorted(gone)))}.")
    return letters


def _mark(ids: Collection[int], decision: Decision, reason: str) -> None:
    DeadLetter.objects.filter(id__in=ids).update(
        decision=decision.value, decided_at=Now(), decided_by=principal(), decided_because=clean(reason)
    )


def _renew(letter: DeadLetter, refused: Undeliverable) -> None:
    DeadLetter.objects.filter(id=letter.id).update(reason=refused.reason.value, detail=refused.detail)


def _record(letter: DeadLetter) -> Record:
    key, value = (None if content is None else bytes(content) for content in (letter.key, letter.value))
    return Record(
        Partition(letter.topic, letter.partition), letter.offset, key, value, tuple(map(header_bytes, letter.headers))
    )


def _member(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.id,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "reason": letter.reason,
    }
