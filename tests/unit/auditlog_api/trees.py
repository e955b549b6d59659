"""Filter trees of all kinds, as hypothesis makes them."""

from __future__ import annotations

import ipaddress

from hypothesis import strategies as st

from auditlog.queries.filters import (
    UNSET,
    WITH_PREFIX,
    Both,
    Changed,
    Either,
    Field,
    Filter,
    Is,
    Not,
    StartsWith,
    Text,
    Within,
)

# Few of each, so that conditions meet rows.
VALUES: dict[Field, list[str]] = {
    Field.ACTOR: ["7", "8"],
    Field.ACTOR_TYPE: ["user", "command"],
    Field.ON_BEHALF_OF: ["9"],
    Field.ACTION: ["create", "m2m.add", "m2m.remove"],
    Field.CATEGORY: ["read", "write"],
    Field.MODEL: ["shop.order", "shop.item"],
    Field.OBJECT: ["1", '["a",2]'],
    Field.OBJECT_REPR: ["Ada Byron", "adam"],
    Field.SUBJECT: ["shop.person:1", "shop.person:2"],
    Field.LABEL: ["shop:north", "shop:south"],
    Field.IP: ["192.0.2.7", "192.0.2.8", "2001:db8::1"],
    Field.REQUEST: ["r1"],
    Field.SESSION: ["sha256:a"],
    Field.TRACE: ["a" * 32],
    Field.TRANSACTION: ["774"],
    Field.REASON: ["emergency", "emergency care"],
}
NAMES = ["email", "fee"]
JSON_VALUES = [None, 1, "a", "b"]
WORDS = ["ada", "byron", "by", "emergency"]
alternatives = st.just(UNSET) | st.lists(st.sampled_from(JSON_VALUES), min_size=1, max_size=2).map(tuple)


def _is(field: Field) -> st.SearchStrategy[Filter]:
    some = st.lists(st.sampled_from(VALUES[field]), min_size=1, max_size=2, unique=True)
    return some.map(lambda values: Is(field, tuple(sorted(values))))


CONDITIONS: st.SearchStrategy[Filter] = (
    st.sampled_from(list(Field)).flatmap(_is)
    | st.builds(StartsWith, st.sampled_from(sorted(WITH_PREFIX)), st.sampled_from(["m2m.", "emergency", "shop.o"]))
    | st.builds(Within, st.sampled_from(["192.0.2.0/24", "2001:db8::/32", "10.0.0.0/8"]).map(ipaddress.ip_network))
    | st.builds(Changed, st.sampled_from(NAMES), alternatives, alternatives)
    | st.lists(st.sampled_from(WORDS), min_size=1, max_size=2, unique=True).map(lambda words: Text(tuple(words)))
)
TREES: st.SearchStrategy[Filter] = st.recursive(
    CONDITIONS,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: Both(tuple(parts)))
        | st.lists(inner, max_size=3).map(lambda parts: Either(tuple(parts)))
        | inner.map(Not)
    ),
    max_leaves=5,
)
