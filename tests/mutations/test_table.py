"""The table of mutations fits the code and the tests, so that `make mutations` can be run at any time."""

from __future__ import annotations

import pytest

from tests.mutations.table import ROOT, Mutation, NotApplicable, all_tests, function_of, invariant_tests, load
from tests.upgrade.versions import changes

MUTATIONS = load()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mutation_still_applies(mutation: Mutation) -> None:
    source = (ROOT / mutation.file).read_text(encoding="utf-8")
    mutated = mutation.applied(source)
    assert mutated != source
    if mutation.file.endswith(".py"):
        compile(mutated, mutation.file, "exec")


@pytest.mark.parametrize("change", changes(), ids=lambda change: f"{change.file}: {change.text[:40].strip()}")
def test_a_change_of_the_next_version_that_upgrades_are_tried_with_still_applies(change: Mutation) -> None:
    assert change.applied((ROOT / change.file).read_text(encoding="utf-8"))


def test_every_test_of_an_invariant_says_which_mechanism_it_proves() -> None:
    listed = {function_of(test) for mutation in MUTATIONS for test in mutation.tests}
    tests = all_tests()
    assert sorted(invariant_tests(tests) - listed) == [], "name in tests/mutations/mutations.toml what makes them fail"
    assert sorted(listed - tests) == []


def test_names_of_mutations_differ() -> None:
    names = [mutation.name for mutation in MUTATIONS]
    assert sorted(names) == sorted(set(names))


def test_a_text_that_is_gone_or_ambiguous_does_not_apply() -> None:
    mutation = Mutation("x", "a.py", "one", "two", ())
    assert mutation.applied("one, 1") == "two, 1"
    for source in ("nothing", "one and one"):
        with pytest.raises(NotApplicable, match=r"a\.py"):
            mutation.applied(source)
    assert Mutation("x", "a.py", "one", "two", (), everywhere=True).applied("one and one") == "two and two"
