"""NPIs and their check digit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctors.npi import check_digit, is_npi


def test_the_example_of_the_standard_has_its_check_digit() -> None:
    # "NPI Check Digit Calculation", CMS: 123456789 gets the digit 3.
    assert check_digit("123456789") == "3"
    assert is_npi("1234567893")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1234567890",
        "123456789",
        "12345678933",
        "3234567893",
        "12345 7893",
        "abcdefghij",
        "1234567893\n",
        "١٢٣٤٥٦٧٨٩٣",
    ],
)
def test_what_is_no_npi_is_told_apart(text: str) -> None:
    assert not is_npi(text)


@given(st.integers(100_000_000, 299_999_999), st.integers(0, 9), st.integers(1, 9))
def test_one_wrong_digit_is_always_noticed(number: int, position: int, shift: int) -> None:
    right = f"{number}{check_digit(str(number))}"
    wrong = right[:position] + str((int(right[position]) + shift) % 10) + right[position + 1 :]

    assert is_npi(right)
    assert not is_npi(wrong)
