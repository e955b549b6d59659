"""Column types of this domain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models

if TYPE_CHECKING:
    # The stubs' field types take parameters that the classes do not have at run time.
    EmailField = models.EmailField[str | None, str | None]
    SlugField = models.SlugField[str, str]
else:
    EmailField, SlugField = models.EmailField, models.SlugField


def normalized_email(value: str) -> str:
    """Return an address as this domain keeps it: people do not tell upper from lower case in it."""
    return value.strip().lower()


class NormalizedEmailField(EmailField):
    """An address that is kept, and looked for, in its normal form, by set-based statements as well."""

    def get_prep_value(self, value: Any) -> Any:
        """Return the value as the database gets it."""
        prepared = super().get_prep_value(value)
        return normalized_email(prepared) if isinstance(prepared, str) else prepared


class DoctorSlugField(SlugField):
    """The first migration names it; the slug is made by `Doctor.make_slug`."""
