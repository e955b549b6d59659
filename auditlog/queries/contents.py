"""Reads the contents of large values: which chunks make one, and their bytes one chunk at a time."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from auditlog.models import ContentChunk


@dataclass(frozen=True, slots=True)
class Content:
    """A content that is there: its size in bytes, and the rows that hold them in their order."""

    size: int
    rows: tuple[uuid.UUID, ...]

    def parts(self) -> Iterator[bytes]:
        """Yield the bytes of a chunk after the other, with one statement each, so that no more are in memory."""
        for event_id in self.rows:
            yield bytes(ContentChunk.objects.values_list("data", flat=True).get(event_id=event_id) or b"")


def find(sha256: str) -> Content | None:
    """Return a content, None where not all of its chunks have come. Index: auditlog_contentchunk_bytes."""
    chunks = (
        ContentChunk.objects.filter(sha256=sha256, data__isnull=False)
        .order_by("chunks", "chunk", "-event_id")
        .distinct("chunks", "chunk")
        .values_list("chunks", "bytes", "event_id")
    )
    # Chunks of one number fit together.
    for count, alike in groupby(chunks, key=lambda row: row[0]):
        rows = list(alike)
        if len(rows) == count:
            return Content(rows[0][1], tuple(event_id for _, _, event_id in rows))
    return None
