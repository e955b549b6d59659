"""
The peers' process: does one block of an operation for each line that it reads, and writes what it cost.

Started as a script by `bench.others`, with the address of an empty database in DATABASE_URL. A request is
`{"peer", "operation", "in_transaction"}`, or `{"tidy": true}`; an answer is a JSON object in one line.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# Behind the interpreter's own packages: `auditlog` is django-auditlog here.
sys.path.append(str(Path(__file__).resolve().parents[2]))

import django
from django.conf import settings

USERNAME = "bench"


def main() -> None:
    """Prepare the database, say so, and answer requests until standard input ends."""
    _configure(os.environ["DATABASE_URL"])
    measure = _prepared()
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(measure(json.loads(line))), flush=True)


def _configure(url: str) -> None:
    address = urlsplit(url)
    settings.configure(
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": address.path[1:],
                "USER": address.username,
                "HOST": address.hostname,
                "PORT": address.port,
                "CONN_MAX_AGE": None,
            }
        },
        INSTALLED_APPS=[
            "django.contrib.contenttypes",
            "django.contrib.auth",
            "auditlog",
            "pgtrigger",
            "pghistory",
            "bench.peers.apps.ShapesConfig",
            "bench.peers.apps.PeersConfig",
        ],
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    )
    django.setup()


def _prepared() -> Any:
    """Make tables, triggers and rows, act as somebody from now on, and return what answers a request."""
    from django.contrib.auth.models import User
    from django.core.management import call_command

    from bench.operations import seed, seed_specialties
    from bench.peers.models import WithDjangoAuditlog, WithPghistory

    for command, options in (("migrate", {"run_syncdb": True, "verbosity": 0}), ("pgtrigger", {})):
        arguments = ["install"] if command == "pgtrigger" else []
        call_command(command, *arguments, stdout=sys.stderr, **options)
    models: dict[str, Any] = {"django-auditlog": WithDjangoAuditlog, "pghistory": WithPghistory}
    seed_specialties()
    for model in models.values():
        seed(model)
    user = User.objects.create_user(USERNAME)
    return lambda request: _tidied(models) if "tidy" in request else _measured(request, models, user)


def _measured(request: dict[str, Any], models: dict[str, Any], user: Any) -> dict[str, Any]:
    import pghistory

    from auditlog.context import set_actor
    from bench.operations import OPERATIONS
    from bench.timing import cost_of

    operation = next(o for o in OPERATIONS if o.name == request["operation"])
    runs = operation.prepare(models[request["peer"]], operation.runs)
    with ExitStack() as acting:
        acting.enter_context(
            set_actor(user) if request["peer"] == "django-auditlog" else pghistory.context(user=user.pk)
        )
        return asdict(cost_of(runs, in_transaction=request["in_transaction"]))


def _tidied(models: dict[str, Any]) -> dict[str, Any]:
    """Remove what operations added, and all that is dead."""
    from django.apps import apps
    from django.db import connection

    from bench.operations import SEEDED_ROWS

    logs = [m._meta.db_table for m in apps.get_models() if m._meta.label.endswith(("LogEntry", "Event"))]
    tables = []
    for model in models.values():
        through = model.specialties.through
        through.objects.filter(**{f"{model._meta.model_name}_id__gt": SEEDED_ROWS})._raw_delete("default")
        model.objects.filter(pk__gt=SEEDED_ROWS)._raw_delete("default")
        tables += [through._meta.db_table, model._meta.db_table]
    with connection.cursor() as cursor:
        # After the deletions, which have left events too.
        cursor.execute(f"TRUNCATE {', '.join(logs)}")
        for table in tables:
            cursor.execute(f"VACUUM (ANALYZE) {table}")
    return {"tidied": True}


if __name__ == "__main__":
    main()
