"""Keys go to the partitions to which Java's client sends them."""

from __future__ import annotations

import pytest

from consumers.kafka.partitioner import _murmur2, partition_of


# Of the tests of Kafka's own client, org.apache.kafka.common.utils.UtilsTest, and of librdkafka's rdmurmur2.c.
@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
        (b"", 275646681),
    ],
)
def test_a_key_has_the_hash_of_javas_client(key: bytes, hashed: int) -> None:
    assert _murmur2(key) == hashed & 0xFFFFFFFF
    assert partition_of(key, partitions=7) == (hashed & 0x7FFFFFFF) % 7
