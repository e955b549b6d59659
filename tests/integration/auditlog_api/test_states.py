"""What an object was at an instant, who set that, and what differs between two instants."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest
from psycopg.types.json import Jsonb
from rest_framework.test import APIClient

from tests.integration.auditlog_api.conftest import NEWEST, Store
from tests.integration.auditlog_api.lives import ADA, DOCTOR, access, as_of, at, links, row, setters, snapshot, values

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

ACTOR = {"id": "7", "repr": "ada", "type": "user", "on_behalf_of": None}
REFERENCE = {"$ref": "0" * 64, "bytes": 70_000}


def ids(*events: uuid.UUID) -> list[str]:
    return [str(event_id) for event_id in events]


def test_an_object_is_what_its_last_event_left_and_each_field_names_the_event_that_set_it(
    client: APIClient, store: Store
) -> None:
    changed = {**ADA, "email": "b@x"}
    created, updated = ids(
        row(store, 30, None, ADA),
        row(store, 20, ADA, changed, actor=Jsonb(ACTOR), actor_id="7", reason="typo", request_id="r-1"),
    )
    row(store, 10, changed, {**changed, "phone": "1"})

    answer = as_of(client, 15)
    assert (values(answer), answer["event"]["event_id"]) == (changed, updated)
    assert setters(answer) == {"id": created, "email": updated, "phone": created}
    assert answer["fields"]["email"]["set_by"] == {
        "event_id": updated,
        "sequence": f"00000001:{9_980:020}",
        "occurred_at": at(20).replace("+00:00", "Z"),
        "action": "update",
        "actor": ACTOR,
        "reason": "typo",
        "request_id": "r-1",
        "transaction_id": None,
    }
    # The very instant of an event is after it, and a microsecond before is not.
    assert as_of(client, 20)["event"]["event_id"] == updated
    before = (NEWEST - timedelta(minutes=20, microseconds=1)).isoformat()
    assert client.get(f"{DOCTOR}as-of/", {"at": before}).json()["event"]["event_id"] == created
    assert values(client.get(f"{DOCTOR}as-of/").json()) == {**changed, "phone": "1"}


def test_before_it_was_created_an_object_is_as_absent_as_one_that_never_was(client: APIClient, store: Store) -> None:
    row(store, 30, None, ADA)
    absent = client.get(f"{DOCTOR}as-of/", {"at": at(31)})
    never = client.get("/api/audit/v1/objects/doctors.doctor/99/as-of/")
    assert (absent.status_code, never.status_code) == (404, 404)
    assert {**absent.json(), "request_id": ""} == {**never.json(), "request_id": ""}


def test_before_its_first_event_an_object_is_what_that_event_found(client: APIClient, store: Store) -> None:
    first = row(store, 30, ADA, {**ADA, "email": "b@x"})
    answer = as_of(client, 40)
    assert (values(answer), answer["is_before_the_log"]) == (ADA, True)
    assert answer["event"]["event_id"] == str(first)
    assert set(setters(answer).values()) == {"before_the_log"}
    later = as_of(client, 20)
    assert later["is_before_the_log"] is False
    assert setters(later) == {"id": "before_the_log", "email": str(first), "phone": "before_the_log"}


def test_a_deleted_object_is_gone_and_says_by_which_event(client: APIClient, store: Store) -> None:
    row(store, 30, None, ADA)
    deleted = row(store, 20, ADA, None, reason="duplicate", actor=Jsonb(ACTOR))
    for question in ("as-of", "blame"):
        answer = client.get(f"{DOCTOR}{question}/", {"at": at(10)})
        assert (answer.status_code, answer["Content-Type"]) == (410, "application/problem+json")
        problem = answer.json()
        assert (problem["code"], problem["event"]["event_id"]) == ("gone", str(deleted))
        assert (problem["event"]["reason"], problem["event"]["actor"], problem["moved_to"]) == (
            "duplicate",
            ACTOR,
            None,
        )
    assert values(as_of(client, 25)) == ADA


def test_an_object_that_was_created_again_owes_nothing_to_the_former_one(client: APIClient, store: Store) -> None:
    row(store, 50, None, {**ADA, "phone": "1"})
    links(store, 45, "m2m.add", added=["3"])
    row(store, 40, {**ADA, "phone": "1"}, None)
    again = row(store, 30, None, ADA)
    assert client.get(f"{DOCTOR}as-of/", {"at": at(35)}).status_code == 410
    answer = as_of(client, 10)
    assert set(setters(answer).values()) == {str(again)}
    assert answer["memberships"]["specialties"]["members"] == []


def test_a_snapshot_shows_an_object_and_sets_nothing(client: APIClient, store: Store) -> None:
    shown = snapshot(store, 30, ADA)
    answer = as_of(client, 20)
    assert (values(answer), answer["event"]["event_id"]) == (ADA, str(shown))
    assert set(setters(answer).values()) == {"before_the_log"}
    updated = row(store, 15, ADA, {**ADA, "email": "b@x"})
    # Somebody wrote past the audit before the second one.
    snapshot(store, 10, {**ADA, "email": "b@x", "phone": "raw"})
    assert setters(as_of(client, 5)) == {"id": "before_the_log", "email": str(updated), "phone": "before_the_log"}
    snapshot(store, 4, {**ADA, "email": "raw"})
    assert setters(as_of(client, 3))["email"] == "unrecorded"


def test_links_are_those_of_the_instant_each_with_the_event_that_added_it(client: APIClient, store: Store) -> None:
    row(store, 50, None, ADA)
    first = links(store, 40, "m2m.add", added=["3", "9"], labels={"3": "Cardiology", "9": "Surgery"})
    links(store, 30, "m2m.remove", removed=["9"])
    second = links(store, 20, "m2m.add", added=["9"])

    def members(minutes: int) -> dict[str, Any]:
        found = as_of(client, minutes)["memberships"]["specialties"]
        assert found["target_model"] == "doctors.specialty"
        return {one["target"]: (one["target_repr"], one["added_by"]["event_id"]) for one in found["members"]}

    assert members(35) == {"3": ("Cardiology", str(first)), "9": ("Surgery", str(first))}
    assert members(25) == {"3": ("Cardiology", str(first))}
    assert members(10) == {"3": ("Cardiology", str(first)), "9": (None, str(second))}
    assert as_of(client, 45)["memberships"] == {}


def test_a_changed_key_leads_from_one_object_to_the_other(client: APIClient, store: Store) -> None:
    row(store, 30, None, ADA)
    row(store, 20, ADA, None, data=Jsonb({"moved_to": "18"}))
    row(store, 20, None, {**ADA, "id": 18}, object_pk="18", data=Jsonb({"moved_from": "17"}))
    gone = client.get(f"{DOCTOR}as-of/").json()
    assert gone["moved_to"]["object_pk"] == "18"
    assert client.get(gone["moved_to"]["timeline"]).json()["results"][0]["data"] == {"moved_from": "17"}
    there = as_of(client, 10, "/api/audit/v1/objects/doctors.doctor/18/")
    assert there["moved_from"]["object_pk"] == "17"
    assert len(client.get(there["moved_from"]["timeline"]).json()["results"]) == 2
    assert as_of(client, 25)["moved_from"] is None


def test_commits_order_events_and_clocks_only_say_how_far(client: APIClient, store: Store) -> None:
    """A failover to a server whose clock is behind: the later event has the earlier time."""
    row(store, 20, None, ADA, sequence="00000001:1")
    row(store, 10, ADA, {**ADA, "email": "b@x"}, sequence="00000001:2")
    last = row(store, 15, {**ADA, "email": "b@x"}, {**ADA, "email": "c@x", "phone": "1"}, sequence="00000002:3")
    links(store, 12, "m2m.remove", removed=["3"])
    assert values(as_of(client, 16))["email"] == "a@x"
    answer = as_of(client, 5)
    assert (values(answer)["email"], answer["event"]["event_id"]) == ("c@x", str(last))


def test_columns_come_and_go_with_the_table(client: APIClient, store: Store) -> None:
    created = row(store, 50, None, {"id": 17, "fax": "1"})
    row(store, 30, {"id": 17, "email": None, "place": "A"}, {"id": 17, "email": "a@x", "place": "A"})
    assert values(as_of(client, 40)) == {"id": 17, "fax": "1"}
    answer = as_of(client, 20)
    assert (values(answer), setters(answer)["place"]) == ({"id": 17, "email": "a@x", "place": "A"}, "unrecorded")
    found = client.get(f"{DOCTOR}diff/", {"from": at(40), "to": at(20)}).json()
    assert (found["appeared"], found["disappeared"], found["changes"]) == (["email", "place"], ["fax"], {})
    assert setters(answer)["id"] == str(created)


def test_an_event_whose_shape_is_gone_is_read_with_the_model_as_it_is(client: APIClient, store: Store) -> None:
    row(store, 20, None, {"id": 17, "department_id": 3}, shape=uuid.uuid4())

    assert as_of(client, 10)["fields"]["department"]["column"] == "department_id"


def test_references_and_masks_stay_what_they_are(client: APIClient, store: Store) -> None:
    made = {"id": 17, "bio": REFERENCE, "tax_id": "***"}
    created = row(store, 30, None, made, masked=Jsonb(["tax_id"]))
    hidden = row(store, 20, made, made, masked=Jsonb(["tax_id"]), masked_changes={"tax_id": ["***", "***"]})
    answer = as_of(client, 10)
    assert values(answer) == made
    assert setters(answer) == {"id": str(created), "bio": str(created), "tax_id": str(hidden)}
    found = client.get(f"{DOCTOR}diff/", {"from": at(25), "to": at(10)}).json()["changes"]
    assert {name: (one["old"], one["new"]) for name, one in found.items()} == {"tax_id": ("***", "***")}


def test_what_is_no_change_of_the_row_leaves_it_as_it_was(client: APIClient, store: Store) -> None:
    created = row(store, 30, None, ADA)
    # A domain may call its events whatever it likes.
    store(20, action="delete", changes=None, data=Jsonb({"email": "z"}), topic="audit.doctors.doctor.events")
    access(store, 10)
    assert as_of(client, 5)["event"]["event_id"] == str(created)


def test_blame_names_who_set_each_field(client: APIClient, store: Store) -> None:
    created = row(store, 30, None, ADA)
    updated = row(store, 20, ADA, {**ADA, "email": "b@x"})
    answer = client.get(f"{DOCTOR}blame/").json()
    assert setters(answer) == {"id": str(created), "email": str(updated), "phone": str(created)}
    assert all("value" not in field for field in answer["fields"].values())
    earlier = client.get(f"{DOCTOR}blame/", {"at": at(25)}).json()
    assert set(setters(earlier).values()) == {str(created)}


def test_a_diff_shows_changed_fields_alone_and_who_changed_them_last(client: APIClient, store: Store) -> None:
    row(store, 50, None, ADA)
    links(store, 45, "m2m.add", added=["3", "4"], labels={"3": "Cardiology", "4": "Surgery"})
    row(store, 40, ADA, {**ADA, "email": "b@x", "phone": "1"})
    last = row(store, 30, {**ADA, "email": "b@x", "phone": "1"}, {**ADA, "email": "c@x"})
    removed, added = (
        links(store, 25, "m2m.remove", removed=["3"]),
        links(store, 20, "m2m.add", added=["9"], labels={"9": "Oncology"}),
    )
    answer = client.get(f"{DOCTOR}diff/", {"from": at(44), "to": at(10)}).json()
    # The phone was changed and changed back.
    (email,) = answer["changes"].values()
    assert (list(answer["changes"]), email["old"], email["new"]) == (["email"], "a@x", "c@x")
    assert email["set_by"]["event_id"] == str(last)
    changed = answer["memberships"]["specialties"]
    assert [(m["target"], m["target_repr"], m["added_by"]["event_id"]) for m in changed["added"]] == [
        ("9", "Oncology", str(added))
    ]
    assert [(m["target"], m["target_repr"], m["removed_by"]["event_id"]) for m in changed["removed"]] == [
        ("3", "Cardiology", str(removed))
    ]
    assert (answer["from"]["exists"], answer["to"]["exists"]) == (True, True)


def test_a_diff_reaches_over_the_beginning_and_the_end_of_an_object(client: APIClient, store: Store) -> None:
    created = row(store, 50, None, ADA)
    deleted = row(store, 30, ADA, None)
    born = client.get(f"{DOCTOR}diff/", {"from": at(60), "to": at(40)}).json()
    assert (born["from"]["exists"], born["to"]["exists"]) == (None, True)
    assert {name: (c["old"], c["new"]) for name, c in born["changes"].items()} == {
        "id": (None, 17),
        "email": (None, "a@x"),
    }
    assert {c["set_by"]["event_id"] for c in born["changes"].values()} == {str(created)}
    died = client.get(f"{DOCTOR}diff/", {"from": at(40)}).json()
    assert (died["to"]["exists"], died["to"]["event"]["event_id"]) == (False, str(deleted))
    assert {(c["old"], c["new"], c["set_by"]["event_id"]) for c in died["changes"].values()} == {
        (17, None, str(deleted)),
        ("a@x", None, str(deleted)),
    }
    nothing = client.get(f"{DOCTOR}diff/", {"from": at(70), "to": at(60)})
    assert nothing.status_code == 404


def test_what_the_first_event_changed_is_in_a_diff_from_before_it(client: APIClient, store: Store) -> None:
    first = row(store, 30, ADA, {**ADA, "email": "b@x"})
    answer = client.get(f"{DOCTOR}diff/", {"from": at(40), "to": at(20)}).json()
    assert answer["from"]["is_before_the_log"] is True
    assert {name: c["set_by"]["event_id"] for name, c in answer["changes"].items()} == {"email": str(first)}


@pytest.mark.parametrize(
    ("query", "pointer", "code"),
    [
        ("as-of/?at=yesterday", "/at", "invalid_datetime"),
        ("as-of/?at=2026-11-23T09:05:00", "/at", "invalid_datetime"),
        ("as-of/?when=2026-11-23T09:05:00Z", "/when", "unknown_filter"),
        ("blame/?at=2026-11-23T09:05:00Z&at=2026-11-24T09:05:00Z", "/at", "repeated_filter"),
        ("diff/", "/from", "required"),
        ("diff/?from=2026-11-23T09:05:00Z&to=2026-11-23T09:05:00Z", "/from", "invalid_window"),
        ("viewers/?limit=2", "/limit", "unknown_filter"),
    ],
)
def test_what_cannot_be_understood_is_pointed_at(client: APIClient, query: str, pointer: str, code: str) -> None:
    answer = client.get(f"{DOCTOR}{query}")
    assert answer.status_code == 400
    assert [(error["pointer"], error["code"]) for error in answer.json()["errors"]] == [(pointer, code)]
