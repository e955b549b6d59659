"""Which methods that write are not Django's own, and what their code does instead."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from types import CodeType
from typing import Any

from django.db import models

# Names in the code of a method that say that it writes past the ORM.
RAW_NAMES = frozenset({"cursor", "execute", "executemany", "copy", "connection", "connections"})


@dataclass(frozen=True, slots=True)
class Override:
    """A method that replaces one of Django's."""

    # module.Class.method
    name: str
    calls_django: bool
    writes_raw: bool
    # Django's own hook: what replaces it without calling it writes by other means.
    is_hook: bool

    @property
    def passes_by(self) -> bool:
        """Whether it may write what the compilers do not see."""
        return self.writes_raw or self.replaces

    @property
    def replaces(self) -> bool:
        """Whether it stands where Django's own hook would write."""
        return self.is_hook and not self.calls_django

    @property
    def how(self) -> str:
        """In which way it passes by."""
        return "writes raw SQL" if self.writes_raw else "replaces Django's without calling it"


def overrides(owners: list[type], methods: tuple[str, ...]) -> Iterator[Override]:
    """Yield what replaces these methods in the classes of an application."""
    seen: set[str] = set()
    for owner in owners:
        for method in methods:
            found = _override(owner, method)
            if found is not None and found.name not in seen:
                seen.add(found.name)
                yield found


def writers(model: type[models.Model]) -> list[type]:
    """Return the classes of a model's managers and of their querysets."""
    managers: list[Any] = [*model._meta.managers, model._base_manager]
    return list(dict.fromkeys(cls for manager in managers for cls in (type(manager), manager._queryset_class)))


def base_queryset(model: type[models.Model]) -> type:
    """Return the class of the queryset that saves of instances go through."""
    manager: Any = model._base_manager
    queryset: type = manager._queryset_class
    return queryset


def _override(owner: type, method: str) -> Override | None:
    """Return the first definition of a method in the order of inheritance, unless it is Django's."""
    for cls in owner.__mro__:
        if method not in cls.__dict__:
            continue
        if cls.__module__.startswith("django."):
            return None
        function = inspect.unwrap(inspect.getattr_static(cls, method))
        names = _names(getattr(function, "__code__", None))
        return Override(
            name=f"{cls.__module__}.{cls.__qualname__}.{method}",
            calls_django={"super", method} <= names,
            writes_raw=bool(names & RAW_NAMES),
            is_hook=method.startswith("_") or method == "save_base",
        )
    return None


def _names(code: CodeType | None) -> set[str]:
    """Return the names that code uses, with that of its inner functions."""
    if code is None:
        return set()
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return {*code.co_names, *code.co_freevars}.union(*map(_names, inner))
