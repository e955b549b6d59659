"""Batches know where their partitions stand; headers of any bytes can be kept as JSON."""

from __future__ import annotations

import base64

from hypothesis import given
from hypothesis import strategies as st

from consumers.records import Batch, Partition, described_headers
from tests.unit.consumers.builders import LAW, record

ONE, TWO = Partition("a", 0), Partition("a", 1)


def test_a_batch_ends_after_the_last_record_of_each_partition() -> None:
    batch = Batch(tuple(record(b"x", partition=p, offset=at) for p, at in ((ONE, 4), (TWO, 9), (ONE, 5))))
    assert batch.next_offsets() == {ONE: 6, TWO: 10}


def test_what_belongs_to_lost_partitions_is_dropped() -> None:
    batch = Batch(tuple(record(b"x", partition=p) for p in (ONE, TWO)), {ONE: 0, TWO: None})
    kept = batch.within({TWO})
    assert [r.partition for r in kept.records] == [TWO]
    assert kept.expected == {TWO: None}


def test_what_follows_an_unstored_batch_begins_where_that_leads() -> None:
    unstored = Batch(tuple(record(b"x", partition=ONE, offset=at) for at in (3, 4)), {ONE: 3})
    # What was assigned anew in between comes again.
    places = ((ONE, 3), (ONE, 4), (ONE, 5), (TWO, 0))
    fetched = Batch(tuple(record(b"x", partition=p, offset=at) for p, at in places), {ONE: 3, TWO: None})
    following = fetched.after(unstored)
    assert [(r.partition, r.offset) for r in following.records] == [(ONE, 5), (TWO, 0)]
    assert following.expected == {ONE: 5, TWO: None}


@LAW
@given(st.binary() | st.none())
def test_a_header_can_be_made_again_from_its_description(value: bytes | None) -> None:
    (described,) = described_headers([("ce_id", value)])
    text, encoded = described.get("value"), described.get("base64")
    again = base64.b64decode(encoded) if encoded is not None else text.encode() if text is not None else None
    assert again == value
    assert "\x00" not in (text or "")
