"""I2, I10: a project whose engine compiled before the applications were ready, and whose users are its own model."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.environments.backend.compiler import MARK
from tests.integration.environments.projects import database_settings, databases_of, outbox, run, write_files

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = """
SECRET_KEY = "x"
INSTALLED_APPS = ["early.apps.EarlyConfig", "django.contrib.contenttypes", "django.contrib.auth", "auditlog", "people"]
AUTH_USER_MODEL = "people.Person"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DATABASES = {databases!r}
"""
# An application that has something compiled, and a connection open, before auditlog is ready.
EARLY = """
from django.apps import AppConfig
from django.db import connections

class EarlyConfig(AppConfig):
    name = "early"

    def ready(self):
        connections["default"].ensure_connection()
        for compiler in ("SQLCompiler", "SQLInsertCompiler", "SQLUpdateCompiler", "SQLDeleteCompiler"):
            connections["default"].ops.compiler(compiler)
"""
PEOPLE = """
from auditlog.registry import auditlog
from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models

class People(BaseUserManager):
    def create_user(self, email, password):
        person = self.model(email=email)
        person.set_password(password)
        person.save(using=self._db)
        return person

class Team(models.Model):
    name = models.CharField(max_length=20)

@auditlog.register()
class Person(AbstractBaseUser):
    email = models.EmailField(primary_key=True)
    teams = models.ManyToManyField(Team, related_name="people")
    objects = People()
    USERNAME_FIELD = "email"

@auditlog.register()
class Letter(models.Model):
    author = models.ForeignKey(Person, on_delete=models.CASCADE)
"""
SCRIPT = """
import json
import django
django.setup()
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from auditlog import api_keys
from auditlog.context import set_actor
from people.models import Letter, Person, Team
call_command("migrate", run_syncdb=True, verbosity=0, interactive=False)
call_command("check", verbosity=0)
with CaptureQueriesContext(connection) as captured:
    ada = get_user_model().objects.create_user("ada@example.org", "secret")
    with set_actor(ada):
        letter = Letter.objects.create(author=ada)
        team = Team.objects.create(name="t")
        team.people.add(ada)
        Person.objects.filter(teams=team).update(last_login=None)
        ada.set_password("another")
        ada.save()
        api_keys.issue(user=ada, name="key")
        ada.delete()
print(json.dumps([query["sql"] for query in captured]))
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """What the project's process executed, and the events that it left."""

    statements: list[str]
    events: list[dict[str, Any]]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    """Write the project and run it once."""
    folder, name = tmp_path_factory.mktemp("project"), f"test_project_{os.getpid()}"
    with databases_of(name, name) as (database,):
        databases = {"default": database_settings(database, ENGINE="tests.integration.environments.backend")}
        files = {
            "mysettings.py": SETTINGS.format(databases=databases),
            "early/__init__.py": "",
            "early/apps.py": EARLY,
            "people/__init__.py": "",
            "people/models.py": PEOPLE,
        }
        write_files(folder, files)
        statements = run(folder, SCRIPT, settings="mysettings", python_path=ROOT)
        yield Ran(statements, outbox(database))


def test_i2_an_engine_that_compiled_before_ready_captures_through_its_own_compilers(project: Ran) -> None:
    writes = [text for text in project.statements if text.startswith(("INSERT", "UPDATE", "DELETE", "WITH", MARK))]
    captured = [text for text in writes if "auditlog_emit" in text]
    assert all(MARK in text for text in writes)
    # Teams, API keys and what was granted to them are registered by nobody.
    assert [text for text in writes if text not in captured and '"people_team"' not in text] == [
        text for text in writes if '"auditlog_apikey"' in text or '"auditlog_accessgrant"' in text
    ]
    # Seven with an event, and two UPDATE that change nothing: before the INSERT of a key that is known, and of NULL.
    assert len(captured) == 9


def test_i10_a_model_of_ones_own_for_users_is_captured_and_acts(project: Ran) -> None:
    told = [(e["audit"]["model"], e["audit"]["action"], e["audit"]["object_pk"]) for e in project.events]
    ada = "ada@example.org"
    assert [event for event in told if event[0] == "people.person"] == [
        ("people.person", "create", ada),
        ("people.person", "m2m.add", ada),
        ("people.person", "update", ada),
        ("people.person", "m2m.remove", ada),
        ("people.person", "delete", ada),
    ]
    assert [event[:2] for event in told if event[0] != "people.person"] == [
        ("people.letter", "create"),
        ("auditlog.system", "api_key_issued"),
        ("auditlog.system", "api_key_revoked"),
        ("people.letter", "delete"),
    ]
    first, *others = project.events
    assert first["audit"]["actor"] is None
    wanted = {"id": ada, "repr": ada, "type": "user", "on_behalf_of": None}
    assert [event["audit"]["actor"] for event in others] == [wanted] * 8
    assert {
        image["password"]
        for e in project.events
        for image in (e["before"], e["after"])
        if image and "password" in image
    } == {"***"}
