"""
A process that writes through the ORM and keeps its own account of what committed, independently of any event.

`python -m tests.faults.writer --first N --count M --folder FOLDER` makes M processes that write until SIGTERM. For each
transaction, a writer notes in the file `written-NUMBER` what the transaction is about to commit, and afterwards what
became of it; a row of the unaudited `Mark` commits with it, and tells where the answer to COMMIT got lost. While the
database is away it waits and goes on.

`--kill-at before-commit` or `before-hooks` ends it with SIGKILL at that point of the transaction `--kill-in`;
`--once held` makes one transaction that stays open until the file `--until` appears, `--once bulk` one of `--rows`
rows, `--once large` and `--once odd` rows with values that are hard to carry.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Any

import django
from django.db import Error, connection, transaction

# Rows that all writers increment, and targets of links.
COUNTERS, TAGS = 8, 5
# So many rows of its own a writer keeps at most.
ITEMS = 30
BULK_ROWS = 8
WAIT_SECONDS = 0.2
POLL_SECONDS = 0.02
# What is passed to bulk_create at once.
BATCH_ROWS = 2_000

Change = tuple[str, str, str, str]


class Undo(Exception):
    """Rolls a block back on purpose."""


class Account:
    """The writer's file."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("a", encoding="utf-8")

    def note(self, did: str, **more: Any) -> None:
        """Add a line, at once."""
        self._file.write(json.dumps({"did": did, "at": time.time(), **more}) + "\n")
        self._file.flush()


