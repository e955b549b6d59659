"""Who an actor is, and what of a command line may be told."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser

from auditlog.actors import Actor, command_actor, command_line
from auditlog.vocabulary import ActorType


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["/srv/manage.py", "migrate", "--noinput"], "manage.py migrate --noinput"),
        (["manage.py", "x", "--password=plain", "--name", "a"], "manage.py x --password=*** --name a"),
        (["manage.py", "x", "--api-token", "plain", "b"], "manage.py x --api-token *** b"),
        (["manage.py", "x", "--secret-key"], "manage.py x --secret-key"),
        (["manage.py", "x", "postgres://u:plain@h/d"], "manage.py x postgres://***@h/d"),
        (["manage.py", "x", "--url=postgres://u:plain@h/d"], "manage.py x --url=postgres://***@h/d"),
    ],
)
def test_i9_a_command_line_is_told_without_what_looks_like_a_secret(argv: list[str], told: str) -> None:
    assert command_line(argv) == told


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["/srv/manage.py", "migrate"], "manage.py migrate"),
        (["/venv/bin/django-admin", "migrate"], "django-admin migrate"),
        (["/venv/lib/django/__main__.py", "migrate"], "__main__.py migrate"),
        (["/srv/other/__main__.py", "migrate"], None),
        (["/venv/bin/gunicorn", "settings.wsgi"], None),
        (["manage.py"], None),
        ([], None),
    ],
)
def test_a_management_command_is_an_actor_and_a_server_is_none(argv: list[str], told: str | None) -> None:
    actor = command_actor(argv)
    assert (actor and (actor.type, actor.repr)) == (told and ("command", told))


def test_a_name_is_a_system_nobody_is_nobody_and_a_stranger_is_anonymous() -> None:
    assert Actor.of("nightly") == Actor(id=None, repr="nightly", type=ActorType.SYSTEM)
    assert Actor.of(None) is None
    assert Actor.of(AnonymousUser()) == Actor(id=None, repr=None, type=ActorType.ANONYMOUS)
    assert Actor.of(Actor("1", "a", "user")) == Actor("1", "a", "user")
