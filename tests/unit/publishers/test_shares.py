"""How much of each shard a fetch takes."""

from __future__ import annotations

from publishers.floors import Floors
from publishers.outbox import Row, Scan
from publishers.shares import Shares

AT = "2026-11-23T00:00:00.000000Z"


def rows(shard: int, count: int, size: int = 10) -> list[Row]:
    """Return rows of a shard."""
    return [Row("(0,1)", n, shard, "t", "k", "e", "x", AT, 1, None, None, "x" * size) for n in range(count)]


def counts(scans: list[Scan]) -> dict[int, int]:
    """Return how many rows each scan may take."""
    return {scan.shard: scan.rows for scan in scans}


def test_shards_have_equal_shares_at_first() -> None:
    scans = Shares(rows=100, size=1_000_000).scans([1, 2, 3], Floors())
    assert counts(scans) == {1: 34, 2: 34, 3: 34}
    assert {scan.size for scan in scans} == {340_000}


def test_a_shard_that_used_its_share_up_gets_what_others_leave_and_takes_nothing_from_them() -> None:
    shares, floors = Shares(rows=100, size=1_000_000), Floors()
    scans = shares.scans([1, 2, 3, 4], floors)
    shares.fetched(scans, rows(1, 25) + rows(2, 24))
    scans = shares.scans([1, 2, 3, 4], floors)
    assert counts(scans) == {1: 100, 2: 25, 3: 25, 4: 25}
    shares.fetched(scans, rows(1, 99) + rows(2, 25) + rows(3, 25))
    assert counts(shares.scans([1, 2, 3, 4], floors)) == {1: 25, 2: 50, 3: 50, 4: 25}


def test_a_share_can_be_used_up_by_size_as_well() -> None:
    shares, floors = Shares(rows=100, size=100_000), Floors()
    scans = shares.scans([1, 2], floors)
    shares.fetched(scans, rows(1, 1, size=60_000))
    assert counts(shares.scans([1, 2], floors)) == {1: 100, 2: 50}


def test_all_shares_together_are_at_most_twice_a_batch() -> None:
    shares, floors = Shares(rows=4_000, size=16_000_000), Floors()
    shards = list(range(64))
    for hungry in (0, 1, 5, 64):
        scans = shares.scans(shards, floors)
        shares.fetched(scans, [row for scan in scans[:hungry] for row in rows(scan.shard, scan.rows)])
        following = shares.scans(shards, floors)
        assert sum(scan.rows for scan in following) <= 2 * 4_000 + 64
        assert sum(scan.size for scan in following) <= 2 * 16_000_000 + 64 * 4_000
