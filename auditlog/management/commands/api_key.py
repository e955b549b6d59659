"""`manage.py api_key create|revoke|list`: keys for programs that use the APIs."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.utils import timezone

from auditlog import api_keys
from auditlog.access.rights import rights_of_user
from auditlog.access.scopes import Scope, with_implied
from auditlog.models import ApiKey

NAME_CHARACTERS = 100
MAXIMUM_DAYS = 36_500


class Command(BaseCommand):
    """Make, revoke and list API keys."""

    help = "Make, revoke and list API keys. A new key is printed once; only a digest of it is stored."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the subcommands."""
        commands = parser.add_subparsers(dest="command", required=True)
        create = commands.add_parser("create", help="make a key for a user and print it")
        create.add_argument("username")
        create.add_argument("--name", required=True, help="what the key is for")
        create.add_argument("--days", type=int, help="days until it expires (default: never)")
        create.add_argument(
            "--scope",
            action="append",
            default=[],
            choices=list(Scope),
            metavar="SCOPE",
            help=f"what it may do of what its user may: {', '.join(Scope)}; may be repeated (default: everything)",
        )
        revoke = commands.add_parser("revoke", help="make a key useless")
        revoke.add_argument("prefix", help="the part before the dot")
        for command in (create, revoke):
            command.add_argument("--reason", default="", help="why, for the audit log")
        for command in (create, revoke, commands.add_parser("list", help="list all keys")):
            command.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Run a subcommand."""
        try:
            report, text = getattr(self, f"_{options['command']}")(options)
        except DatabaseError as exc:
            raise CommandError(f"The database did not do it: {exc}") from exc
        self.stdout.write(json.dumps(report, default=str) if options["json"] else text)

    def _create(self, options: dict[str, Any]) -> tuple[dict[str, Any], str]:
        users = get_user_model()
        days = options["days"]
        if days is not None and not 1 <= days <= MAXIMUM_DAYS:
            raise CommandError(f"--days must be between 1 and {MAXIMUM_DAYS}.")
        name = options["name"].strip()
        if not 1 <= len(name) <= NAME_CHARACTERS:
            raise CommandError(f"--name must have 1 to {NAME_CHARACTERS} characters.")
        try:
            user = users._default_manager.get_by_natural_key(options["username"])
        except users.DoesNotExist as exc:
            raise CommandError(f"There is no user {options['username']!r}.") from exc
        expires_at = timezone.now() + timedelta(days=days) if days else None
        scopes = frozenset(map(Scope, options["scope"]))
        if missing := scopes - with_implied(rights_of_user(user).scopes):
            raise CommandError(f"{options['username']} does not have {', '.join(sorted(missing))}.")
        key = api_keys.issue(user=user, name=name, expires_at=expires_at, scopes=scopes, reason=options["reason"])
        report = {"key": key, "prefix": key.partition(".")[0], "expires_at": expires_at, "scopes": sorted(scopes)}
        return report, key

    def _revoke(self, options: dict[str, Any]) -> tuple[dict[str, Any], str]:
        if not api_keys.revoke(prefix=options["prefix"], now=timezone.now(), reason=options["reason"]):
            raise CommandError(f"There is no key {options['prefix']!r}.")
        return {"prefix": options["prefix"], "revoked": True}, f"Revoked {options['prefix']}."

    def _list(self, options: dict[str, Any]) -> tuple[dict[str, Any], str]:  # noqa: ARG002
        columns = ("prefix", "name", "user__username", "created_at", "expires_at", "revoked_at", "scopes")
        rows = list(ApiKey.objects.order_by("pk").values(*columns))
        lines = [" ".join(_word(value) for value in row.values()) for row in rows]
        return {"results": rows}, "\n".join(lines) or "There are no keys."


def _word(value: Any) -> str:
    return ",".join(value) or "-" if isinstance(value, list) else str(value or "-")