class Writer:
    """Writes, and knows what it wrote."""

    def __init__(self, writer: int, options: argparse.Namespace, stop: threading.Event) -> None:
        self.writer, self.options, self.stop = writer, options, stop
        self.account = Account(options.folder / f"written-{writer}")
        self.random = random.Random(writer)
        # Of the transaction.
        self.number = 0
        self.items: dict[int, set[int]] = {}
        self.texts: dict[int, str] = {}
        self.counters: list[int] = []
        self.tags: list[int] = []
        self.changes: list[Change] = []
        self.error: Error | None = None

    def run(self) -> None:
        """Write until told to stop."""
        self._insist(self._prepare)
        parent = os.getppid()
        # Whose parent was killed goes as well.
        while not self.stop.is_set() and os.getppid() == parent:
            if not self.transaction(self._some):
                self._insist(self._reload)
            self.stop.wait(self.options.pause_milliseconds / 1000)
        self.account.note("ended")

    def transaction(self, work: Callable[[], None]) -> bool:
        """Run some work as a transaction, note what became of it, and tell whether its outcome is known."""
        self.number += 1
        self.changes = []
        before = {pk: set(tags) for pk, tags in self.items.items()}, dict(self.texts)
        try:
            with transaction.atomic():
                self._kill_before_hooks()
                self._mark()
                work()
                self.account.note("intends", number=self.number, changes=self.changes)
                self._kill("before-commit")
        except Undo:
            self.items, self.texts = before
            self.account.note("rolled back", number=self.number)
        except Error as exc:
            self.items, self.texts = before
            self.account.note("failed", number=self.number, error=type(exc.__cause__ or exc).__name__)
            self.error = exc
            connection.close()
            return False
        else:
            self.account.note("committed", number=self.number)
        return True

    def _mark(self) -> None:
        from tests.faults.shop.models import Mark

        Mark.objects.create(writer=self.writer, number=self.number)

    def _kill_before_hooks(self) -> None:
        """Let the first hook of this transaction be the process's end: before the one that wakes the relay."""
        if self.number == self.options.kill_in:
            transaction.on_commit(lambda: self._kill("before-hooks"))

    def _kill(self, point: str) -> None:
        if self.number == self.options.kill_in and self.options.kill_at == point:
            os.kill(os.getpid(), signal.SIGKILL)

    def _insist(self, work: Callable[[], None]) -> None:
        """Do something that needs the database, waiting for it."""
        while not self.stop.is_set():
            try:
                work()
            except Error:
                connection.close()
                self.stop.wait(WAIT_SECONDS)
            else:
                return

    def _prepare(self) -> None:
        """Make the rows that all share; the first writer makes them, the others wait for them."""
        from tests.faults.shop.models import Counter, Tag

        if self.writer == 0 and not Counter.objects.exists():
            self.transaction(self._make_shared)
        while not self.stop.is_set() and Counter.objects.count() < COUNTERS:
            self.stop.wait(POLL_SECONDS)
        self.counters = sorted(Counter.objects.values_list("pk", flat=True))
        self.tags = sorted(Tag.objects.values_list("pk", flat=True))
        self._reload()

    def _make_shared(self) -> None:
        from tests.faults.shop.models import Counter, Tag

        for number in range(TAGS):
            self._changed("tag", Tag.objects.create(text=f"tag {number}").pk, "create", f"tag {number}")
        for _ in range(COUNTERS):
            self._changed("counter", Counter.objects.create().pk, "create", "0")

    def _reload(self) -> None:
        """Learn which rows there are: what the last transaction did is not known."""
        from tests.faults.shop.models import Item

        own = Item.objects.filter(writer=self.writer)
        self.texts = dict(own.values_list("pk", "text"))
        self.items = {pk: set() for pk in self.texts}
        for pk, tag in own.filter(tags__isnull=False).values_list("pk", "tags"):
            self.items[pk].add(tag)

    def _some(self) -> None:
        """Do a few things; undo some of them, and now and then all."""
        for _ in range(self.random.randint(1, 3)):
            if self.random.random() < self.options.undo:
                self._undone(self._one)
            else:
                self._one()
        # Last, so that its lock is held for a moment only, and no two writers wait for each other.
        self._increment()
        if self.random.random() < self.options.undo:
            raise Undo

    def _undone(self, work: Callable[[], None]) -> None:
        """Do something within a savepoint, and roll it back."""
        before = {pk: set(tags) for pk, tags in self.items.items()}, dict(self.texts), list(self.changes)
        try:
            with transaction.atomic():
                work()
                transaction.set_rollback(True)
        finally:
            self.items, self.texts, self.changes = before

    def _one(self) -> None:
        full = len(self.items) >= ITEMS
        works = (
            [self._create, self._bulk]
            if not self.items
            else [
                *([] if full else [self._create]),
                self._update,
                self._update_set,
                self._delete,
                self._link,
                self._bulk,
            ]
        )
        self.random.choice(works)()

    def _text(self) -> str:
        return f"{self.writer}-{self.number}-{len(self.changes)}-{self.random.randrange(10**9)}"

    def _changed(self, model: str, pk: int, action: str, token: str) -> None:
        self.changes.append((f"shop.{model}", str(pk), action, token))

    def _create(self) -> None:
        from tests.faults.shop.models import Item

        item = Item.objects.create(writer=self.writer, text=self._text())
        self.items[item.pk], self.texts[item.pk] = set(), item.text
        self._changed("item", item.pk, "create", item.text)

    def _update(self) -> None:
        from tests.faults.shop.models import Item

        item = Item.objects.get(pk=self.random.choice(sorted(self.items)))
        item.text = self.texts[item.pk] = self._text()
        item.save(update_fields=["text"] if self.random.random() < 0.5 else None)
        self._changed("item", item.pk, "update", item.text)

    def _update_set(self) -> None:
        from tests.faults.shop.models import Item

        chosen, text = self.random.sample(sorted(self.items), min(3, len(self.items))), self._text()
        Item.objects.filter(pk__in=chosen).update(text=text)
        for pk in chosen:
            self.texts[pk] = text
            self._changed("item", pk, "update", text)

    def _delete(self) -> None:
        from tests.faults.shop.models import Item

        pk = self.random.choice(sorted(self.items))
        Item.objects.get(pk=pk).delete()
        if tags := self.items.pop(pk):
            self._changed("item", pk, "m2m.remove", joined(tags))
        self._changed("item", pk, "delete", self.texts.pop(pk))

    def _link(self) -> None:
        from tests.faults.shop.models import Item

        pk = self.random.choice(sorted(self.items))
        tags = Item(pk=pk).tags
        if held := self.items[pk]:
            gone = set(self.random.sample(sorted(held), self.random.randint(1, len(held))))
            tags.remove(*gone)
            self.items[pk] = held - gone
            self._changed("item", pk, "m2m.remove", joined(gone))
        else:
            new = set(self.random.sample(self.tags, 2))
            tags.add(*new)
            self.items[pk] = new
            self._changed("item", pk, "m2m.add", joined(new))

    def _bulk(self) -> None:
        self._entries(self.random.randint(1, BULK_ROWS))

    def _entries(self, rows: int) -> None:
        from tests.faults.shop.models import Entry

        for start in range(0, rows, BATCH_ROWS):
            wanted = min(BATCH_ROWS, rows - start)
            text = self._text()
            made = Entry.objects.bulk_create(
                [Entry(writer=self.writer, text=f"{text}-{number}") for number in range(wanted)]
            )
            for entry in made:
                self._changed("entry", entry.pk, "create", entry.text)

    def _increment(self) -> None:
        from django.db.models import F

        from tests.faults.shop.models import Counter

        pk = self.random.choice(self.counters)
        Counter.objects.filter(pk=pk).update(value=F("value") + 1)
        # The row is locked: nobody else has changed it since.
        self._changed("counter", pk, "update", str(Counter.objects.values_list("value", flat=True).get(pk=pk)))

    def once(self) -> None:
        """Make the one transaction that was asked for."""
        works = {"held": self._held, "bulk": self._many, "large": self._large, "odd": self._odd}
        if not self.transaction(works[self.options.once]):
            sys.exit(f"the transaction failed: {self.error}")
        self.account.note("ended")

    def _held(self) -> None:
        """Write, and stay open."""
        for _ in range(3):
            self._create()
        self._update()
        self._bulk()
        self.account.note("holds")
        while not self.options.until.exists():
            time.sleep(POLL_SECONDS)

    def _many(self) -> None:
        self._entries(self.options.rows)

    def _large(self) -> None:
        """Write a value of the size that was asked for, then change the row."""
        from tests.faults.shop.models import Item

        # Of random letters: it would not shrink on its way.
        letters = "".join(self.random.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=self.options.rows))
        item = Item.objects.create(writer=self.writer, text=self._text(), blob=letters.encode())
        self._changed("item", item.pk, "create", item.text)
        item.text = self._text()
        item.save()
        self._changed("item", item.pk, "update", item.text)

    def _odd(self) -> None:
        """Write values that JSON, UTF-8 or Kafka have no place for."""
        from tests.faults.shop.models import Item

        values: list[dict[str, Any]] = [
            {"ratio": float("nan")},
            {"ratio": float("-inf")},
            {"blob": bytes(range(256))},
            {"extra": {"nul": "\0"}},
            {"extra": {"half": "\ud800"}},
            {"extra": "\x1b\u2028"},
        ]
        for value in values:
            item = Item.objects.create(writer=self.writer, text=self._text(), **value)
            self._changed("item", item.pk, "create", item.text)


