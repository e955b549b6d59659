"""One step in the life of a doctor or an appointment: one transaction, in the name of whoever takes the step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from django.db import transaction

from auditlog.context import actor_of_write, set_actor


@contextmanager
def transition(*, actor: Any, using: str) -> Iterator[Any]:
    """
    Attribute the row changes and events of the block to `actor`, all of them or none written.

    Gives the block who acts: without an `actor` that is whom the context names.
    """
    with transaction.atomic(using=using), set_actor(actor) if actor is not None else nullcontext():
        yield actor if actor is not None else actor_of_write()
