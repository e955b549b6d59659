"""`api_key`, `audit_partitions` and `audit_roles`: what they do, report and refuse."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.utils import timezone
from psycopg import sql

from auditlog import api_keys, partitions
from auditlog.checks import check_row_security
from auditlog.models import ApiKey
from auditlog.roles import Role
from tests.integration.auditlog_api.conftest import UserOf, partition_names
from tests.integration.auditlog_api.test_outage import away
from tests.integration.consumers.conftest import acting_as

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "audit"])


def run(*arguments: str) -> str:
    """Return what a command prints."""
    output = io.StringIO()
    call_command(*arguments, stdout=output)
    return output.getvalue().strip()


@pytest.fixture
def as_owner(new_partitions_go: None, owner_connection: psycopg.Connection[Any]) -> Iterator[psycopg.Connection[Any]]:
    """Both aliases as the tables' owner, as production's owner commands have them."""
    with acting_as(Role.OWNER, alias="default"), acting_as(Role.OWNER):
        yield owner_connection


def test_a_key_is_made_used_listed_and_revoked(user_of: UserOf) -> None:
    user_of("ada")
    assert run("api_key", "list") == "There are no keys."

    key = run("api_key", "create", "ada", "--name", "reporting")
    verified = api_keys.verify(key, now=timezone.now())
    assert verified is not None
    assert (verified.user.get_username(), verified.name, verified.expires_at) == ("ada", "reporting", None)

    prefix, _, secret = key.partition(".")
    listed = run("api_key", "list")
    assert listed.startswith(f"{prefix} reporting ada ")
    assert secret not in listed
    assert run("api_key", "revoke", prefix) == run("api_key", "revoke", prefix) == f"Revoked {prefix}."
    assert api_keys.verify(key, now=timezone.now()) is None


def test_keys_are_reported_as_json(user_of: UserOf) -> None:
    user_of("ada")

    made = json.loads(run("api_key", "create", "ada", "--name", "reporting", "--days", "2", "--json"))
    assert set(made) == {"key", "prefix", "expires_at", "scopes"}
    assert made["key"].startswith(f"{made['prefix']}.")
    left = datetime.fromisoformat(made["expires_at"]) - timezone.now()
    assert timedelta(days=1, hours=23) < left <= timedelta(days=2)
    (row,) = json.loads(run("api_key", "list", "--json"))["results"]
    assert (row["prefix"], row["name"], row["user__username"]) == (made["prefix"], "reporting", "ada")
    assert row["revoked_at"] is None
    assert json.loads(run("api_key", "revoke", made["prefix"], "--json")) == {"prefix": made["prefix"], "revoked": True}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "nobody", "--name", "x"), "no user 'nobody'"),
        (("create", "ada", "--name", "x", "--days", "0"), "between 1 and 36500"),
        (("create", "ada", "--name", "x", "--days", "36501"), "between 1 and 36500"),
        (("create", "ada", "--name", "x", "--days", "many"), "invalid int value"),
        (("create", "ada", "--name", "x" * 101), "1 to 100 characters"),
        (("create", "ada", "--name", " "), "1 to 100 characters"),
        (("create", "ada"), "--name"),
        (("revoke", "0123456789ab"), "no key '0123456789ab'"),
        (("rotate",), "invalid choice"),
        ((), "required"),
    ],
)
def test_a_key_command_that_cannot_be_done_says_why(user_of: UserOf, arguments: tuple[str, ...], said: str) -> None:
    user_of("ada")

    with pytest.raises(CommandError, match=said):
        run("api_key", *arguments)
    assert not ApiKey.objects.exists()


def test_a_key_command_says_that_the_database_is_away() -> None:
    with away("default"), pytest.raises(CommandError, match="database"):
        run("api_key", "list")


def test_missing_partitions_are_made_once(as_owner: psycopg.Connection[Any]) -> None:
    now = timezone.now()
    ahead = {partitions.partition_name(month) for month in partitions.months(start=now, count=6)}
    known = partition_names(as_owner)

    report = json.loads(run("audit_partitions", "--months-ahead", "5", "--json"))
    assert set(report["created"]) == ahead - known
    assert report["created"]
    assert set(report["partitions"]) == known | ahead
    assert report["partitions"] == sorted(report["partitions"])

    again = run("audit_partitions", "--months-ahead", "5")
    assert again.startswith(f"Nothing was missing. The audit log has {len(known | ahead)} partitions, from ")


def test_a_partition_that_was_made_is_named(as_owner: psycopg.Connection[Any]) -> None:
    run("audit_partitions", "--months-ahead", "4")
    fifth = partitions.partition_name(partitions.months(start=timezone.now(), count=6)[-1])

    assert run("audit_partitions", "--months-ahead", "5").startswith(f"Made {fifth}. The audit log has ")


@pytest.mark.parametrize("months", ["-1", "25", "x", "1.5"])
def test_partitions_are_made_two_years_ahead_at_most(months: str) -> None:
    with pytest.raises(CommandError, match=r"must be 0 to 24|invalid int value"):
        run("audit_partitions", f"--months-ahead={months}")


def test_partitions_cannot_be_made_without_the_right_or_the_database() -> None:
    # The reader's role, which the alias has in tests.
    with pytest.raises(CommandError, match="could not be made: permission denied"):
        run("audit_partitions")
    with away("audit"), pytest.raises(CommandError, match="could not be made: "):
        run("audit_partitions")


def test_rights_that_were_lost_are_given_again(as_owner: psycopg.Connection[Any]) -> None:
    as_owner.execute("REVOKE SELECT ON auditlog_auditlog FROM auditlog_reader")
    as_owner.execute("GRANT DELETE ON auditlog_auditlog TO auditlog_reader")
    held = "SELECT has_table_privilege('auditlog_reader', 'auditlog_auditlog', %s)"

    both = ["default", "audit"]
    assert json.loads(run("audit_roles", "--json")) == {"granted": both, "row_security": both}
    assert as_owner.execute(held, ["SELECT"]).fetchone() == (True,)
    assert as_owner.execute(held, ["DELETE"]).fetchone() == (False,)
    assert run("audit_roles") == "Rights were given on default, audit. Row security stands on default, audit."


def test_row_security_that_is_missing_is_said_and_built_again(as_owner: psycopg.Connection[Any]) -> None:
    as_owner.execute("ALTER TABLE auditlog_auditlog DISABLE ROW LEVEL SECURITY")
    try:
        assert json.loads(run("audit_roles", "--json"))["row_security"] == []
        said = run("audit_roles")
        assert [warning.id for warning in check_row_security(databases=["audit"])] == ["auditlog.W021"]
    finally:
        as_owner.execute("ALTER TABLE auditlog_auditlog ENABLE ROW LEVEL SECURITY")
    assert said.endswith("There is no row security. Run audit_roles with --admin-url, then migrate.")

    as_owner.execute("DROP POLICY auditlog_restricted ON auditlog_auditlog")
    assert json.loads(run("audit_roles", "--json"))["row_security"] == ["default", "audit"]
    with acting_as(Role.READER):
        assert check_row_security(databases=["audit"]) == []
    assert check_row_security(databases=[]) == []


def test_roles_and_their_database_are_made_by_a_superuser(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin_url = os.environ["TEST_POSTGRES_ADMIN_URL"]
    name = f"test_roles_{os.getpid()}"
    monkeypatch.setenv("AUDITLOG_READER_PASSWORD", "it's \\ secret")
    try:
        report = json.loads(run("audit_roles", "--admin-url", admin_url, "--database", name, "--json"))
        assert report == {"created": [role.value for role in Role], "database": name}
        said = run("audit_roles", "--admin-url", admin_url, "--database", name)
        assert said.endswith(f"and database {name} are ready.")
        with psycopg.connect(admin_url) as admin:
            owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = %s"
            assert admin.execute(owner, [name]).fetchone() == (Role.OWNER.value,)
    finally:
        with psycopg.connect(admin_url, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(name)))
            admin.execute("ALTER ROLE auditlog_reader PASSWORD NULL")


def test_roles_cannot_be_made_without_a_server_or_the_right(transactional_db: None) -> None:
    app = connections["default"].settings_dict
    by_app = f"postgres://auditlog_app@{app['HOST']}:{app['PORT']}/postgres"

    for url in (by_app, "postgres://nobody:hunter2@127.0.0.1:1/postgres", "postgres//ann:hunter2@h/x"):
        with pytest.raises(CommandError, match="could not be created") as raised:
            run("audit_roles", "--admin-url", url, "--database", "test_never")
        assert "hunter2" not in str(raised.value)


def test_rights_cannot_be_given_where_the_database_is_away() -> None:
    with away("default"), pytest.raises(CommandError, match="database"):
        run("audit_roles")
