"""`manage.py audit_export`: the events of a query as NDJSON or CSV, in constant memory, with a digest at the end."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.contrib.auth import get_user_model
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.http import QueryDict
from django.utils import timezone
from rest_framework.exceptions import ValidationError

from auditlog import reads
from auditlog.access.rights import Rights, rights_of_user
from auditlog.access.scopes import Scope
from auditlog.api import parameters, search
from auditlog.completeness.command import progress_bar
from auditlog.exporting.export import Export, Stopped
from auditlog.exporting.files import standard_output, whole_file
from auditlog.exporting.formats import Format
from auditlog.queries import positions
from auditlog.queries.compiler import Query
from auditlog.reads import Unrecorded
from auditlog.stopping import stop_at_signals

OPERATOR = "command:audit_export"
STANDARD = "-"
DIGEST_SUFFIX = ".digest"
QUERY_BYTES = 1_000_000
BODY_MEMBERS = frozenset({"filter", "from", "to"})
WINDOW = ("from", "to")


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Export the events that a query chooses, oldest first: those that were stored when the export began, exactly, "
        "while others are stored. The filters are those of the audit API (events/), or the body of a search (--query). "
        "The export is an event of the audit log itself. With an operator's rights, or those of a user (--as)."
    )
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument("--reason", required=True, help="why: part of the audit trail")
        parser.add_argument(
            "--format", type=Format, choices=list(Format), default=Format.NDJSON, help="default: ndjson"
        )
        parser.add_argument(
            "--output", type=Path, metavar="FILE", help="a file that must not exist yet; default: standard output"
        )
        parser.add_argument(
            "--digest-file",
            type=Path,
            metavar="FILE",
            help=f"of csv: row count and digest; default: the output's name with {DIGEST_SUFFIX}, or standard error",
        )
        parser.add_argument("--as", dest="username", metavar="USER", help="what this user may see, and no more")
        parser.add_argument("--query", metavar="FILE", help="the body of a search as JSON; - for standard input")
        parser.add_argument("--from", metavar="TIME", help="from this ISO 8601 time on; needs an offset")
        parser.add_argument("--to", metavar="TIME", help="up to and without this time")
        parser.add_argument(
            "--where",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="a filter, as a query parameter of events/: model=doctors.doctor, not.actor=7; may be repeated",
        )

    def handle(self, *_args: Any, **options: Any) -> None:
        """Export until all is written or a signal comes."""
        reason = reads.clean_reason(options["reason"])
        if not reason:
            raise CommandError("--reason must say why.")
        if options["digest_file"] is not None and options["format"] is not Format.CSV:
            raise CommandError("--digest-file is for csv: the last line of ndjson has the digest.")
        rights = _rights(options["username"])
        try:
            query = replace(_query(options), pinned=positions.now())
            export = Export(query, rights, options["format"], reason=reason, username=options["username"])
            _run(export, options["output"], options["digest_file"])
        except (Stopped, Unrecorded) as exc:
            raise CommandError(str(exc)) from exc
        except FileExistsError as exc:
            raise CommandError(f"{exc} is there already: choose another name, or remove it.") from exc
        except (OSError, DatabaseError) as exc:
            raise CommandError(f"The export failed, and is not whole: {exc}") from exc


def _run(export: Export, output: Path | None, digest_file: Path | None) -> None:
    """Write the content, and of a table the trailer; both files appear when all is done."""
    beside = output.with_name(output.name + DIGEST_SUFFIX) if output is not None else None
    digest_file = digest_file or beside
    with ExitStack() as files, stop_at_signals() as stop, progress_bar("Exporting") as bar:
        sink = files.enter_context(standard_output() if output is None else whole_file(output))
        bar.begin("events", total=None)
        if export.format is not Format.CSV:
            export.write(sink, stop=stop, progress=bar.update)
            return
        told = None if digest_file is None else files.enter_context(whole_file(digest_file))
        line = json.dumps(export.write(sink, stop=stop, progress=bar.update)) + "\n"
        if told is None:
            sys.stderr.write(line)
        else:
            told.write(line.encode())


def _rights(username: str | None) -> Rights:
    if username is None:
        return Rights(principal=OPERATOR, scopes=frozenset(Scope))
    users = get_user_model()
    try:
        user = users._default_manager.get_by_natural_key(username)
    except users.DoesNotExist as exc:
        raise CommandError("There is no such user.") from exc
    rights = rights_of_user(user)
    if not rights.may_read or Scope.EXPORT not in rights.scopes:
        raise CommandError(f"This user may not export: {Scope.EXPORT} is needed, and a scope that lets read.")
    return rights


def _query(options: dict[str, Any]) -> Query:
    asked = QueryDict(mutable=True)
    asked.update({name: options[name] for name in WINDOW if options[name] is not None})
    for word in options["where"]:
        name, _, value = word.partition("=")
        asked.appendlist(name, value)
    if options["query"] is not None and asked:
        raise CommandError("Give filters as options or by --query, not both.")
    try:
        if options["query"] is not None:
            return search.parse(_body(options["query"]), now=timezone.now(), default_days=None, cursor=None).query
        known = parameters.FILTERS.union(WINDOW)
        return parameters.parse(asked, known=known, now=timezone.now(), default_days=None).query
    except ValidationError as exc:
        raise CommandError(f"The query cannot be understood: {json.dumps(exc.detail, ensure_ascii=True)}") from exc


def _body(source: str) -> Any:
    try:
        with ExitStack() as files:
            file = sys.stdin.buffer if source == STANDARD else files.enter_context(Path(source).open("rb"))
            text = file.read(QUERY_BYTES + 1)
        body = json.loads(text) if len(text) <= QUERY_BYTES else None
    except (OSError, ValueError, RecursionError) as exc:
        raise CommandError(f"--query cannot be read: {exc}") from exc
    if not isinstance(body, dict) or body.keys() - BODY_MEMBERS:
        raise CommandError(f"--query must be a JSON object with no members but {', '.join(sorted(BODY_MEMBERS))}.")
    return body
