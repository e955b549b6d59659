"""How much of each shard one fetch may take: bounded together, and fair to quiet shards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from publishers.floors import Floors
from publishers.outbox import SHARD, Row, Scan


class Shares:
    """
    Gives each shard an equal share, and to those that used theirs up last time an equal part of a whole batch more.

    A batch is at most twice `rows` and twice `size` bytes, and one event of each shard where these are larger.
    """

    def __init__(self, *, rows: int, size: int) -> None:
        self._rows, self._size = rows, size
        # Shards that used their share up last time.
        self.hungry: set[int] = set()

    def scans(self, shards: Sequence[int], floors: Floors) -> list[Scan]:
        """Return what to fetch of these shards."""
        hungry = self.hungry.intersection(shards)
        equal = -(-self._rows // max(1, len(shards)))
        more = -(-self._rows // max(1, len(hungry)))
        counts = {shard: max(equal, more) if shard in hungry else equal for shard in shards}
        return [Scan(shard, floors.of(shard), n, max(1, n * self._size // self._rows)) for shard, n in counts.items()]

    def fetched(self, scans: Sequence[Scan], rows: Sequence[Row]) -> None:
        """Note which shards used their share up, by number or by size (in characters, which bytes exceed)."""
        counts = Counter(map(SHARD, rows))
        by_number = {scan.shard for scan in scans if counts[scan.shard] >= scan.rows}
        sizes: Counter[int] = Counter()
        for row in rows if len(by_number) < len(scans) else ():
            sizes[row.shard] += len(row.value)
        by_size = {scan.shard for scan in scans if sizes[scan.shard] * 2 >= scan.size}
        self.hungry.difference_update(scan.shard for scan in scans)
        self.hungry |= by_number | by_size
