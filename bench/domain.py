"""The tables that operations run on: filled once, put back between measurements."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connection

from auditlog.context import set_actor
from auditlog.roles import Role
from bench import trigger
from bench.models import Audited, LoneAudited, LonePlain, Person, Plain, Specialty, Triggered
from bench.operations import SEEDED_ROWS, seed, seed_specialties
from bench.stack import Stack

# What the writes are measured on, by the name under which it is reported.
CANDIDATES: dict[str, type[Person]] = {"no audit": Plain, "auditlog": Audited, "trigger": Triggered}
# Nothing refers to these: without audit, Django deletes a row outside a transaction, and rows without reading them.
LONE_CANDIDATES: dict[str, type[Person]] = {"no audit": LonePlain, "auditlog": LoneAudited}
ACTOR = "bench"


@contextmanager
def filled(stack: Stack) -> Iterator[None]:
    """Make the triggers and the rows unless they are there, and act as somebody for the length of a block."""
    with stack.connect(Role.OWNER) as owner:
        if not Specialty.objects.exists():
            trigger.install(owner)
            seed_specialties()
            for model in (*CANDIDATES.values(), *LONE_CANDIDATES.values()):
                seed(model)
        tidy(owner)
    with set_actor(ACTOR), connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config(%s, %s, false)",
            [trigger.ACTOR_SETTING, '{"id": null, "repr": "bench", "type": "system", "on_behalf_of": null}'],
        )
        yield


def tidy(owner: psycopg.Connection[Any]) -> None:
    """Remove what operations added, and all that is dead, so that none inherits the litter of another."""
    owner.execute("TRUNCATE auditlog_outboxevent")
    for model in (*CANDIDATES.values(), *LONE_CANDIDATES.values()):
        for table in (*_link_tables(model), model._meta.db_table):
            key = "id" if table == model._meta.db_table else f"{model._meta.model_name}_id"
            owner.execute(f"DELETE FROM {table} WHERE {key} > {SEEDED_ROWS}".encode())
            owner.execute(f"VACUUM (ANALYZE) {table}".encode())


def _link_tables(model: type[Person]) -> list[str]:
    throughs: list[Any] = [field.remote_field.through for field in model._meta.local_many_to_many]
    return [through._meta.db_table for through in throughs]
