"""Where scans begin: never above what may still appear."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from publishers.floors import Floors

SHARD = 7


def test_a_floor_rises_when_all_transactions_of_its_time_are_over_and_a_fetch_has_seen_that() -> None:
    floors = Floors()
    floors.fetched({SHARD: 100})
    floors.surveyed(xmin=40, xmax=50)
    assert floors.of(SHARD) == 0
    floors.surveyed(xmin=49, xmax=60)
    floors.fetched({SHARD: None})
    assert floors.of(SHARD) == 0, "transaction 49 may still commit an id below 100"
    floors.surveyed(xmin=50, xmax=70)
    assert floors.of(SHARD) == 0, "what it committed was not fetched yet"
    floors.fetched({SHARD: None})
    assert floors.of(SHARD) == 100


def test_a_floor_rises_no_higher_than_a_fetch_came() -> None:
    floors = Floors()
    floors.fetched({SHARD: 100})
    floors.surveyed(xmin=1, xmax=50)
    floors.surveyed(xmin=50, xmax=60)
    floors.fetched({SHARD: 30})
    assert floors.of(SHARD) == 30


def test_a_shard_that_is_forgotten_begins_at_its_beginning_and_others_do_not() -> None:
    floors = Floors()
    floors.fetched({SHARD: 100, 8: 200})
    for xmin in (1, 50, 60):
        floors.surveyed(xmin=xmin, xmax=xmin + 10)
        floors.fetched({SHARD: None, 8: None})
    assert (floors.of(SHARD), floors.of(8)) == (100, 200)
    floors.forget([SHARD])
    assert (floors.of(SHARD), floors.of(8)) == (0, 200)
    floors.forget()
    assert floors.of(8) == 0


@dataclass
class Database:
    """Transactions that take ids, and commit in any order."""

    next_id: int = 1
    next_transaction: int = 10
    running: dict[int, list[int]] = field(default_factory=dict)
    visible: set[int] = field(default_factory=set)

    def record(self, choice: int) -> None:
        """Take an id in a transaction under way, or in a new one."""
        names = [*self.running, self.next_transaction]
        transaction = names[choice % len(names)]
        if transaction == self.next_transaction:
            self.next_transaction += 1
        self.running.setdefault(transaction, []).append(self.next_id)
        self.next_id += 1

    def commit(self, choice: int) -> None:
        """Commit one of the transactions under way."""
        if self.running:
            transaction = list(self.running)[choice % len(self.running)]
            self.visible.update(self.running.pop(transaction))


@given(st.lists(st.tuples(st.sampled_from(["record", "commit", "fetch", "survey"]), st.integers(0, 5)), max_size=120))
@settings(max_examples=400, deadline=None)
def test_a_scan_from_the_floor_finds_what_a_scan_from_the_beginning_finds(steps: list[tuple[str, int]]) -> None:
    database, floors = Database(), Floors()
    for step, choice in steps:
        match step:
            case "record":
                database.record(choice)
            case "commit":
                database.commit(choice)
            case "survey":
                xmin = min(database.running, default=database.next_transaction)
                floors.surveyed(xmin=xmin, xmax=database.next_transaction)
            case _:
                everything = sorted(database.visible)[: choice + 1]
                found = sorted(number for number in database.visible if number > floors.of(SHARD))[: choice + 1]
                assert found == everything
                floors.fetched({SHARD: found[-1] if found else None})
                database.visible.difference_update(found)
