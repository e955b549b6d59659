"""Every filter tree chooses in the database what it means, and shows nothing that its caller may not see."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Iterator
from typing import Any, assert_never

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb
from rest_framework.test import APIClient

from auditlog.access.rights import Rights
from auditlog.access.scopes import Scope
from auditlog.queries import compiler, statistics
from auditlog.queries.compiler import Query
from auditlog.queries.filters import (
    Both,
    Changed,
    Either,
    Field,
    Filter,
    Is,
    Not,
    StartsWith,
    Text,
    Unset,
    Within,
    conjoined,
)
from auditlog.queries.statistics import Dimension
from tests.integration.auditlog_api.conftest import Store
from tests.unit.auditlog_api.trees import JSON_VALUES, NAMES, TREES, VALUES

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])

SEARCH = "/api/audit/v1/events/search/"
AUDITOR = Rights(principal="user:1", scopes=frozenset({Scope.READ, Scope.READ_SENSITIVE}))
# Sees rows, and not the values of sensitive fields.
CLERK = Rights(principal="user:2", scopes=frozenset({Scope.READ}))
COLUMNS = {
    Field.ACTOR: "actor_id",
    Field.ON_BEHALF_OF: "on_behalf_of_id",
    Field.IP: "remote_addr",
    Field.SUBJECT: "subjects",
    Field.LABEL: "labels",
}
SETS = {"subjects", "labels"}
Row = dict[str, Any]


def _some(field: Field) -> st.SearchStrategy[Any]:
    if COLUMNS.get(field) in SETS:
        return st.lists(st.sampled_from(VALUES[field]), max_size=2, unique=True)
    optional = field not in {Field.ACTION, Field.CATEGORY, Field.MODEL}
    return st.sampled_from(VALUES[field]) | (st.none() if optional else st.nothing())


ROWS = st.fixed_dictionaries(
    {
        **{COLUMNS.get(field, str(field)): _some(field) for field in Field if field is not Field.ACTOR_TYPE},
        "actor": st.none() | st.sampled_from([{"type": "user"}, {"type": "command"}]),
        "actor_repr": st.sampled_from([None, "ada"]),
        "object_repr": st.sampled_from([None, "Ada Byron", "adam"]),
        "changes": st.none()
        | st.dictionaries(st.sampled_from(NAMES), st.tuples(*[st.sampled_from(JSON_VALUES)] * 2).map(list)),
        "classes": st.sampled_from([None, {"sensitive": ["email"]}, {"public": ["email"]}]),
    }
)


def holds(tree: Filter, row: Row, rights: Rights) -> bool:  # noqa: PLR0911 - one for each kind
    """Say what a tree means: the same by hand."""
    match tree:
        case Both(parts):
            return all(holds(part, row, rights) for part in parts)
        case Either(parts):
            return any(holds(part, row, rights) for part in parts)
        case Not(part):
            return not holds(part, row, rights)
        case Is(Field.ACTOR_TYPE, values):
            return row["actor"] is not None and row["actor"]["type"] in values
        case Is(field, values):
            found = row[COLUMNS.get(field, str(field))]
            return not set(found).isdisjoint(values) if isinstance(found, list) else found in values
        case StartsWith(field, prefix):
            return (row[str(field)] or "").startswith(prefix)
        case Within(network):
            return row["remote_addr"] is not None and ipaddress.ip_address(row["remote_addr"]) in network
        case Changed():
            return _changed(tree, row, rights)
        case Text(words):
            texts = [row[name] for name in ("object_repr", "actor_repr", "reason", "action", "model")]
            known = " ".join(text.lower() for text in texts if text).replace(".", " ").split()
            return all(any(found.startswith(word) for found in known) for word in words)
        case _:
            assert_never(tree)


def _changed(tree: Changed, row: Row, rights: Rights) -> bool:
    if tree.field not in (row["changes"] or {}):
        return False
    asked = [(values, found) for values, found in zip((tree.old, tree.new), row["changes"][tree.field], strict=True)]
    given = [(values, found) for values, found in asked if not isinstance(values, Unset)]
    if (
        given
        and Scope.READ_SENSITIVE not in rights.scopes
        and tree.field in (row["classes"] or {}).get("sensitive", ())
    ):
        return False
    return all(any(found == value and type(found) is type(value) for value in values) for values, found in given)


def _stored(row: Row) -> Row:
    documents = {name: Jsonb(row[name]) for name in ("actor", "changes", "classes") if row[name] is not None}
    return {**row, **documents, "changed_fields": sorted(row["changes"] or {})}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=TREES, rows=st.lists(ROWS, max_size=6), rights=st.sampled_from([AUDITOR, CLERK]))
def test_a_tree_chooses_the_rows_that_it_means(store: Store, tree: Filter, rows: list[Row], rights: Rights) -> None:
    run = uuid.uuid4().hex
    ids = {store(number, **_stored(row), topic=run): row for number, row in enumerate(rows)}

    chosen = compiler.rows(Query(tree), rights).filter(topic=run).values_list("event_id", flat=True)

    assert set(chosen) == {event_id for event_id, row in ids.items() if holds(tree, row, rights)}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    tree=TREES,
    rows=st.lists(ROWS, max_size=6),
    models=st.none() | st.sets(st.sampled_from(VALUES[Field.MODEL])).map(frozenset),
    labels=st.dictionaries(st.just("shop"), st.sets(st.sampled_from(["north", "south"]), min_size=1).map(frozenset)),
    scope=st.sampled_from([Scope.READ, Scope.READ_OWN]),
)
def test_no_tree_chooses_a_row_that_its_caller_may_not_see(
    store: Store,
    tree: Filter,
    rows: list[Row],
    models: frozenset[str] | None,
    labels: dict[str, frozenset[str]],
    scope: Scope,
) -> None:
    rights = Rights("user:3", frozenset({scope}), actor_id="7", models=models, labels=labels)
    run = uuid.uuid4().hex
    ids = {store(number, **_stored(row), topic=run): row for number, row in enumerate(rows)}

    def visible(row: Row) -> bool:
        own = scope is Scope.READ or row["actor_id"] == "7"
        of_model = models is None or row["model"] in models
        return (
            own
            and of_model
            and all(any(f"{name}:{value}" in row["labels"] for value in values) for name, values in labels.items())
        )

    chosen = compiler.rows(Query(tree), rights).filter(topic=run).values_list("event_id", flat=True)

    assert set(chosen) == {event_id for event_id, row in ids.items() if visible(row) and holds(tree, row, rights)}


def test_a_caller_without_a_scope_sees_nothing(store: Store) -> None:
    store()
    for scopes, actor_id in [((), None), ((), "7"), ((Scope.READ_OWN,), None), ((Scope.READ_SENSITIVE,), "7")]:
        rights = Rights("user:4", frozenset(scopes), actor_id=actor_id)
        assert not compiler.rows(Query(), rights).exists()
        assert not compiler.rows(Query(Not(Text(("nothing",)))), rights).exists()


def test_a_search_answers_as_the_list_does(client: APIClient, store: Store) -> None:
    store(0, actor_id="7"), store(1, actor_id="8", action="m2m.add"), store(2, actor_id="7", action="delete")
    body = {"filter": {"and": [{"field": "actor", "is": "7"}, {"not": {"field": "action", "in": ["delete"]}}]}}

    searched = client.post(SEARCH, body).json()
    listed = client.get("/api/audit/v1/events/", {"actor": "7", "not.action": "delete"}).json()

    assert searched["results"] == listed["results"]
    assert len(searched["results"]) == 1


def test_pages_of_a_search_are_bound_to_its_body(client: APIClient, store: Store) -> None:
    stored = [str(store(number, actor_id="7")) for number in range(5)]
    body: dict[str, Any] = {"filter": {"field": "actor", "is": "7"}, "page_size": 2}
    seen: list[str] = []
    for page in _walk(client, body):
        seen += [event["event_id"] for event in page["results"]]
    assert seen == stored

    following = client.post(SEARCH, body).json()["next"]
    other = client.post(following, {**body, "filter": {"field": "actor", "is": "8"}})
    assert (other.status_code, other.json()["code"]) == (400, "invalid_cursor")
    assert client.post(following, {**body, "page_size": 4}).status_code == 200


def test_a_search_is_no_list(client: APIClient) -> None:
    assert client.get(SEARCH).status_code == 405
    answer = client.post(f"{SEARCH}?actor=7", {})
    assert answer.json()["errors"][0]["pointer"] == "/actor"
    answer = client.post(SEARCH, {"filter": {"and": [{"field": "colour", "is": "red"}]}})
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_filter")
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/filter/and/0/field"]


def test_members_are_chosen_and_included(client: APIClient, store: Store) -> None:
    store(after=Jsonb({"id": 17}), session="sha256:a")

    (chosen,) = client.get("/api/audit/v1/events/", {"fields": "event_id,after,session"}).json()["results"]
    assert set(chosen) == {"event_id", "after", "session"}
    assert (chosen["after"], chosen["session"]) == ({"id": 17}, "sha256:a")
    (event,) = client.post(SEARCH, {"fields": ["model"], "include": ["after"]}).json()["results"]
    assert event.keys() == {"model", "after"}
    (event,) = client.post(SEARCH, {"include": ["after"]}).json()["results"]
    assert event["after"] == {"id": 17}
    assert "session" not in event


def test_an_unseen_value_cannot_be_guessed_by_a_negation(store: Store) -> None:
    store(changes=Jsonb({"email": ["a", "b"]}), changed_fields=["email"], classes=Jsonb({"sensitive": ["email"]}))

    def chosen(guess: str) -> bool:
        wanted = conjoined(Changed("email"), Not(Changed("email", new=(guess,))))
        return compiler.rows(Query(wanted), CLERK).exists()

    assert chosen("b") == chosen("c")


@pytest.mark.parametrize(
    ("name", "column", "field"), [("$subjects", "subjects", Field.SUBJECT), ("$labels", "labels", Field.LABEL)]
)
def test_unseen_subjects_and_labels_cannot_be_guessed_or_counted(
    store: Store, name: str, column: str, field: Field
) -> None:
    """The model is registered with neither, as after a change of the registration: the event decides."""
    store(classes=Jsonb({"health": ["patient", name]}), **{column: ["a:1"]})
    open_to_all = store(classes=Jsonb({"health": ["patient"]}), **{column: ["a:1"]})

    def chosen(guess: str, rights: Rights = CLERK) -> set[Any]:
        return set(compiler.rows(Query(Is(field, (guess,))), rights).values_list("event_id", flat=True))

    assert (chosen("a:1"), chosen("a:2")) == ({open_to_all}, set())
    assert len(chosen("a:1", AUDITOR)) == 2
    (facet,) = statistics.facets(Query(), CLERK, [Dimension(field)], limit=10).facets.values()
    assert facet.found == (("a:1", 1),)
    assert compiler.rows(Query(Not(Is(field, ("a:1",)))), CLERK).count() == 1


def _walk(client: APIClient, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    url: str | None = SEARCH
    while url:
        page = client.post(url, body).json()
        yield page
        url = page["next"]
