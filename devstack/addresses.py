"""Which process connects where, and as whom."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from auditlog.roles import Role
from devstack.errors import DevstackError
from devstack.ports import HOST

DATABASE = "clinic"
LOCAL = "local"
# What a child's environment is cleared of before it gets its own; NAME_FILE would win over NAME.
NAMES = (
    "DATABASE_URL",
    "DATABASE_OWNER_URL",
    "AUDIT_DATABASE_URL",
    "AUDIT_DATABASE_OWNER_URL",
    "KAFKA_BOOTSTRAP_SERVERS",
    "KAFKA_TOPIC_PREFIX",
    "DEVSTACK_DATA_DIR",
)


@dataclass(frozen=True, slots=True)
class Databases:
    """The addresses of each role, for the domain's database and for the read model's; mostly the same one."""

    domain: Mapping[str, str]
    audit: Mapping[str, str]
    key: str = LOCAL  # tells the domain's database from all others, also from an earlier one at the same address

    def environment(self, role: Role) -> dict[str, str]:
        """Return the variables of a process with this role; the owner's are for `migrate` and its like."""
        if role is Role.OWNER:
            names = {"DATABASE_OWNER_URL": self.domain[role], "AUDIT_DATABASE_OWNER_URL": self.audit[role]}
            return self.environment(Role.APP) | names
        if role is Role.CONSUMER:
            # It writes the read model and nothing else.
            return {"DATABASE_URL": self.audit[role], "AUDIT_DATABASE_URL": self.audit[role]}
        if role is Role.RELAY:
            return {"DATABASE_URL": self.domain[role]}
        return {"DATABASE_URL": self.domain[role], "AUDIT_DATABASE_URL": self.audit[Role.READER]}


def local_databases(port: int, secrets: Mapping[str, str]) -> Databases:
    """Return the addresses of the PostgreSQL that the stack runs."""
    urls = {role.value: f"postgres://{role}:{secrets[role]}@{HOST}:{port}/{DATABASE}" for role in Role}
    return Databases(urls, urls)


def given_databases(given: Mapping[str, str]) -> Databases | None:
    """
    Return the addresses that the environment names, None where the stack is to run a PostgreSQL.

    :raises DevstackError: if the environment names a part that is of no use without the rest.
    """
    if not (url := given.get("DATABASE_URL")):
        if lonely := [name for name in NAMES[1:4] if name in given]:
            raise DevstackError(f"{lonely[0]} is set and DATABASE_URL is not: set DATABASE_URL too, or neither.")
        return None
    audit = given.get("AUDIT_DATABASE_URL", url)
    owner = given.get("DATABASE_OWNER_URL", url)
    audit_owner = given.get("AUDIT_DATABASE_OWNER_URL") or (owner if _same_database(url, audit) else audit)
    return Databases(
        domain=dict.fromkeys((role.value for role in Role), url) | {Role.OWNER.value: owner},
        audit=dict.fromkeys((role.value for role in Role), audit) | {Role.OWNER.value: audit_owner},
    )


def cleared(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without the addresses that a child gets from us."""
    ours = {*NAMES, *(f"{name}_FILE" for name in NAMES)}
    return {name: value for name, value in environment.items() if name not in ours}


def _same_database(one: str, other: str) -> bool:
    parts = [urlsplit(url) for url in (one, other)]
    return len({(part.hostname, part.port or 5432, part.path) for part in parts}) == 1
