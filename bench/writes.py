"""What a captured write costs: the same operation without audit, captured, with a trigger, and with other libraries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from auditlog.roles import Role
from bench.domain import CANDIDATES, filled, tidy
from bench.models import Person
from bench.operations import OPERATIONS, Operation
from bench.others import PEERS, Peers, running_peers
from bench.report import Report, Table
from bench.stack import Stack
from bench.timing import Cost, Spread, cost_of, interleaved, ratios

ROUNDS = 40
LONG_ROUNDS = 15
QUICK_ROUNDS = 3
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
PEER_COLUMNS = ("operation", "", "auditlog / plain (range)", *(f"{peer} / plain (range)" for peer in PEERS))
PEER_NOTE = "In the same rounds. django-auditlog records nothing of the last two operations."
NOTE = (
    "Medians of the rounds, of one operation; ratios within each round. Fastest: the ratio of the fastest rounds, "
    "those that were disturbed least. CPU: processor time of client and server together."
)


def measure(stack: Stack, *, quick: bool) -> Report:
    """Measure every operation in autocommit mode and inside a transaction."""
    figures: dict[str, dict[str, Any]] = {mode: {} for mode in MODES}
    with filled(stack), stack.connect(Role.OWNER) as owner, running_peers(stack) as peers:
        for operation in OPERATIONS:
            for mode, in_transaction in MODES.items():
                stack.say(f"writes: {operation.name}, {mode}")
                found = _taking_turns(operation, peers, in_transaction=in_transaction, quick=quick)
                target = operation.ratio_in_transaction if in_transaction else operation.ratio_autocommit
                figures[mode][operation.name] = _figures(found, operation, target)
                tidy(owner)
                if peers is not None:
                    peers.tidy()
    tables = [
        Table(f"Write overhead, {mode}", COLUMNS, [_row(name, found) for name, found in figures[mode].items()], NOTE)
        for mode in MODES
    ]
    rows = [_peer_row(name, mode, figures[mode][name]) for name in figures["autocommit"] for mode in MODES]
    return Report((*tables, Table("Beside other libraries", PEER_COLUMNS, rows, PEER_NOTE)), figures)


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


def _taking_turns(
    operation: Operation, peers: Peers | None, *, in_transaction: bool, quick: bool
) -> dict[str, list[Cost]]:
    candidates = costs(operation, CANDIDATES, in_transaction=in_transaction)
    if peers is not None:
        candidates |= peers.costs(operation, in_transaction=in_transaction)
    return interleaved(candidates, rounds=rounds_of(operation, quick=quick))


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
        "peers": {peer: ratios(seconds[peer], seconds["no audit"]) for peer in PEERS if peer in seconds},
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


def _peer_row(name: str, mode: str, figures: dict[str, Any]) -> tuple[str, ...]:
    peers = figures["peers"]
    return name, mode, figures["auditlog_ratio"].text(2), *(peers[p].text(2) if p in peers else "" for p in PEERS)
