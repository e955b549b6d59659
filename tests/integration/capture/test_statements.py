"""Capture adds no statement of its own."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from tests.integration.capture.conftest import Told
from tests.samples.models import Book, Shelf, Unwatched

pytestmark = [pytest.mark.postgres_versions, pytest.mark.django_db(transaction=True)]


def test_a_model_that_is_not_registered_keeps_its_statements(told: Told, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(5) as captured:
        row = Unwatched.objects.create(value=1)
        Unwatched.objects.filter(pk=row.pk).update(value=2)
        Unwatched.objects.all().delete()
    statements = [query["sql"] for query in captured.captured_queries]
    # Deleted at once, in Django's own transaction: not read before.
    assert [text.split()[0] for text in statements] == ["INSERT", "UPDATE", "BEGIN", "DELETE", "COMMIT"]
    assert not any("auditlog" in text for text in statements)
    assert told() == []


def test_capture_adds_no_statement_to_a_write(django_assert_num_queries: Any) -> None:
    shelf = Shelf.objects.create(name="A")  # the first write of a connection looks for the functions
    with django_assert_num_queries(1):
        book = Book.objects.create(title="Emma")
    with django_assert_num_queries(1):
        book.save(update_fields=["title", "updated_at"])
    with django_assert_num_queries(1):
        Book.objects.update(shelf=shelf)
    with transaction.atomic(), django_assert_num_queries(1):
        Book.objects.bulk_create(Book(title=str(n)) for n in range(100))
    with django_assert_num_queries(1):
        Book.objects.filter(title="Emma").update(title="Emma II")
