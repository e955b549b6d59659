"""Column types of this domain."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from django.db import models
from django.utils.text import slugify

if TYPE_CHECKING:
    # The stubs' field types take parameters that the classes do not have at run time.
    SlugField = models.SlugField[str, str]
else:
    SlugField = models.SlugField

# Random characters that keep two doctors of one name apart where neither has an NPI.
SUFFIX_BYTES = 4


class DoctorSlugField(SlugField):
    """
    A slug made from the doctor's names and NPI at the first write, and left alone afterwards: links must not break.

    Filled while the INSERT is prepared, so that `save` and `bulk_create` alike need one statement.
    """

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:  # noqa: ARG002 - Django's signature
        """Return the slug, made now where there is none."""
        slug = getattr(model_instance, self.attname)
        if not slug:
            slug = self._made(model_instance)
            setattr(model_instance, self.attname, slug)
        return slug

    def _made(self, doctor: Any) -> str:
        suffix = doctor.npi or secrets.token_hex(SUFFIX_BYTES)
        names = slugify(f"{doctor.first_name}-{doctor.last_name}")
        length = (self.max_length or 0) - len(suffix) - 1
        return f"{names[:length].strip('-')}-{suffix}".strip("-")
