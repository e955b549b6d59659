"""How much of each shard one fetch may take: bounded together, and fair to quiet shards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from publishers.floors import Floors
from publishers.outbox import Row, Scan


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

    def fetched(self, scans: Iterable[Scan], rows: Iterable[Row]) -> None:
        """Note which shards used their share up, by number or by size (in characters, which bytes exceed)."""
        counts: dict[int, int] = {}
        sizes: dict[int, int] = {}
        for row in rows:
            counts[row.shard] = counts.get(row.shard, 0) + 1
            sizes[row.shard] = sizes.get(row.shard, 0) + len(row.value)
        for scan in scans:
            if counts.get(scan.shard, 0) >= scan.rows or sizes.get(scan.shard, 0) * 2 >= scan.size:
                self.hungry.add(scan.shard)
            else:
                self.hungry.discard(scan.shard)
