"""Which partition a key belongs to: the murmur2 of Java's client, which the relay's partitioner follows."""

from __future__ import annotations

SEED = 0x9747B28C
FACTOR, SHIFT = 0x5BD1E995, 24
BITS = 0xFFFFFFFF


def partition_of(key: bytes, *, partitions: int) -> int:
    """Return the number of the partition that records with this key go to."""
    return (_murmur2(key) & 0x7FFFFFFF) % partitions


def _murmur2(data: bytes) -> int:
    value = SEED ^ len(data)
    whole = len(data) // 4 * 4
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little") * FACTOR & BITS
        word = (word ^ word >> SHIFT) * FACTOR & BITS
        value = value * FACTOR & BITS ^ word
    if tail := data[whole:]:
        value = (value ^ int.from_bytes(tail, "little")) * FACTOR & BITS
    value = (value ^ value >> 13) * FACTOR & BITS
    return value ^ value >> 15
