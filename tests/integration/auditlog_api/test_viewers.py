"""Who looked at an object."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg.types.json import Jsonb
from rest_framework.test import APIClient

from auditlog.api.views import objects
from tests.integration.auditlog_api.conftest import Store
from tests.integration.auditlog_api.lives import DOCTOR, access, at, row

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

ADA = {"id": "7", "repr": "ada", "type": "user", "on_behalf_of": None}
BOB = {"id": "8", "repr": "bob", "type": "user", "on_behalf_of": None}


def viewers(client: APIClient, **query: Any) -> Any:
    answer = client.get(f"{DOCTOR}viewers/", query)
    assert answer.status_code == 200, answer.content
    return answer.json()


def looked(store: Store, minutes: int, who: dict[str, Any] | None, **values: Any) -> None:
    """Store that somebody looked."""
    access(store, minutes, actor=who and Jsonb(who), actor_id=who and who["id"], **values)


def test_viewers_are_told_apart_counted_and_dated_whoever_looked_last_first(client: APIClient, store: Store) -> None:
    row(store, 60, None, {"id": 17}, actor=Jsonb(BOB), actor_id="8")
    looked(store, 50, ADA, reason="ward round")
    looked(store, 40, BOB)
    looked(store, 30, ADA, reason="ward round")
    looked(store, 20, ADA, action="record_printed", reason="referral")
    looked(store, 10, None)
    looked(store, 5, ADA, object_pk="18")

    answer = viewers(client)
    assert answer["window"] == {"from": None, "to": None, "applied": "all"}
    assert answer["is_cut"] is False
    seen = [(one["actor"], one["count"], one["first_at"], one["last_at"]) for one in answer["viewers"]]

    def z(minutes: int) -> str:
        return at(minutes).replace("+00:00", "Z")

    assert seen == [(None, 1, z(10), z(10)), (ADA, 3, z(50), z(20)), (BOB, 1, z(40), z(40))]
    ada = answer["viewers"][1]
    assert (ada["actions"], ada["reasons"]) == (["access", "record_printed"], ["referral", "ward round"])
    assert ada["is_cut"] is False


def test_a_window_bounds_who_looked_and_is_echoed(client: APIClient, store: Store) -> None:
    for minutes, who in ((50, ADA), (40, BOB), (30, ADA)):
        looked(store, minutes, who)
    answer = viewers(client, **{"from": at(45), "to": at(35)})
    assert [one["actor"]["id"] for one in answer["viewers"]] == ["8"]
    assert answer["window"]["applied"] == "requested"


def test_an_answer_that_names_not_everybody_says_so(
    client: APIClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "MOST_VIEWERS", 1)
    looked(store, 50, ADA)
    assert viewers(client)["is_cut"] is False
    looked(store, 40, BOB)
    answer = viewers(client)
    assert ([one["actor"]["id"] for one in answer["viewers"]], answer["is_cut"]) == (["8"], True)


def test_reasons_that_are_not_shown_are_said(client: APIClient, store: Store) -> None:
    for number in range(20):
        looked(store, number, ADA, reason=f"reason {number:02}")
    assert viewers(client)["viewers"][0]["is_cut"] is False
    looked(store, 20, ADA, reason="reason 20")
    (ada,) = viewers(client)["viewers"]
    assert (len(ada["reasons"]), ada["count"], ada["is_cut"]) == (20, 21, True)
