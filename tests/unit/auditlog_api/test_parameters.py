"""Query parameters are understood or refused by name, whatever they are."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.http import QueryDict
from hypothesis import given
from hypothesis import strategies as st

from auditlog.api import asked, parameters
from auditlog.api.asked import Asked, Window
from auditlog.api.problems import InvalidCursor, InvalidFilter
from auditlog.queries.compiler import Query
from auditlog.queries.counts import CountKind
from auditlog.queries.filters import UNSET, Both, Changed, Field, Filter, Is, Not, StartsWith, Text, Within
from auditlog.queries.sorting import Sort

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
EARLIER = NOW - timedelta(days=30)


def parse(query: str, *, default_days: int | None = 30) -> Asked:
    return parameters.parse(QueryDict(query), known=parameters.LIST, now=NOW, default_days=default_days)


def test_without_a_window_the_last_days_apply() -> None:
    assert parse("") == Asked(Query(Both(), EARLIER, NOW), Window(EARLIER, NOW, "default-30-days"))


def test_without_a_window_and_a_default_everything_applies() -> None:
    assert parse("", default_days=None) == Asked(Query(), Window(None, None, "all"))


def test_what_shapes_the_answer_is_understood() -> None:
    query = (
        "from=2026-11-01T01:00:00%2B01:00&to=2026-11-02T00:00:00.5Z&page_size=1000&cursor=x&sort=-actor"
        "&fields=event_id,after&include=context,before&count=capped"
    )
    since, until = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, 0, 0, 0, 500_000, tzinfo=UTC)
    assert parse(query) == Asked(
        Query(Both(), since, until),
        Window(since, until, "requested"),
        sort=Sort("actor", descending=True),
        page_size=1_000,
        cursor="x",
        fields=("event_id", "after"),
        include=frozenset({"before", "context"}),
        count=CountKind.CAPPED,
    )


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("model=doctors.doctor", Is(Field.MODEL, ("doctors.doctor",))),
        ("model=doctors.*", StartsWith(Field.MODEL, "doctors.")),
        ("object_pk=%5B%22acme%22%2C42%5D", Is(Field.OBJECT, ('["acme",42]',))),
        ("action=update,create&action=delete", Is(Field.ACTION, ("create", "delete", "update"))),
        ("action=m2m.*", StartsWith(Field.ACTION, "m2m.")),
        ("category=read,security", Is(Field.CATEGORY, ("read", "security"))),
        ("actor=7", Is(Field.ACTOR, ("7",))),
        ("actor_type=api_key", Is(Field.ACTOR_TYPE, ("api_key",))),
        ("on_behalf_of=9", Is(Field.ON_BEHALF_OF, ("9",))),
        ("subject=doctors.patient:42", Is(Field.SUBJECT, ("doctors.patient:42",))),
        ("label=department:3", Is(Field.LABEL, ("department:3",))),
        ("ip=192.0.2.7", Is(Field.IP, ("192.0.2.7",))),
        ("ip=2001:DB8::1", Is(Field.IP, ("2001:db8::1",))),
        ("ip=192.0.2.0/24", Within(ipaddress.ip_network("192.0.2.0/24"))),
        ("request_id=r", Is(Field.REQUEST, ("r",))),
        ("session=sha256:ab", Is(Field.SESSION, ("sha256:ab",))),
        (f"trace_id={'a' * 32}", Is(Field.TRACE, ("a" * 32,))),
        ("transaction_id=774", Is(Field.TRANSACTION, ("774",))),
        ("reason=because", Is(Field.REASON, ("because",))),
        ("reason=emergency*", StartsWith(Field.REASON, "emergency")),
        ("q=Ada+BYRON", Text(("Ada", "BYRON"))),
        ("changed_field=email", Changed("email")),
        ("changed_field=email&old=a%40b", Changed("email", old=("a@b",))),
        ("changed_field=fee&old=1.50&new=null", Changed("fee", ("1.50", Decimal("1.50")), ("null", None))),
        ("changed_field=fee&new=NaN", Changed("fee", UNSET, ("NaN",))),
        ("changed_field=fee&new=1e9999", Changed("fee", UNSET, ("1e9999",))),
        ("not.actor=7", Not(Is(Field.ACTOR, ("7",)))),
        ("not.action=m2m.*", Not(StartsWith(Field.ACTION, "m2m."))),
        ("not.changed_field=email", Not(Changed("email"))),
        ("actor=7&not.q=test", Both((Is(Field.ACTOR, ("7",)), Not(Text(("test",)))))),
    ],
)
def test_a_filter_becomes_a_tree(query: str, wanted: Filter) -> None:
    assert parse(query).query.filter == wanted


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("old=5", "old"),
        ("new=5&not.changed_field=a", "new"),
        ("ip=192.0.2.7/24", "ip"),
        ("ip=elsewhere", "ip"),
        ("category=writes", "category"),
        ("not.actor_type=robot", "not.actor_type"),
        ("subject=42", "subject"),
        ("label=department", "label"),
        ("trace_id=XYZ", "trace_id"),
        ("model=*", "model"),
        ("sort=offset", "sort"),
        ("sort=--model", "sort"),
        ("fields=secret", "fields"),
        ("include=changes", "include"),
        ("count=some", "count"),
        ("q=+", "q"),
        ("q=a+b+c+d+e+f+g+h+i+j+k", "q"),
        ("not.page_size=4", "not.page_size"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(query: str, name: str) -> None:
    with pytest.raises(InvalidFilter) as raised:
        parse(query)
    assert list(raised.value.detail) == [name]


@pytest.mark.parametrize("value", ["", "%00", "a%00b", "x" * 6_001])
@pytest.mark.parametrize(("name", "known"), [("cursor", parameters.LIST), ("after", parameters.FEED)])
def test_what_no_cursor_could_be_is_no_wrong_filter(value: str, name: str, known: frozenset[str]) -> None:
    with pytest.raises(InvalidCursor):
        parameters.parse(QueryDict(f"{name}={value}&colour=red"), known=known, now=NOW, default_days=None)
    with pytest.raises(InvalidFilter):
        parameters.parse(QueryDict(f"{name}={value}"), known=parameters.FILTERS, now=NOW, default_days=None)


@pytest.mark.parametrize("query", ["from=2026-11-25T12:00:00Z", "from=2027-01-01T00:00:00Z"])
def test_a_window_in_the_future_is_refused_rather_than_empty(query: str) -> None:
    with pytest.raises(InvalidFilter) as raised:
        parse(query)
    assert list(raised.value.detail) == ["from"]
    assert parse(f"{query}&to=2028-01-01T00:00:00Z").window.applied == "requested"


def test_the_earliest_end_has_a_window_too() -> None:
    assert parse("to=1971-01-01T00:00:00Z").query.since == asked.EARLIEST


@given(
    st.dictionaries(
        st.sampled_from(sorted(parameters.LIST)) | st.text(max_size=5),
        st.text(max_size=40) | st.datetimes().map(str) | st.integers().map(str) | st.floats().map(str),
        max_size=5,
    )
)
def test_nothing_else_than_a_named_refusal_comes_of_any_query(given_values: dict[str, str]) -> None:
    query = QueryDict(mutable=True)
    query.update(given_values)
    try:
        understood = parameters.parse(query, known=parameters.LIST, now=NOW, default_days=30).query
    except InvalidCursor:
        assert not given_values["cursor"] or "\x00" in given_values["cursor"]
        return
    except InvalidFilter as exc:
        refused = exc
    else:
        assert set(given_values) <= parameters.LIST
        assert understood.since is not None
        assert understood.until is not None
        assert understood.since <= understood.until
        return
    assert set() < set(refused.detail) <= set(given_values)
