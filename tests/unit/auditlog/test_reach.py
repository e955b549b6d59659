"""Several grants of one caller never allow what none of them does, and add up where the sum is exact."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from auditlog.access.reach import Reach, combined, narrowed, sum_of
from auditlog.access.scopes import Scope

READ, SENSITIVE, OWN = Scope.READ, Scope.READ_SENSITIVE, Scope.READ_OWN
MODELS = ("a.a", "b.b", "c.c")
DIMENSIONS = {"department": ("1", "2", "3"), "tenant": ("x", "y")}
# A cell: one scope on the rows of one model with these labels. None is a value that no grant names.
CELLS = list(product(Scope, (*MODELS, None), (*DIMENSIONS["department"], None), (*DIMENSIONS["tenant"], None)))


def labels(*given: str) -> Reach:
    """Return the reach of a reader of these labels."""
    return Reach.of(scopes=[READ], models=[], labels=given)


def allowed(reach: Reach) -> set[tuple[object, ...]]:
    """Return all that a reach allows, cell by cell."""
    scopes = reach.scopes | ({OWN} if READ in reach.scopes else set())
    return {
        (scope, model, department, tenant)
        for scope, model, department, tenant in CELLS
        if scope in scopes
        and (reach.models is None or model in reach.models)
        and ("department" not in reach.labels or department in reach.labels["department"])
        and ("tenant" not in reach.labels or tenant in reach.labels["tenant"])
    }


def test_grants_that_differ_in_one_respect_add_up() -> None:
    assert combined([labels("department:1"), labels("department:2")]) == labels("department:1", "department:2")
    assert combined([labels("department:1"), labels()]) == labels()
    one, other = (Reach(frozenset({READ}), frozenset({model})) for model in ("a.a", "b.b"))
    assert combined([one, other]).models == frozenset({"a.a", "b.b"})
    assert combined([Reach(frozenset({READ})), Reach(frozenset({SENSITIVE}))]).scopes == {READ, SENSITIVE}


def test_grants_that_differ_in_more_than_one_respect_narrow_each_other() -> None:
    invoices = Reach(frozenset({READ}), frozenset({"a.a", "c.c"}), {"department": frozenset({"1"})})
    visits = Reach(frozenset({READ}), frozenset({"b.b", "c.c"}), {"department": frozenset({"1", "2"})})

    assert sum_of([invoices, visits]) is None
    assert combined([invoices, visits]) == Reach(
        frozenset({READ}), frozenset({"c.c"}), {"department": frozenset({"1"})}
    )


def test_to_read_everything_includes_to_read_the_own() -> None:
    everything, own = Reach(frozenset({READ, Scope.EXPORT})), Reach(frozenset({OWN}))

    assert narrowed(everything, own).scopes == narrowed(own, everything).scopes == {OWN}
    assert narrowed(everything, everything).scopes == {READ, Scope.EXPORT}
    assert combined([everything, own]) == everything


reaches = st.builds(
    Reach,
    st.frozensets(st.sampled_from(Scope)),
    st.none() | st.frozensets(st.sampled_from(MODELS), min_size=1),
    st.fixed_dictionaries(
        {}, optional={name: st.frozensets(st.sampled_from(values), min_size=1) for name, values in DIMENSIONS.items()}
    ),
)


@given(st.lists(reaches, min_size=1, max_size=4))
def test_nothing_is_seen_that_no_grant_allows(several: list[Reach]) -> None:
    union = set[tuple[object, ...]]().union(*map(allowed, several))

    assert allowed(combined(several)) <= union
    exact = sum_of(several)
    assert exact is None or allowed(exact) == union


@given(reaches, reaches)
def test_what_is_narrowed_is_what_both_allow(one: Reach, other: Reach) -> None:
    assert allowed(narrowed(one, other)) == allowed(one) & allowed(other)
    assert not one.covers(other) or allowed(other) <= allowed(one)