def joined(keys: set[int]) -> str:
    """Return keys as one text."""
    return ",".join(sorted(map(str, keys)))


def main() -> None:
    """Write as the arguments say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, required=True)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--pause-milliseconds", type=int, default=60)
    parser.add_argument("--undo", type=float, default=0.12, help="share of transactions and savepoints rolled back")
    parser.add_argument("--kill-at", choices=["before-commit", "before-hooks"])
    parser.add_argument("--kill-in", type=int, default=0)
    parser.add_argument("--once", choices=["held", "bulk", "large", "odd"])
    parser.add_argument("--until", type=Path)
    parser.add_argument("--rows", type=int, default=0)
    options = parser.parse_args()
    # Once for all, before there are connections, which must not be shared.
    django.setup()
    fork = multiprocessing.get_context("fork")
    numbers = range(options.first + 1, options.first + options.count)
    others = [fork.Process(target=write, args=(number, options), daemon=True) for number in numbers]
    for other in others:
        other.start()
    write(options.first, options, others)
    for other in others:
        other.join()
    sys.exit(any(other.exitcode for other in others))


def write(number: int, options: argparse.Namespace, others: Sequence[BaseProcess] = ()) -> None:
    """Be one writer; what ends it ends the others as well."""
    stop = threading.Event()

    def end(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        for other in others:
            other.terminate()

    signal.signal(signal.SIGTERM, end)
    writer = Writer(number, options, stop)
    writer.once() if options.once else writer.run()


if __name__ == "__main__":
    main()
