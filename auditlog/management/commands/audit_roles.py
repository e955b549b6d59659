"""`manage.py audit_roles`: create the service's database roles, or refresh their rights."""

from __future__ import annotations

import json
import os
from typing import Any

import psycopg
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connections

from auditlog.access import policies
from auditlog.roles import Role, create_roles, grant

NO_ROW_SECURITY = "Run audit_roles with --admin-url, then migrate."


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Create the database roles and the database (--admin-url), or, without it, give each role its rights on "
        "the existing tables; `migrate` does the latter by itself. Passwords are read from the environment: "
        "AUDITLOG_OWNER_PASSWORD, AUDITLOG_APP_PASSWORD, AUDITLOG_RELAY_PASSWORD, AUDITLOG_CONSUMER_PASSWORD, "
        "AUDITLOG_READER_PASSWORD."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--admin-url", help="postgres:// address of a superuser, on any database of the cluster")
        parser.add_argument("--database", help="name of the service's database; default: that of DATABASE_URL")
        parser.add_argument("--json", action="store_true", help="print a JSON report")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Create roles or grant rights, and say which."""
        if options["admin_url"]:
            database = options["database"] or connections["default"].settings_dict["NAME"]
            self._create(options["admin_url"], database)
            report = {"created": [role.value for role in Role], "database": database}
        else:
            granted = self._grant()
            if not granted:
                raise CommandError("The roles do not exist: run audit_roles with --admin-url first.")
            report = {"granted": granted, "row_security": self._secured(granted)}
        self.stdout.write(json.dumps(report) if options["json"] else _sentence(report))

    def _grant(self) -> list[str]:
        try:
            return [alias for alias in connections if grant(connections[alias])]
        except DatabaseError as exc:
            raise CommandError(f"The database did not do it: {exc}") from exc

    def _secured(self, aliases: list[str]) -> list[str]:
        return [alias for alias in aliases if policies.stand(connections[alias], reader=Role.READER)]

    def _create(self, admin_url: str, database: str) -> None:
        passwords = {role.value: os.environ.get(f"{role.value.upper()}_PASSWORD", "") for role in Role}
        try:
            with psycopg.connect(admin_url, autocommit=True, connect_timeout=5) as connection:
                create_roles(connection, database=database, passwords=passwords)
        except psycopg.OperationalError as exc:
            raise CommandError(f"The roles could not be created: {exc}") from exc
        except psycopg.Error as exc:
            # Without a server's code it is about the address, which holds a password.
            what = exc if exc.sqlstate else "--admin-url is no postgres:// address."
            raise CommandError(f"The roles could not be created: {what}") from None


def _sentence(report: dict[str, Any]) -> str:
    if "created" in report:
        return f"Roles {', '.join(report['created'])} and database {report['database']} are ready."
    secured = ", ".join(report["row_security"])
    wall = f"Row security stands on {secured}." if secured else f"There is no row security. {NO_ROW_SECURITY}"
    return f"Rights were given on {', '.join(report['granted'])}. {wall}"
