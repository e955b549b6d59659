"""
What auditing costs in statements: nothing to a model that is not registered; fast deletes to one that is, and fast adds
of links only where it asks for labels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import connection, connections, models
from django.db.models.deletion import Collector
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save

from auditlog.capture.compilers import install
from auditlog.registry import auditlog
from tests.samples.models import Unwatched

pytestmark = [pytest.mark.postgres_versions, pytest.mark.django_db]


def rows() -> None:
    """Write rows in every way that has no relations to look after."""
    row = Unwatched.objects.create(value=1)
    row.value = 2
    row.save()
    row.save(update_fields=["value"])
    Unwatched.objects.update(value=3)
    made = Unwatched.objects.bulk_create(Unwatched(value=value) for value in (4, 5))
    Unwatched.objects.bulk_update(made, ["value"])
    Unwatched.objects.update_or_create(value=4, defaults={"value": 6})


def deletes() -> None:
    """Delete an instance, then a set."""
    Unwatched.objects.create(value=1).delete()
    Unwatched.objects.filter(value=1).delete()


def create_and_delete() -> None:
    """Delete a set that has a row."""
    Unwatched.objects.create(value=1)
    Unwatched.objects.all().delete()


def links() -> None:
    """Add, take away and replace links of a through table that Django made."""
    group, permissions = Group.objects.create(name="g"), list(Permission.objects.order_by("pk")[:3])
    group.permissions.add(*permissions[:2])
    group.permissions.remove(permissions[0])
    group.permissions.set(permissions[1:])
    permissions[0].group_set.add(group)


def clearing() -> None:
    """Take all links away."""
    group = Group.objects.create(name="c")
    group.permissions.clear()


@contextmanager
def registered(model: type[models.Model], **options: Any) -> Iterator[None]:
    auditlog.register(model, **options)
    try:
        yield
    finally:
        auditlog.unregister(model)


@pytest.fixture(autouse=True)
def known_functions() -> None:
    """The first captured write of a connection looks for the functions, and that of a process for Django's caches."""
    with registered(Unwatched), registered(Group):
        Unwatched.objects.create()
        Group.objects.create(name="first").permissions.add(*Permission.objects.all()[:1])


@contextmanager
def django_alone() -> Iterator[None]:
    """Compile as Django does where nobody audits."""
    operations: Any = type(connection.ops)
    ours = operations.compiler_module
    operations.compiler_module = "django.db.backends.postgresql.compiler"
    for alias in connections:
        fresh: Any = connections[alias].ops
        fresh._cache = None
    try:
        yield
    finally:
        operations.compiler_module = ours
        install()


def statements(program: Callable[[], Any]) -> list[str]:
    """Return the statements that a program runs, without their parameters."""
    Unwatched.objects.all()._raw_delete("default")
    Group.objects.all().delete()
    seen: list[str] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        # Savepoints have names of their own.
        seen.append(sql.split(maxsplit=1)[0] if "SAVEPOINT" in sql else sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        program()
    return seen


def verbs(program: Callable[[], None]) -> list[str]:
    """Return what the statements of a program do."""
    known = ("SAVEPOINT", "RELEASE", "INSERT", "UPDATE", "DELETE", "SELECT")
    return [next(word for word in known if word in sql.replace("(", " ").split()) for sql in statements(program)]


@pytest.mark.parametrize("program", [rows, deletes, links, clearing])
def test_a_model_that_is_not_registered_has_the_statements_of_django(program: Callable[[], None]) -> None:
    ours = statements(program)
    assert not any("auditlog" in sql for sql in ours)
    with django_alone():
        assert statements(program) == ours


def test_a_model_that_is_not_registered_keeps_djangos_fast_paths() -> None:
    collector = Collector(using="default")
    assert collector.can_fast_delete(Unwatched.objects.all())
    assert statements(lambda: Unwatched.objects.all().delete()) == ['DELETE FROM "samples_unwatched"']
    through: Any = Group.permissions.through
    signals = (pre_save, post_save, pre_delete, post_delete)
    assert not any(signal.has_listeners(model) for signal in signals for model in (Unwatched, Group, through))
    assert not m2m_changed.has_listeners(through)


def test_a_registered_model_takes_no_statement_more_but_for_deletes() -> None:
    plain = verbs(rows)
    deleting = verbs(deletes)
    with registered(Unwatched):
        captured = statements(rows)
        assert verbs(rows) == plain
        # A set is read before it is deleted: somebody listens to the deletion of each of its rows.
        assert deleting == ["INSERT", "DELETE", "DELETE"]
        assert verbs(deletes) == ["INSERT", "DELETE", "SELECT"]
        assert verbs(create_and_delete) == ["INSERT", "SELECT", "DELETE"]
    assert len([sql for sql in captured if "auditlog_emit" in sql]) == 7


def test_links_take_a_statement_more_only_where_labels_are_asked_for() -> None:
    plain = verbs(links)
    with registered(Group):
        through: Any = Group.permissions.through
        assert not m2m_changed.has_listeners(through)
        assert verbs(links) == plain
    with registered(Group, m2m_labels=True):
        assert m2m_changed.has_listeners(through)
        labelled = verbs(links)
    assert len(labelled) > len(plain)
    assert [verb for verb in labelled if verb != "SELECT"] == [verb for verb in plain if verb != "SELECT"]
    # What was taken comes back.
    assert verbs(links) == plain
