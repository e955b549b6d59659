"""The list, the single event and the timeline of an object."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest
from django.utils import timezone
from psycopg.types.json import Jsonb
from rest_framework.test import APIClient

from tests.conftest import Events
from tests.integration.auditlog_api.conftest import NEWEST, Store, UserOf, event_id_at

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

EVENTS = "/api/audit/v1/events/"
LISTED = {
    "event_id", "occurred_at", "stored_at", "model", "object_pk", "object_repr", "action", "category", "changes", "m2m",
    "data", "actor", "request_id", "transaction_id", "remote_addr", "reason", "sequence", "redacted",
}  # fmt: skip
DETAILS = {
    "before", "after", "context", "masked", "topic", "partition", "offset", "session", "trace_id", "schema_version",
    "subjects", "labels", "changed_fields",
}  # fmt: skip
ACTOR = {"id": "7", "repr": "m.okonkwo", "type": "user", "on_behalf_of": None}


def found(client: APIClient, **query: Any) -> list[str]:
    """Return the ids of a page."""
    answer = client.get(EVENTS, query)
    assert answer.status_code == 200, answer.content
    return [event["event_id"] for event in answer.json()["results"]]


def at(minutes: int) -> str:
    """Return the time of the event that `store(minutes)` stores."""
    return (NEWEST - timedelta(minutes=minutes)).isoformat()


def test_a_listed_event_has_the_shape_of_the_contract(client: APIClient, store: Store) -> None:
    event_id = store(actor=Jsonb(ACTOR), actor_id="7", request_id="0f6e", transaction_id="774", remote_addr="192.0.2.7")
    response = client.get(EVENTS)
    answer = response.json()

    assert (response["Content-Type"], response["Cache-Control"]) == ("application/json", "no-store")
    assert set(answer) == {"results", "next", "previous", "window", "count", "policy_filters"}
    assert (answer["next"], answer["previous"], answer["count"]) == (None, None, None)
    assert answer["policy_filters"] == []
    (event,) = answer["results"]
    assert set(event) == LISTED
    stored_at = event.pop("stored_at")
    assert timedelta() <= timezone.now() - datetime.fromisoformat(stored_at) < timedelta(minutes=5)
    assert event == {
        "event_id": str(event_id),
        "occurred_at": f"{NEWEST:%Y-%m-%dT%H:%M:%SZ}",
        "model": "doctors.doctor",
        "object_pk": "17",
        "object_repr": "Dr Ada Byron",
        "action": "update",
        "category": "write",
        "changes": {"email": ["a@example.org", "b@example.org"]},
        "m2m": None,
        "data": None,
        "actor": ACTOR,
        "request_id": "0f6e",
        "transaction_id": "774",
        "remote_addr": "192.0.2.7",
        "reason": None,
        "sequence": "00000001:00000000000000010000",
        "redacted": [],
    }


def test_a_single_event_has_both_images_and_its_origin(client: APIClient, store: Store) -> None:
    event_id = store(
        before=Jsonb({"id": 17, "tax_id": "***"}),
        after=Jsonb({"id": 17, "tax_id": "***"}),
        masked=Jsonb(["tax_id"]),
        context=Jsonb({"path": "/api/doctors/17/"}),
    )
    event = client.get(f"{EVENTS}{event_id}/").json()

    assert set(event) == LISTED | DETAILS
    assert {name: event[name] for name in DETAILS} == {
        "before": {"id": 17, "tax_id": "***"},
        "after": {"id": 17, "tax_id": "***"},
        "context": {"path": "/api/doctors/17/"},
        "masked": ["tax_id"],
        "topic": "audit.doctors.doctor",
        "partition": 0,
        "offset": 0,
        "session": None,
        "trace_id": None,
        "schema_version": None,
        "subjects": [],
        "labels": [],
        "changed_fields": [],
    }
    assert client.get(f"{EVENTS}{str(event_id).upper()}/").json() == event


@pytest.mark.parametrize(
    "event_id", ["0191f0c2-7c4e-7b1a-9d5e-3f6a8b2c4d17", "17", "x", "0" * 33, "%00", "019ab0c2", "a b"]
)
def test_an_event_that_is_not_there_is_not_found(client: APIClient, event_id: str) -> None:
    answer = client.get(f"{EVENTS}{event_id}/")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer["Content-Type"] == "application/problem+json"


def test_each_filter_narrows_the_list(client: APIClient, store: Store) -> None:
    plain = str(store(1))
    other_model = str(store(2, model="doctors.patient"))
    other_object = str(store(3, object_pk="18"))
    created = str(store(4, action="create"))
    added = str(store(5, action="m2m.add"))
    by_ada = str(store(6, actor_id="ada"))
    requested = str(store(7, request_id="r-1"))
    everything = [plain, other_model, other_object, created, added, by_ada, requested]

    assert found(client) == everything
    assert found(client, model="doctors.patient") == [other_model]
    assert found(client, object_pk="18") == [other_object]
    assert found(client, action="create") == [created]
    assert found(client, action=["create", "m2m.add"]) == found(client, action="create,m2m.add") == [created, added]
    assert found(client, actor="ada") == [by_ada]
    assert found(client, request_id="r-1") == [requested]
    assert found(client, model="doctors.doctor", object_pk="17", action="update") == [plain, by_ada, requested]
    assert found(client, model="doctors.nobody") == []
    assert found(client, **{"from": at(3)}) == everything[:3]
    assert found(client, to=at(3)) == everything[3:]
    assert found(client, **{"from": at(5), "to": at(3)}) == [created, added]


def test_a_window_holds_events_whose_id_was_made_on_another_clock(client: APIClient, store: Store) -> None:
    early, late = (event_id_at(NEWEST + timedelta(hours=hours)) for hours in (-23, 23))
    store(event_id=early), store(event_id=late)

    window = {"from": at(0), "to": at(-1)}
    assert set(found(client, **window)) == {str(early), str(late)}
    next_page = client.get(client.get(EVENTS, window | {"page_size": 1}).json()["next"]).json()
    assert [event["event_id"] for event in next_page["results"]] == [str(early)]


def test_the_window_that_was_applied_is_echoed(client: APIClient, store: Store) -> None:
    recent, old = str(store(0)), str(store(60 * 24 * 40))

    default = client.get(EVENTS).json()
    assert [event["event_id"] for event in default["results"]] == [recent]
    assert default["window"]["applied"] == "default-30-days"
    start, end = (datetime.fromisoformat(default["window"][name]) for name in ("from", "to"))
    assert end - start == timedelta(days=30)
    assert timedelta() <= timezone.now() - end < timedelta(minutes=5)

    everything = client.get(EVENTS, {"from": "2020-01-01T00:00:00+02:00"}).json()
    assert [event["event_id"] for event in everything["results"]] == [recent, old]
    assert everything["window"]["from"] == "2019-12-31T22:00:00Z"
    assert everything["window"]["applied"] == "requested"

    past = client.get(EVENTS, {"to": at(1)}).json()
    assert past["results"] == []
    assert past["window"]["applied"] == "default-30-days"
    assert datetime.fromisoformat(past["window"]["from"]) == NEWEST - timedelta(days=30, minutes=1)


def test_a_page_holds_up_to_a_thousand_events_and_says_that_there_are_more(client: APIClient, store: Store) -> None:
    for number in range(1_001):
        store(number)

    page = client.get(EVENTS, {"page_size": 1_000}).json()
    assert len(page["results"]) == 1_000
    assert len(client.get(page["next"]).json()["results"]) == 1
    assert len(client.get(EVENTS).json()["results"]) == 100


@pytest.mark.parametrize(
    "pk", ['["acme",42]', "a/b", "/a/", "ü.x", "timeline", "a/timeline/", "a\nb", "%2F", "a?b#c", " "]
)
def test_a_timeline_is_in_commit_order_and_takes_any_key(client: APIClient, store: Store, pk: str) -> None:
    store(0, object_pk="other")
    ids = [str(store(number, object_pk=pk)) for number in (3, 1, 2)]

    answer = client.get(f"/api/audit/v1/objects/doctors.doctor/{quote(pk, safe='')}/timeline/")

    assert answer.status_code == 200, answer.content
    assert [event["event_id"] for event in answer.json()["results"]] == [ids[1], ids[2], ids[0]]
    assert {event["object_pk"] for event in answer.json()["results"]} == {pk}


def test_a_timeline_goes_by_sequence_and_not_by_the_clock(client: APIClient, store: Store) -> None:
    second = store(5, sequence="00000001:00000000000000000002")
    first = store(0, sequence="00000001:00000000000000000001")
    last = store(9, sequence="00000002:00000000000000000001")
    url: str | None = "/api/audit/v1/objects/doctors.doctor/17/timeline/?page_size=1"

    walked = []
    while url:
        page = client.get(url).json()
        walked += [event["event_id"] for event in page["results"]]
        url = page["next"]
    assert walked == [str(last), str(second), str(first)]


def test_a_timeline_is_the_whole_life_unless_narrowed(client: APIClient, store: Store) -> None:
    born = str(store(60 * 24 * 400, action="create"))
    changed = str(store(1))
    url = "/api/audit/v1/objects/doctors.doctor/17/timeline/"

    def ids(**query: str) -> list[str]:
        return [event["event_id"] for event in client.get(url, query).json()["results"]]

    answer = client.get(url).json()
    assert answer["window"] == {"from": None, "to": None, "applied": "all"}
    assert ids() == [changed, born]
    assert ids(action="create") == [born]
    assert ids(**{"from": at(2)}) == [changed]
    assert client.get(url, {"to": at(2)}).json()["window"]["applied"] == "requested"
    assert client.get(url, {"model": "doctors.doctor"}).json()["errors"][0]["pointer"] == "/model"


def test_a_timeline_of_a_model_that_the_code_no_longer_has_is_still_there(client: APIClient, store: Store) -> None:
    gone = str(store(model="clinic.bed"))

    answer = client.get("/api/audit/v1/objects/clinic.bed/17/timeline/").json()
    assert [event["event_id"] for event in answer["results"]] == [gone]
    assert client.get("/api/audit/v1/objects/doctors.doctor/404/timeline/").json()["results"] == []
    for model in ("no.such", "Doctors.Doctor", "doctor", "a.b.c", "x%00.y", "doctors"):
        refused = client.get(f"/api/audit/v1/objects/{model}/17/timeline/")
        assert (refused.status_code, refused.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_nothing_can_be_written(client: APIClient, store: Store, method: str) -> None:
    event_id = store()
    for path in (EVENTS, f"{EVENTS}{event_id}/", "/api/audit/v1/objects/doctors.doctor/17/timeline/"):
        answer = getattr(client, method)(path, json.dumps({"action": "none"}), content_type="application/json")
        assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert client.get(f"{EVENTS}{event_id}/").json()["action"] == "update"


def test_numbers_keep_every_digit(client: APIClient, store: Store) -> None:
    event_id = store(after=Jsonb({"id": 9_223_372_036_854_775_807, "fee": "0.10"}))

    assert client.get(f"{EVENTS}{event_id}/").json()["after"] == {"id": 9_223_372_036_854_775_807, "fee": "0.10"}
    assert datetime.fromisoformat(client.get(f"{EVENTS}{event_id}/").json()["occurred_at"]).tzinfo == UTC


@pytest.mark.parametrize(
    "number",
    ["0.12345678901234567890123", "-1.10", "123456789012345678901234567890", "1234567890123456.7890123", "0.0"],
)
def test_numbers_inside_of_json_keep_every_digit_and_stay_numbers(client: APIClient, store: Store, number: str) -> None:
    nested = Jsonb(None, dumps=lambda _: f'{{"note": {{"deep": [{number}, "x"]}}}}')
    event_id = store(before=nested, after=nested, data=nested, context=nested, changes=nested)

    for answer in (client.get(EVENTS), client.get(f"{EVENTS}{event_id}/")):
        assert f'"note":{{"deep":[{number},"x"]}}' in answer.content.decode()
    detail = json.loads(client.get(f"{EVENTS}{event_id}/").content, parse_float=str, parse_int=str)
    assert [detail[name]["note"]["deep"][0] for name in ("before", "after", "data", "context", "changes")] == [
        number
    ] * 5


def test_text_of_events_is_written_as_it_is(client: APIClient, store: Store) -> None:
    event_id = store(data=Jsonb({"text": "ä ☃ \u2028 </script>"}))

    answer = client.get(f"{EVENTS}{event_id}/")
    assert answer.json()["data"] == {"text": "ä ☃ \u2028 </script>"}
    assert "ä ☃ \\u2028" in answer.content.decode()
    indented = client.get(f"{EVENTS}{event_id}/", headers={"accept": "application/json; indent=2"})
    assert indented.content.startswith(b'{\n  "event_id"')


def test_an_event_that_a_caller_has_is_not_sent_again(
    client: APIClient, user_of: UserOf, store: Store, events: Events
) -> None:
    path = f"/api/audit/v1/events/{store()}/"
    other = APIClient()
    other.force_login(user_of("other"))
    etag = client.get(path)["ETag"]
    events()
    for given in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        again = client.get(path, headers={"if-none-match": given})
        assert (again.status_code, again.content, again["ETag"]) == (304, b"", etag)
        assert again["Cache-Control"] == "no-store"
    assert client.get(path, headers={"if-none-match": '"x"'}).status_code == 200
    # The validator of one caller is none for another.
    theirs = other.get(path, headers={"if-none-match": etag})
    assert theirs.status_code == 200
    assert theirs["ETag"] != etag
    # Who was told that nothing has changed has read it.
    recorded = [event["audit"]["data"] for event in events()]
    assert [(data["status"], data["rows"]) for data in recorded] == [(304, 1)] * 4 + [(200, 1)] * 2
