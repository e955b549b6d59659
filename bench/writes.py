"""What a captured write costs: the same operation on the same table without audit, captured, and with a trigger."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from auditlog.roles import Role
from bench.domain import CANDIDATES, filled, tidy
from bench.models import Person
from bench.operations import OPERATIONS, Operation
from bench.report import Report, Table
from bench.stack import Stack
from bench.timing import Cost, Spread, cost_of, interleaved, ratios

ROUNDS = 40
LONG_ROUNDS = 15
QUICK_ROUNDS = 6
MODES = {"autocommit": False, "in a transaction": True}
MICROSECONDS = 1_000_000
COLUMNS = (
    "operation",
    "no audit µs",
    "auditlog µs",
    "auditlog / plain (range)",
    "fastest",
    "target",
    "trigger / plain (range)",
    "fastest",
    "auditlog / trigger",
    "CPU: auditlog / plain",
    "trigger / plain",
)
NOTE = (
    "Medians of the rounds, of one operation; ratios within each round. Fastest: the ratio of the fastest rounds, "
    "those that were disturbed least. CPU: processor time of client and server together."
)


def measure(stack: Stack, *, quick: bool) -> Report:
    """Measure every operation in autocommit mode and inside a transaction."""
    figures: dict[str, dict[str, Any]] = {mode: {} for mode in MODES}
    with filled(stack), stack.connect(Role.OWNER) as owner:
        for operation in OPERATIONS:
            for mode, in_transaction in MODES.items():
                stack.say(f"writes: {operation.name}, {mode}")
                candidates = costs(operation, CANDIDATES, in_transaction=in_transaction)
                found = interleaved(candidates, rounds=rounds_of(operation, quick=quick))
                target = operation.ratio_in_transaction if in_transaction else operation.ratio_autocommit
                figures[mode][operation.name] = _figures(found, operation, target)
                tidy(owner)
    tables = (
        Table(f"Write overhead, {mode}", COLUMNS, [_row(name, found) for name, found in figures[mode].items()], NOTE)
        for mode in MODES
    )
    return Report(tuple(tables), figures)


def rounds_of(operation: Operation, *, quick: bool) -> int:
    """Return how many rounds are measured: fewer where one writes many rows."""
    if quick:
        return QUICK_ROUNDS
    return ROUNDS if operation.rows == 1 else LONG_ROUNDS


def costs(
    operation: Operation, models: Mapping[str, type[Person]], *, in_transaction: bool
) -> dict[str, Callable[[], Cost]]:
    """Return for each candidate what measures one block of the operation."""

    def measured(model: type[Person]) -> Callable[[], Cost]:
        return lambda: cost_of(operation.prepare(model, operation.runs), in_transaction=in_transaction)

    return {name: measured(model) for name, model in models.items()}


def _figures(found: dict[str, list[Cost]], operation: Operation, target: float | None) -> dict[str, Any]:
    seconds = {name: [cost.seconds for cost in costs] for name, costs in found.items()}
    cpu = {name: [cost.cpu for cost in costs] for name, costs in found.items()}
    microseconds = {name: Spread.of(values).scaled(MICROSECONDS) for name, values in seconds.items()}
    added = microseconds["auditlog"].median - microseconds["no audit"].median
    return {
        "rows": operation.rows,
        "microseconds": microseconds,
        "auditlog_ratio": ratios(seconds["auditlog"], seconds["no audit"]),
        "trigger_ratio": ratios(seconds["trigger"], seconds["no audit"]),
        "auditlog_ratio_of_fastest": min(seconds["auditlog"]) / min(seconds["no audit"]),
        "trigger_ratio_of_fastest": min(seconds["trigger"]) / min(seconds["no audit"]),
        "auditlog_to_trigger": ratios(seconds["auditlog"], seconds["trigger"]),
        "auditlog_cpu_ratio": ratios(cpu["auditlog"], cpu["no audit"]),
        "trigger_cpu_ratio": ratios(cpu["trigger"], cpu["no audit"]),
        "microseconds_added_per_row": added / operation.rows,
        "target_ratio": target,
    }


def _row(name: str, figures: dict[str, Any]) -> tuple[str, ...]:
    times, target = figures["microseconds"], figures["target_ratio"]
    return (
        name,
        f"{times['no audit'].median:,.0f}",
        f"{times['auditlog'].median:,.0f}",
        figures["auditlog_ratio"].text(2),
        f"{figures['auditlog_ratio_of_fastest']:.2f}",
        f"≤ {target}" if target else "",
        figures["trigger_ratio"].text(2),
        f"{figures['trigger_ratio_of_fastest']:.2f}",
        f"{figures['auditlog_to_trigger'].median:.2f}",
        f"{figures['auditlog_cpu_ratio'].median:.2f}",
        f"{figures['trigger_cpu_ratio'].median:.2f}",
    )
