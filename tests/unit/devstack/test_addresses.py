"""Who connects where."""

from __future__ import annotations

import pytest

from auditlog.roles import Role
from devstack.addresses import cleared, given_databases, local_databases
from devstack.errors import DevstackError

SECRETS = {role.value: f"secret-{role.value}" for role in Role}


def test_each_process_connects_with_the_role_of_its_own() -> None:
    databases = local_databases(5433, SECRETS)

    def url(name: str) -> str:
        return f"postgres://auditlog_{name}:secret-auditlog_{name}@127.0.0.1:5433/clinic"

    assert databases.environment(Role.APP) == {"DATABASE_URL": url("app"), "AUDIT_DATABASE_URL": url("reader")}
    assert databases.environment(Role.RELAY) == {"DATABASE_URL": url("relay")}
    assert databases.environment(Role.READER) == {"DATABASE_URL": url("reader"), "AUDIT_DATABASE_URL": url("reader")}
    assert databases.environment(Role.CONSUMER) == {
        "DATABASE_URL": url("consumer"),
        "AUDIT_DATABASE_URL": url("consumer"),
    }
    assert databases.environment(Role.OWNER) == {
        "DATABASE_URL": url("app"),
        "AUDIT_DATABASE_URL": url("reader"),
        "DATABASE_OWNER_URL": url("owner"),
        "AUDIT_DATABASE_OWNER_URL": url("owner"),
    }


def test_without_addresses_the_stack_runs_a_server() -> None:
    assert given_databases({"KAFKA_BOOTSTRAP_SERVERS": "broker:9092"}) is None


def test_one_given_address_serves_all() -> None:
    databases = given_databases({"DATABASE_URL": "postgres://me:pw@db.example/clinic"})
    assert databases is not None
    assert {*databases.domain.values(), *databases.audit.values()} == {"postgres://me:pw@db.example/clinic"}


def test_a_given_owner_owns_the_read_model_in_the_same_database() -> None:
    databases = given_databases({"DATABASE_URL": "postgres://app@db/x", "DATABASE_OWNER_URL": "postgres://owner@db/x"})
    assert databases is not None
    assert databases.domain[Role.OWNER] == databases.audit[Role.OWNER] == "postgres://owner@db/x"


def test_a_read_model_elsewhere_is_not_migrated_as_the_owner_of_the_domain() -> None:
    databases = given_databases(
        {
            "DATABASE_URL": "postgres://app@db/x",
            "DATABASE_OWNER_URL": "postgres://owner@db/x",
            "AUDIT_DATABASE_URL": "postgres://reader@log/y",
        }
    )
    assert databases is not None
    assert databases.audit[Role.OWNER] == "postgres://reader@log/y"
    assert databases.environment(Role.CONSUMER)["DATABASE_URL"] == "postgres://reader@log/y"


@pytest.mark.parametrize("name", ["DATABASE_OWNER_URL", "AUDIT_DATABASE_URL", "AUDIT_DATABASE_OWNER_URL"])
def test_a_part_without_the_rest_is_refused(name: str) -> None:
    with pytest.raises(DevstackError, match=f"{name} is set and DATABASE_URL is not"):
        given_databases({name: "postgres://app@db/x"})


def test_a_child_inherits_no_address_in_any_form() -> None:
    inherited = {"DATABASE_URL": "a", "AUDIT_DATABASE_URL_FILE": "b", "KAFKA_TOPIC_PREFIX": "c", "PATH": "d"}
    assert cleared(inherited) == {"PATH": "d"}
