"""National Provider Identifiers: ten digits, the last one a Luhn check digit over "80840" and the first nine."""

from __future__ import annotations

import re

from django.core.exceptions import ValidationError

# The health industry number prefix that the check digit covers: 45 CFR 162.406, CMS "NPI check digit calculation".
ISSUER_PREFIX = "80840"
NPI_PATTERN = "^[12][0-9]{9}$"
LARGEST_DIGIT = 9


def check_digit(first_nine: str) -> str:
    """Return the tenth digit of an NPI."""
    total = 0
    for position, character in enumerate(reversed(ISSUER_PREFIX + first_nine)):
        digit = int(character) * (1 if position % 2 else 2)
        total += digit - LARGEST_DIGIT if digit > LARGEST_DIGIT else digit
    return str(-total % 10)


def is_npi(text: str) -> bool:
    """Tell whether a text is an NPI with a right check digit."""
    return re.fullmatch(NPI_PATTERN, text, re.ASCII) is not None and check_digit(text[:9]) == text[9]


def validate_npi(value: str) -> None:
    """
    Refuse what is no NPI.

    :raises ValidationError: with the code `invalid_npi`.
    """
    if not is_npi(value):
        raise ValidationError("This is not an NPI: ten digits with a right check digit.", code="invalid_npi")
