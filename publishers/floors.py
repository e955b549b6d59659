"""
Below which id a shard is empty for good, so that a scan may begin there.

Rows that were deleted stay in the table and its index for as long as any transaction of the server may see them. A
scan from the beginning would walk over all of them each time; so it begins at a floor. It must not be the highest id
that was seen: ids are taken before their transactions commit, and a lower one may appear later. What appears later
belongs to a transaction that was under way when the higher id was fetched. So a height is noted together with the
next transaction number of a later moment; once no older transaction is under way, whatever lies below the height is
visible to the next fetch, and when that fetch has come past the height, the floor rises to it. A long transaction that
writes keeps the floor where it is (its own events may still appear); one that only reads does not.

Everything is forgotten where something below a floor may have to be read again: see the callers of `forget`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping


class Floors:
    """The floors of all shards."""

    def __init__(self) -> None:
        self._floors: dict[int, int] = {}
        self._reached: dict[int, int] = {}
        # What was reached, and the first transaction number that did not exist then.
        self._mark: tuple[dict[int, int], int] = ({}, 0)
        self._confirmed: dict[int, int] = {}

    def of(self, shard: int) -> int:
        """Return the id behind which a scan of this shard begins."""
        return self._floors.get(shard, 0)

    def fetched(self, last_ids: Mapping[int, int | None]) -> None:
        """Note the highest id that a fetch returned of each shard it scanned; None: it returned nothing."""
        for shard, last in last_ids.items():
            height = self._confirmed.pop(shard, None)
            if height is not None:
                self._floors[shard] = max(self.of(shard), height if last is None else min(height, last))
            if last is not None:
                self._reached[shard] = max(last, self._reached.get(shard, 0))

    def surveyed(self, *, xmin: int, xmax: int) -> None:
        """Note the transactions under way: `xmin` is the oldest, `xmax` the first that does not exist yet."""
        heights, next_transaction = self._mark
        if xmin >= next_transaction:
            self._confirmed.update(heights)
            self._mark = (dict(self._reached), xmax)

    def forget(self, shards: Iterable[int] | None = None) -> None:
        """Begin at the beginning again: in these shards, or in all."""
        places = (self._floors, self._reached, self._mark[0], self._confirmed)
        for shard in set().union(*places) if shards is None else set(shards):
            for place in places:
                place.pop(shard, None)
