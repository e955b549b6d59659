"""
The database roles of the service and what each may do.

`create_roles` needs a superuser or a role with CREATEROLE and CREATEDB; `grant` runs as the tables' owner, after every
`migrate`. A cluster without these roles (an ordinary Django project with one role) is left alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

import psycopg
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper
from psycopg import sql

from auditlog.access import policies


class Role(StrEnum):
    """A role for each kind of process; none but the owner owns anything."""

    OWNER = "auditlog_owner"  # owns everything: migrate, partitions, retention
    APP = "auditlog_app"  # writes the domain; reaches the outbox only through the capture functions
    RELAY = "auditlog_relay"  # outbox, leases, ledger
    CONSUMER = "auditlog_consumer"  # appends to the read model
    READER = "auditlog_reader"  # reads the read model


# Our own tables: who may do what. Everything not named here belongs to the application.
OWN_TABLES: dict[str, dict[Role, str]] = {
    "auditlog_outboxevent": {Role.RELAY: "SELECT, UPDATE, DELETE", Role.READER: "SELECT"},
    "auditlog_outboxledger": {Role.RELAY: "SELECT, INSERT, DELETE", Role.READER: "SELECT"},
    "auditlog_ledgerbeginning": {Role.RELAY: "SELECT, INSERT, UPDATE", Role.READER: "SELECT"},
    # When the key of masks was made, and nothing of the key.
    "auditlog_secret": dict.fromkeys((Role.RELAY, Role.READER), "SELECT (name, created_at)"),
    "auditlog_sentcontent": {},
    "auditlog_auditlog": {Role.CONSUMER: "SELECT, INSERT", Role.READER: "SELECT"},
    "auditlog_eventshape": {Role.CONSUMER: "SELECT, INSERT", Role.READER: "SELECT"},
    "auditlog_contentchunk": {Role.CONSUMER: "SELECT, INSERT", Role.READER: "SELECT"},
    "auditlog_lateevent": {Role.CONSUMER: "SELECT, INSERT", Role.READER: "SELECT"},
    "auditlog_consumeroffset": {Role.CONSUMER: "SELECT, INSERT, UPDATE", Role.READER: "SELECT"},
    # Written by a trigger, which runs as the owner.
    "auditlog_rollup": {Role.READER: "SELECT"},
    "auditlog_rollupbacklog": {Role.READER: "SELECT"},
    "django_migrations": dict.fromkeys((Role.APP, Role.RELAY, Role.CONSUMER, Role.READER), "SELECT"),
}
OWN_PREFIXES: dict[str, dict[Role, str]] = {
    "publishers_": {Role.RELAY: "SELECT, INSERT, UPDATE, DELETE", Role.READER: "SELECT"},
    "consumers_": {Role.CONSUMER: "SELECT, INSERT, UPDATE", Role.READER: "SELECT"},
}
APPLICATION_TABLES: dict[Role, str] = {Role.APP: "SELECT, INSERT, UPDATE, DELETE"}
# By the beginning of the name: the functions that change something.
FUNCTIONS: dict[str, tuple[Role, ...]] = {
    "auditlog_emit": (Role.APP,),
    "auditlog_record": (Role.APP, Role.RELAY, Role.CONSUMER),
    "auditlog_offload": (Role.RELAY,),
    "auditlog_hash": (Role.APP,),
    "auditlog_remember": (Role.APP,),
    "auditlog_ensure_partition": (Role.CONSUMER,),
}

# Tables and sequences of the current schema that this role may grant on; partitions are reached through their parent.
RELATIONS = """
SELECT c.relname, c.relkind = 'S' FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'S') AND NOT c.relispartition
  AND pg_has_role(current_user, c.relowner, 'USAGE')
ORDER BY 1
"""
FUNCTIONS_OF_SCHEMA = """
SELECT p.oid::regprocedure::text FROM pg_proc p
WHERE p.pronamespace = current_schema()::regnamespace AND starts_with(p.proname, %s)
  AND pg_has_role(current_user, p.proowner, 'USAGE')
