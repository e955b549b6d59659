"""An export is what was stored when it began, while consumers go on."""

from __future__ import annotations

import io
import json
import threading
from datetime import timedelta

import pytest
from django.utils import timezone

from auditlog.access.rights import Rights
from auditlog.access.scopes import Scope
from auditlog.exporting import walk
from auditlog.exporting.export import Export
from auditlog.exporting.formats import Format
from auditlog.queries import positions
from auditlog.queries.compiler import Query
from consumers.projector import Projector
from consumers.records import Batch, Partition, Record
from tests.unit.consumers.builders import event, record

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])
ONE, TWO = Partition("test.doctors.doctor", 0), Partition("test.doctors.doctor", 1)


def aged(minutes: int, *, offset: int, partition: Partition = ONE) -> Record:
    """Return the record of an event of some minutes ago."""
    return record(event(at=timezone.now() - timedelta(minutes=minutes)), partition=partition, offset=offset)


def test_what_is_stored_while_an_export_goes_on_is_not_in_it(read_model: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "BATCH_ROWS", 2)
    projector = Projector(group=positions.leading_group())
    projector.store(Batch(tuple(aged(60 - n, offset=n) for n in range(6)), {ONE: None}))
    query = Query(pinned=positions.now())
    export = Export(query, Rights("command:test", frozenset(Scope)), Format.NDJSON, reason="test")
    meanwhile: list[int] = []

    def store(rows: int) -> None:
        """Store an event before the place, one after it, and one of another partition."""
        first = 6 + 2 * len(meanwhile)
        both = (aged(90, offset=first), aged(1, offset=first + 1))
        projector.store(Batch(both, {ONE: first}))
        if not meanwhile:
            projector.store(Batch((aged(5, offset=0, partition=TWO),), {TWO: None}))
        meanwhile.append(rows)

    sink = io.BytesIO()
    trailer = export.write(sink, stop=threading.Event(), progress=store)
    *found, last = [json.loads(line) for line in sink.getvalue().splitlines()]
    assert (meanwhile, trailer["rows"]) == ([2, 4, 6], 6)
    assert [one["offset"] for one in found] == [0, 1, 2, 3, 4, 5]
    assert (last["rows"], last["position"]) == (6, query.pinned and query.pinned.to_text())
