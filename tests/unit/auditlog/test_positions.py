"""Positions as text."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditlog.queries.positions import NoPosition, Position

NAMES = st.text(min_size=1, max_size=20)
OFFSETS = st.dictionaries(st.tuples(NAMES, st.integers(0, 40)), st.integers(0, 2**63 - 1), max_size=20)


@given(offsets=OFFSETS, late=st.integers(0, 2**63 - 1))
def test_a_position_comes_back_from_its_text(offsets: dict[tuple[str, int], int], late: int) -> None:
    position = Position(offsets, late)
    text = position.to_text()
    assert Position.from_text(text) == position
    assert text.replace("-", "").replace("_", "").isalnum()


def test_the_offsets_of_a_topic_stand_in_the_order_of_its_partitions() -> None:
    assert Position({("b", 1): 5, ("a", 0): 1, ("a", 3): 9}).by_topic() == {"a": [1, None, None, 9], "b": [None, 5]}


def test_the_position_of_hundreds_of_partitions_fits_into_a_url() -> None:
    chance = random.Random(1)
    offsets = {
        (f"audit.hospital.model{number}{suffix}", partition): chance.randrange(10**7)
        for number in range(25)
        for suffix in ("", ".events")
        for partition in range(12)
    }
    assert len(offsets) == 600
    # Of ten million possible offsets each takes three bytes at least, which are four letters.
    assert len(Position(offsets).to_text()) < 600 * 5


@pytest.mark.parametrize("text", ["", "x", "eJxLBAAAYgBi", "ä"])
def test_what_is_no_position_is_refused(text: str) -> None:
    with pytest.raises(NoPosition):
        Position.from_text(text)
