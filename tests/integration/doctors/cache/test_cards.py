"""The cards of doctors come out of the cache, and are those of the rows."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from pytest_django import DjangoAssertNumQueries, Settings

from doctors import cards
from doctors.models import Department, Doctor, Specialty
from tests.integration.doctors.conftest import Client

pytestmark = pytest.mark.django_db(transaction=True)

ADDRESS = "/api/doctor-cards/"


@pytest.fixture
def ada() -> Doctor:
    """A doctor of a department, with something private."""
    ward = Department.objects.create(code="W1", name="Ward")
    return Doctor.objects.create(
        first_name="Ada", last_name="Byron", department=ward, tax_id="98-1", email="ada@example.org"
    )


def test_a_card_is_read_once_and_again_after_a_change(
    kept_in: str, ada: Doctor, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    assert cards.card_of_slug(ada.slug) == cards.card(ada)
    with django_assert_num_queries(0):
        assert cards.card_of_slug(ada.slug) == cards.card(ada)
    ada.specialties.add(Specialty.objects.create(name="Surgery"))
    kept = cards.card_of_slug(ada.slug)
    assert kept is not None
    assert kept["specialties"] == ["Surgery"]


def test_a_page_and_a_department_follow_what_is_written(kept_in: str, ada: Doctor) -> None:
    ward = Department.objects.get()
    assert cards.page(1, 50)["count"] == 1
    assert [card["last_name"] for card in cards.cards_of_department(ward.pk)] == ["Byron"]
    Doctor.objects.bulk_create([Doctor(first_name="Ben", last_name="Abel")])
    Doctor.objects.get(last_name="Abel").departments.add(ward)
    assert cards.page(1, 50)["count"] == 2
    assert [card["last_name"] for card in cards.cards_of_department(ward.pk)] == ["Abel", "Byron"]
    Doctor.objects.update(is_active=False)
    assert cards.cards_of_department(ward.pk) == []


def test_nobody_is_remembered_as_missing(kept_in: str) -> None:
    assert cards.card_of_slug("nobody") is None
    assert cache.get("doctor:slug:nobody") is None


def test_without_a_cache_that_all_processes_share_everything_is_read(
    ada: Doctor, settings: Settings, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    assert settings.CACHE_SECONDS == 0
    for _ in range(2):
        with django_assert_num_queries(1):
            cards.card_of_slug(ada.slug)


def test_the_api_shows_cards_without_what_is_private(ada: Doctor, client_of: Client) -> None:
    client = client_of("view_doctor")
    shown = {
        "id": ada.pk,
        "slug": ada.slug,
        "npi": None,
        "first_name": "Ada",
        "last_name": "Byron",
        "credential": "",
        "is_active": True,
        "department": "W1",
        "specialties": [],
    }
    assert client.get(f"{ADDRESS}{ada.slug}/").json() == shown
    assert client.get(f"{ADDRESS}?page=1&page_size=10").json() == {"count": 1, "results": [shown]}
    assert client.get(f"{ADDRESS}?page=2").json() == {"count": 1, "results": []}
    assert client.get(f"{ADDRESS}of-department/{ada.department_id}/").json() == [shown]


@pytest.mark.parametrize("query", ["page=0", "page=x", "page_size=501", "unknown=1", "page=99999999999999999999"])
def test_a_page_that_cannot_be_is_refused(client_of: Client, query: str) -> None:
    answer = client_of("view_doctor").get(f"{ADDRESS}?{query}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == f"/{query.partition('=')[0]}"


def test_cards_need_the_right_to_view_doctors_and_a_doctor(client_of: Client) -> None:
    assert client_of("view_department").get(ADDRESS).status_code == 403
    assert client_of("view_doctor", username="ben").get(f"{ADDRESS}nobody/").status_code == 404
