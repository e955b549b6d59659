"""Two ways to make an image of a row without masks: the row itself, and a row of its columns by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from django.db import connection

from auditlog.capture import plans
from auditlog.roles import Role
from bench.domain import IMAGE_CANDIDATES, filled, tidy
from bench.models import ListedRow
from bench.operations import BULK_CREATE, CREATE, SAVE_ONE_FIELD, UPDATE_ROWS
from bench.report import Report, Table
from bench.stack import Stack
from bench.timing import Cost, Spread, interleaved, ratios
from bench.writes import MICROSECONDS, MODES, costs, rounds_of

COLUMNS = (
    "operation",
    "",
    "no audit µs",
    "whole row µs",
    "listed µs",
    "listed / whole (range)",
    "server CPU: whole µs",
    "listed µs",
    "listed / whole",
)


def measure(stack: Stack, *, quick: bool) -> Report:
    """Measure writes of a 15-column model whose images are made in one way and in the other."""
    figures: dict[str, dict[str, Any]] = {}
    rows = []
    with filled(stack), _listed(), stack.connect(Role.OWNER) as owner:
        for operation in (CREATE, SAVE_ONE_FIELD, UPDATE_ROWS, BULK_CREATE):
            figures[operation.name] = {}
            for mode, in_transaction in MODES.items():
                stack.say(f"images: {operation.name}, {mode}")
                candidates = costs(operation, IMAGE_CANDIDATES, in_transaction=in_transaction)
                found = _figures(interleaved(candidates, rounds=rounds_of(operation, quick=quick)))
                figures[operation.name][mode] = found
                rows.append(_row(operation.name, mode, found))
                tidy(owner)
    return Report((Table("Images: the whole row or its columns, 15 of them", COLUMNS, rows),), figures)


@contextmanager
def _listed() -> Iterator[None]:
    """Let the plan of one model list its columns; no setting does that."""
    plan = plans.plan_for(ListedRow, connection)
    if plan is None or plan.row is None:
        raise LookupError(f"{ListedRow._meta.label} is not registered.")
    plans._plans[ListedRow] = replace(plan, row=replace(plan.row, whole_row=False, rendered={}))
    try:
        yield
    finally:
        plans.forget_plans()


def _figures(found: dict[str, list[Cost]]) -> dict[str, Any]:
    seconds = {name: [cost.seconds for cost in measured] for name, measured in found.items()}
    server = {name: [cost.server_cpu for cost in measured] for name, measured in found.items()}
    return {
        "microseconds": {name: Spread.of(values).scaled(MICROSECONDS) for name, values in seconds.items()},
        "server_cpu_microseconds": {name: Spread.of(values).scaled(MICROSECONDS) for name, values in server.items()},
        "listed_to_whole": ratios(seconds["listed"], seconds["whole row"]),
        "listed_to_whole_server_cpu": ratios(server["listed"], server["whole row"]),
    }


def _row(name: str, mode: str, found: dict[str, Any]) -> tuple[str, ...]:
    times, server = found["microseconds"], found["server_cpu_microseconds"]
    return (
        name,
        mode,
        *(f"{times[candidate].median:,.0f}" for candidate in IMAGE_CANDIDATES),
        found["listed_to_whole"].text(2),
        *(f"{server[candidate].median:,.0f}" for candidate in ("whole row", "listed")),
        f"{found['listed_to_whole_server_cpu'].median:.2f}",
    )
