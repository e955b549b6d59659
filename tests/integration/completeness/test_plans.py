"""Every statement over a whole table or log walks an index, from where the last batch ended."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from auditlog.completeness import images, memberships, snapshot
from auditlog.completeness.links import links_of
from auditlog.completeness.tables import Table
from tests.samples.models import Book, Club, OrderLine

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])


# Merge Append over partitions has a sort key and sorts nothing.
def plan_of(alias: str, statement: str, params: list[Any]) -> str:
    """Explain a statement as for a table that is worth an index."""
    with connections[alias].cursor() as cursor:
        cursor.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
        cursor.execute(f"EXPLAIN {statement}", params)
        lines = "\n".join(line for (line,) in cursor.fetchall())
        cursor.execute("RESET enable_seqscan; RESET enable_bitmapscan")
    return lines


def test_the_last_events_of_objects_are_found_by_index(transactional_db: None) -> None:
    plan = plan_of("audit", images.LAST_EVENTS, [["1", "2"], "samples.shelf", timezone.now()])
    assert "Index Scan Backward using auditlog_auditlog_p" in plan
    assert "model_object_pk_sequence_idx" in plan
    assert "Sort  (" not in plan


def test_objects_are_walked_in_the_order_of_the_index(transactional_db: None) -> None:
    plan = plan_of("audit", images.OBJECTS, ["samples.shelf", "7", "7", 100])
    assert "model_object_pk_sequence_idx" in plan
    assert "Sort  (" not in plan
    assert "object_pk < '7'" in plan


def test_batches_of_rows_follow_the_primary_key(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    table = Table.of(OrderLine)
    seen: list[tuple[str, list[Any]]] = []

    def note(_table: Table, statement: str, params: list[Any]) -> list[images.LiveRow]:
        seen.append((statement, params))
        return []

    monkeypatch.setattr(images, "_rows", note)
    images.rows_after(table, '["acme",1]', 10)
    images.rows_of(table, ['["acme",1]'])
    condition, params = snapshot._range(table, '["acme",1]', '["acme",9]')
    seen.append((f"SELECT 1 FROM {table.name} auditlog_t{condition} ORDER BY {table.order()}", params))
    plans = [plan_of("default", *one) for one in seen]
    assert all("samples_orderline_pkey" in plan for plan in plans)
    assert not any("Sort  (" in plan or "Seq Scan on samples_orderline" in plan for plan in plans)


def test_the_membership_events_of_objects_are_found_by_index(transactional_db: None) -> None:
    params = [["1", "2"], "samples.book", "genres", timezone.now()]
    plan = plan_of("audit", memberships.MEMBERSHIPS, params)
    assert "Index Scan using auditlog_auditlog_p" in plan
    assert "model_object_pk_sequence_idx" in plan
    assert "Seq Scan" not in plan


def test_links_are_found_by_the_index_of_their_owner(transactional_db: None) -> None:
    genres, loans = links_of(Table.of(Book))
    (members,) = links_of(Table.of(Club))
    condition, params = snapshot._range(genres.table, "1", "9")
    owners = f"SELECT auditlog_t.id FROM {genres.table.name} auditlog_t{condition}"
    plans = [
        plan_of("default", genres._links(owners, lock="SHARE"), params),
        *(plan_of("default", link._links(link._of_keys()), [["1", "2"]]) for link in (genres, loans, members)),
    ]
    assert not any("Seq Scan on samples_" in plan for plan in plans)
    assert "samples_book_pkey" in plans[0]
    assert all("Index" in plan for plan in plans)