"""
IS_MEMBER = "SELECT pg_has_role(%s, %s, 'MEMBER')"
EXISTING_ROLES = "SELECT count(*) FROM pg_roles WHERE rolname = ANY(%s)"


def create_roles(connection: psycopg.Connection[Any], *, database: str, passwords: Mapping[str, str]) -> None:
    """
    Create the roles and the database that they share; safe to repeat, sets the passwords anew.

    `passwords` maps role names to passwords; a role without one can log in only where the server trusts it. The
    connection must be in autocommit mode (CREATE DATABASE) and on another database of the cluster.

    :raises psycopg.errors.InsufficientPrivilege: if the connection's role may create no roles or databases.
    """
    for role in Role:
        if connection.execute(EXISTING_ROLES, [[role.value]]).fetchone() != (1,):
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
        if password := passwords.get(role):
            statement = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}")
            connection.execute(statement.format(sql.Identifier(role), sql.Literal(password)))
    if connection.execute(EXISTING_ROLES, [[policies.RESTRICTED]]).fetchone() != (1,):
        connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(policies.RESTRICTED)))
    if connection.execute(IS_MEMBER, [Role.READER, policies.RESTRICTED]).fetchone() != (True,):
        member = sql.SQL("GRANT {} TO {}").format(sql.Identifier(policies.RESTRICTED), sql.Identifier(Role.READER))
        connection.execute(member)
    exists = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
    statement = sql.SQL("ALTER DATABASE {} OWNER TO {}" if exists else "CREATE DATABASE {} OWNER {}")
    connection.execute(statement.format(sql.Identifier(database), sql.Identifier(Role.OWNER)))


def grant(connection: BaseDatabaseWrapper) -> bool:
    """
    Give each role its rights on the tables and functions of the current schema, and take away all others.

    Safe to repeat, also beside running processes: in one transaction, so that nobody is without a right meanwhile.
    Returns False, having done nothing, where the roles do not exist.
    """
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        cursor.execute(EXISTING_ROLES, [[role.value for role in Role]])
        if cursor.fetchone() != (len(Role),):
            return False
        cursor.execute(RELATIONS)
        for name, is_sequence in cursor.fetchall():
            for statement in _grants(name, is_sequence=is_sequence):
                cursor.execute(statement)
        for prefix, roles in FUNCTIONS.items():
            cursor.execute(FUNCTIONS_OF_SCHEMA, [prefix])
            for (function,) in cursor.fetchall():
                # The name comes from regprocedure, which quotes it.
                cursor.execute(f"REVOKE ALL ON FUNCTION {function} FROM PUBLIC")
                cursor.execute(f"GRANT EXECUTE ON FUNCTION {function} TO {', '.join(roles)}")
        if policies.build(cursor):
            _grant_to_restricted(cursor)
    return True


def _grant_to_restricted(cursor: CursorWrapper) -> None:
    cursor.execute(RELATIONS)
    role = sql.Identifier(policies.RESTRICTED)
    for name, is_sequence in cursor.fetchall():
        relation = _relation(name, is_sequence=is_sequence)
        cursor.execute(sql.SQL("REVOKE ALL ON {} FROM {}").format(relation, role))
        if name in policies.READ_BY_RESTRICTED:
            cursor.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(relation, role))


def rights_on(table: str) -> Mapping[Role, str]:
    """Return what each role may do with a table."""
    if table in OWN_TABLES:
        return OWN_TABLES[table]
    for prefix, rights in OWN_PREFIXES.items():
        if table.startswith(prefix):
            return rights
    return APPLICATION_TABLES


def _grants(name: str, *, is_sequence: bool) -> Iterator[sql.Composed]:
    relation = _relation(name, is_sequence=is_sequence)
    roles = sql.SQL(", ").join(sql.Identifier(role) for role in Role if role is not Role.OWNER)
    yield sql.SQL("REVOKE ALL ON {} FROM {}").format(relation, roles)
    for role, privileges in (_sequence_rights(name) if is_sequence else rights_on(name)).items():
        yield sql.SQL("GRANT {} ON {} TO {}").format(sql.SQL(privileges), relation, sql.Identifier(role))


def _relation(name: str, *, is_sequence: bool) -> sql.Composed:
    return sql.SQL("SEQUENCE {}" if is_sequence else "TABLE {}").format(sql.Identifier(name))


def _sequence_rights(name: str) -> Mapping[Role, str]:
    """Identity columns of our own tables need no right on their sequence; the application may take its own keys."""
    ours = any(name.startswith(f"{table}_") for table in OWN_TABLES) or name.startswith(tuple(OWN_PREFIXES))
    # UPDATE is for `loaddata`, which sets the sequences after the rows that it brought.
    return {} if ours else {Role.APP: "USAGE, UPDATE"}
