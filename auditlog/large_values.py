"""Values that are too large for an event: from which size on, and what stands in their place."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings

# Bytes of a value's JSON text above which a reference stands in its place; of an event, above which its largest values
# make room. An event has its circumstances beside its values, and two images of the row.
VALUE_BYTES, EVENT_BYTES = 65_536, 900_000
LEAST_VALUE_BYTES, LEAST_EVENT_BYTES = 1_024, 200_000
REFERENCE_KEY, BYTES_KEY = "$ref", "bytes"


def event_bytes() -> int:
    """Return the size that no event exceeds."""
    return max(int(getattr(settings, "AUDITLOG_LARGE_EVENT_BYTES", EVENT_BYTES)), LEAST_EVENT_BYTES)


def value_bytes() -> int:
    """Return the size up to which a value stands in its event: at most a third of it."""
    wanted = int(getattr(settings, "AUDITLOG_LARGE_VALUE_BYTES", VALUE_BYTES))
    return min(max(wanted, LEAST_VALUE_BYTES), event_bytes() // 3)


@dataclass(frozen=True, slots=True)
class Reference:
    """What stands in the place of a value: the SHA-256 and the length of its JSON text in UTF-8."""

    sha256: str
    size: int

    @classmethod
    def of(cls, value: Any) -> Reference | None:
        """Return the reference that a parsed value is; None for any other value."""
        if not isinstance(value, dict) or value.keys() != {REFERENCE_KEY, BYTES_KEY}:
            return None
        sha256, size = value[REFERENCE_KEY], value[BYTES_KEY]
        return cls(sha256, size) if isinstance(sha256, str) and isinstance(size, int) else None

    def stands_for(self, text: bytes) -> bool:
        """Tell whether this is the reference to the value with this JSON text."""
        return len(text) == self.size and hashlib.sha256(text).hexdigest() == self.sha256


def references(*, before: Any, after: Any, m2m: Any, data: Any) -> Iterator[Reference]:
    """Yield the references of an event, given its parsed members."""
    links = ((m2m or {}).get("through") or {}).values()
    images = [image for image in (before, after, *links) if isinstance(image, dict)]
    for value in (data, *(value for image in images for value in image.values())):
        if (reference := Reference.of(value)) is not None:
            yield reference
