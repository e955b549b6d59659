"""How far access reaches: scopes, models, labels; how several grants make one reach. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce

from auditlog.access.scopes import Scope, common

Labels = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Reach:
    """What a permission, a grant or a key allows."""

    scopes: frozenset[Scope]
    # None: all.
    models: frozenset[str] | None = None
    # Dimension -> values; a dimension that is not named leaves out no row.
    labels: Labels = field(default_factory=dict)

    @classmethod
    def of(cls, *, scopes: Iterable[Scope], models: Sequence[str], labels: Iterable[str]) -> Reach:
        """Return the reach of what a grant lists: no models mean all, labels are `dimension:value`."""
        found: dict[str, set[str]] = {}
        for label in labels:
            dimension, _, value = label.partition(":")
            found.setdefault(dimension, set()).add(value)
        values = {dimension: frozenset(members) for dimension, members in found.items()}
        return cls(frozenset(scopes), frozenset(models) if models else None, values)

    def covers(self, other: Reach) -> bool:
        """Tell whether everything that the other allows is allowed here."""
        return narrowed(self, other) == other


def narrowed(one: Reach, other: Reach) -> Reach:
    """Return what both allow."""
    dimensions = one.labels.keys() | other.labels.keys()
    labels = {name: _both(one.labels.get(name), other.labels.get(name)) or frozenset() for name in dimensions}
    return Reach(common(one.scopes, other.scopes), _both(one.models, other.models), labels)


def combined(reaches: Sequence[Reach]) -> Reach:
    """
    Return what several grants allow together.

    They add up where the sum is exact: where one covers another, and where two differ in one respect only (the scopes,
    the models, or the labels of one dimension). Otherwise each narrows the others, so that nobody sees what none of
    the grants allows: a clerk for the invoices of one department and the visits of another would see the invoices of
    both.
    """
    return sum_of(reaches) or reduce(narrowed, reaches)


def sum_of(reaches: Sequence[Reach]) -> Reach | None:
    """Return the reach that allows exactly what one of them allows; None where no single reach does."""
    left = list(reaches)
    while len(left) > 1:
        pairs = ((one, other, _sum(one, other)) for one in left for other in left if one is not other)
        found = next(((one, other, both) for one, other, both in pairs if both is not None), None)
        if found is None:
            return None
        one, other, both = found
        left = [*(reach for reach in left if reach is not one and reach is not other), both]
    return left[0]


def _sum(one: Reach, other: Reach) -> Reach | None:
    if one.covers(other):
        return one
    differing = [
        name for name in one.labels.keys() | other.labels.keys() if one.labels.get(name) != other.labels.get(name)
    ]
    match one.scopes != other.scopes, one.models != other.models, differing:
        case True, False, []:
            return replace(one, scopes=one.scopes | other.scopes)
        case False, True, []:
            return replace(one, models=_either(one.models, other.models))
        case False, False, [name]:
            values = _either(one.labels.get(name), other.labels.get(name))
            labels = {key: kept for key, kept in one.labels.items() if key != name}
            return replace(one, labels=labels if values is None else {**labels, name: values})
        case _:
            return None


def _both(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _either(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    return None if one is None or other is None else one | other
