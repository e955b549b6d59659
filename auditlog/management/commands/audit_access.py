"""`manage.py audit_access grant|revoke|list|show`: who may see what of the audit log."""

from __future__ import annotations

import json
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError

from auditlog.access import grants
from auditlog.access.rights import Rights, rights_of_user
from auditlog.access.scopes import Scope
from auditlog.api.authentication import ApiKeyCredential
from auditlog.models import AccessGrant, ApiKey


class Command(BaseCommand):
    """Grant, revoke and show access to the audit log."""

    help = (
        "Say who may see what of the audit log. A user who has grants may do what these say, and no longer what "
        "permissions give; those of an API key narrow what its user may. Each grant and revocation is an event."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the subcommands."""
        commands = parser.add_subparsers(dest="command", required=True)
        grant = commands.add_parser("grant", help="let a user, the members of a group, or an API key see something")
        _add_holder(grant, group=True)
        scopes = ", ".join(Scope)
        grant.add_argument(
            "--scope", action="append", default=[], help=f"one of {scopes}; default: what permissions give"
        )
        grant.add_argument("--model", action="append", default=[], help="only events of app_label.model; default: all")
        grant.add_argument(
            "--label", action="append", default=[], help="only events with dimension:value; default: all"
        )
        revoke = commands.add_parser("revoke", help="take a grant back")
        revoke.add_argument("id", type=int, help="out of the list")
        for command in (grant, revoke):
            command.add_argument("--reason", required=True, help="why; it is stored with the event")
        listing = commands.add_parser("list", help="list all grants")
        show = commands.add_parser("show", help="say what a user or an API key may see")
        _add_holder(show, group=False)
        for command in (grant, revoke, listing, show):
            command.add_argument("--json", action="store_true", help="print JSON")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Run a subcommand."""
        try:
            report, text = getattr(self, f"_{options['command']}")(options)
        except DatabaseError as exc:
            raise CommandError(f"The database did not do it: {exc}") from exc
        self.stdout.write(json.dumps(report) if options["json"] else text)

    def _grant(self, options: dict[str, Any]) -> tuple[dict[str, Any], str]:
        grant = AccessGrant(
            **_holder(options),
            scopes=options["scope"],
            model_names=[name.lower() for name in options["model"]],
            labels=options["label"],
            reason=options["reason"].strip(),
        )
        try:
            grants.give(grant)
        except ValidationError as exc:
            raise CommandError(f"Nothing was granted. {' '.join(exc.messages)}") from exc
        return grants.described(grant), f"Granted: {_line(grants.described(grant))}"

    def _revoke(self, options: dict[str, Any]) -> tuple[dict[str, Any], str]:
        grant = AccessGrant.objects.select_related(*grants.HOLDERS).filter(pk=options["id"]).first()
        if grant is None:
            raise CommandError(f"There is no grant {options['id']}.")
        described = grants.described(grant)
        grants.take_back(grant, reason=options["reason"].strip())
        return {"revoked": described}, f"Revoked: {_line(described)}"

    def _list(self, options: dict[str, Any]) -> tuple[dict[str, Any], str]:  # noqa: ARG002
        found = AccessGrant.objects.select_related(*grants.HOLDERS).order_by("pk")
        rows = [grants.described(grant) for grant in found]
        return {"results": rows}, "\n".join(map(_line, rows)) or "There are no grants."

    def _show(self, options: dict[str, Any]) -> tuple[dict[str, Any], str]:
        holder = _holder(options)
        key = holder.get("api_key")
        user = holder["user"] if key is None else key.user
        rights = rights_of_user(user, key=None if key is None else ApiKeyCredential(key))
        found = grants.held(user=user, key_id=None if key is None else key.pk)
        report = {**_described(rights), "grants": [grants.described(grant) for grant in found]}
        return report, _sentences(report)


def _add_holder(parser: CommandParser, *, group: bool) -> None:
    holder = parser.add_mutually_exclusive_group(required=True)
    holder.add_argument("--user", help="name of a user")
    if group:
        holder.add_argument("--group", help="name of a group")
    holder.add_argument("--api-key", help="the part of an API key before the dot")


def _holder(options: dict[str, Any]) -> dict[str, Any]:
    users = get_user_model()
    try:
        if options["user"] is not None:
            return {"user": users._default_manager.get_by_natural_key(options["user"])}
        if options.get("group") is not None:
            return {"group": Group.objects.get(name=options["group"])}
        return {"api_key": ApiKey.objects.select_related("user").get(prefix=options["api_key"])}
    except (users.DoesNotExist, Group.DoesNotExist, ApiKey.DoesNotExist) as exc:
        named = next(f"{kind.replace('_', ' ')} {options[kind]!r}" for kind in grants.HOLDERS if options.get(kind))
        raise CommandError(f"There is no {named}.") from exc


def _described(rights: Rights) -> dict[str, Any]:
    return {
        "principal": rights.principal,
        "scopes": sorted(rights.scopes),
        "models": None if rights.models is None else sorted(rights.models),
        "labels": {dimension: sorted(values) for dimension, values in sorted(rights.labels.items())},
        "hidden_classes": sorted(rights.hidden_classes),
    }


def _line(grant: dict[str, Any]) -> str:
    holder = next(f"{kind.replace('_', ' ')} {grant[kind]}" for kind in grants.HOLDERS if grant[kind])
    what = [*(grant["scopes"] or ["what permissions give"]), *grant["models"], *grant["labels"]]
    return f"{grant['id']} {holder}: {', '.join(what)} ({grant['reason']})"


def _sentences(report: dict[str, Any]) -> str:
    labels = [f"{dimension}: {' or '.join(values) or 'none'}" for dimension, values in report["labels"].items()]
    models = report["models"]
    lines = [
        f"Scopes: {', '.join(report['scopes']) or 'none'}",
        f"Models: {'all' if models is None else ', '.join(models) or 'none'}",
        f"Labels: {'; '.join(labels) or 'all'}",
        f"Hidden classes: {', '.join(report['hidden_classes']) or 'none'}",
        *(f"Grant {_line(grant)}" for grant in report["grants"]),
    ]
    return "\n".join(lines)
