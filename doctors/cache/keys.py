"""The keys: one function or constant for each; a pattern names a family of them."""

from __future__ import annotations

from typing import Any

DOCTOR_LIST = "doctor:list"
ACTIVE_DOCTOR_LIST = "doctor:active:list"
DOCTOR_LISTS = (DOCTOR_LIST, ACTIVE_DOCTOR_LIST)
DEPARTMENT_LIST = "department:list"

EVERY_DOCTOR_SLUG = "doctor:slug:*"
EVERY_DOCTOR_PAGE = "doctor:list:page:*"
# All that is kept of doctors, lists included.
EVERYTHING_OF_DOCTORS = "doctor:*"
DOCTORS_OF_EVERY_DEPARTMENT = "department:*:doctors"
EVERYTHING_OF_DEPARTMENTS = "department:*"


def doctor(pk: Any) -> str:
    """A doctor."""
    return f"doctor:{pk}"


def doctor_of_slug(slug: str) -> str:
    """A doctor, by the name in addresses."""
    return f"doctor:slug:{slug}"


def doctor_page(number: int, size: int) -> str:
    """A page of the list of doctors."""
    return f"doctor:list:page:{number}:{size}"


def department(pk: Any) -> str:
    """A department."""
    return f"department:{pk}"


def doctors_of_department(pk: Any) -> str:
    """The doctors of a department."""
    return f"department:{pk}:doctors"
