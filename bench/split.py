"""Where the time of a captured write goes: Python, parsing, planning, the SQL functions, the rest of the server."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction

from auditlog.roles import Role
from bench.domain import CANDIDATES, filled, tidy
from bench.models import Person
from bench.operations import OPERATIONS, Operation
from bench.report import Report, Table
from bench.stack import Stack
from bench.timing import Cost, interleaved, on_processor
from bench.writes import MICROSECONDS, costs, rounds_of

PLANNED = 50
# Milliseconds in functions that this session has not handed to the server's statistics yet.
FUNCTION_TIME = "SELECT coalesce(sum(self_time), 0) FROM pg_stat_xact_user_functions"
COLUMNS = (
    "operation",
    "",
    "client CPU µs",
    "server CPU µs",
    "of these: parsing",
    "planning",
    "functions (clock)",
    "all added: client",
    "server",
    "parsing",
    "planning",
    "functions",
)


def measure(stack: Stack, *, quick: bool) -> Report:
    """Split the cost of every operation inside a transaction."""
    figures: dict[str, dict[str, dict[str, float]]] = {}
    with _functions_timed(stack), filled(stack), stack.connect(Role.OWNER) as owner:
        for operation in OPERATIONS:
            stack.say(f"split: {operation.name}")
            rounds = rounds_of(operation, quick=quick)
            candidates = costs(operation, CANDIDATES, in_transaction=True)
            found = interleaved(candidates, rounds=rounds)
            functions = {name: _in_functions(operation, model, rounds=rounds) for name, model in CANDIDATES.items()}
            statements = {name: _statements(operation, model) for name, model in CANDIDATES.items()}
            figures[operation.name] = {
                name: _parts(found[name], statements=statements[name], functions=functions[name]) for name in CANDIDATES
            }
            tidy(owner)
    rows = [_row(operation, name, parts) for operation, parts in figures.items() for name in parts]
    return Report((Table("Where the time goes, in a transaction", COLUMNS, rows),), figures)


@contextmanager
def _functions_timed(stack: Stack) -> Iterator[None]:
    """Let the server time function calls of sessions that begin from now on."""
    with stack.admin() as admin:
        admin.execute("ALTER ROLE auditlog_app SET track_functions = 'all'")
        connection.close()
        try:
            yield
        finally:
            admin.execute("ALTER ROLE auditlog_app RESET track_functions")
            connection.close()


def _in_functions(operation: Operation, model: type[Person], *, rounds: int) -> float:
    """Return the microseconds that one run spends in functions, of capture or of the triggers."""
    return statistics.median(_block_in_functions(operation, model) for _ in range(rounds)) / operation.runs


def _block_in_functions(operation: Operation, model: type[Person]) -> float:
    runs = operation.prepare(model, operation.runs)
    with transaction.atomic():
        before = _function_time()
        for run in runs:
            run()
        return (_function_time() - before) * 1_000


def _function_time() -> float:
    with connection.cursor() as cursor:
        cursor.execute(FUNCTION_TIME)
        return float(cursor.fetchone()[0])


def _statements(operation: Operation, model: type[Person]) -> list[tuple[str, Any]]:
    seen: list[tuple[str, Any]] = []

    def noted(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append((sql, params))
        return execute(sql, params, many, context)

    run = operation.prepare(model, 1)[0]
    with transaction.atomic(), connection.execute_wrapper(noted):
        run()
        transaction.set_rollback(True)
    return seen


def _parsing_of(sql: str, params: Any) -> float:
    """Return the microseconds of lexing, parsing and analysis: what naming a statement takes, but not planning."""
    return (_naming(sql, params) - _naming("SELECT 1", None)) * MICROSECONDS


def _naming(sql: str, params: Any) -> float:
    server = connection.connection.info.backend_pid
    with connection.cursor() as cursor:
        times = []
        for _ in range(PLANNED):
            before = on_processor(server)
            cursor.execute(f"PREPARE bench AS {sql}", params)
            cursor.execute("DEALLOCATE bench")
            times.append(on_processor(server) - before)
        return statistics.median(times)


def _planning_of(sql: str, params: Any) -> float:
    """Return the microseconds of planning: explaining plans a statement and does not run it."""
    with connection.cursor() as cursor:
        times = []
        for _ in range(PLANNED):
            cursor.execute(f"EXPLAIN (SUMMARY, FORMAT JSON) {sql}", params)
            times.append(float(cursor.fetchone()[0][0]["Planning Time"]))
    return statistics.median(times) * 1_000


def _parts(measured: Sequence[Cost], *, statements: Sequence[tuple[str, Any]], functions: float) -> dict[str, float]:
    return {
        "client": statistics.median(cost.client_cpu for cost in measured) * MICROSECONDS,
        "server": statistics.median(cost.server_cpu for cost in measured) * MICROSECONDS,
        "parsing": sum(_parsing_of(sql, params) for sql, params in statements),
        "planning": sum(_planning_of(sql, params) for sql, params in statements),
        "functions": functions,
    }


def _row(operation: str, candidate: str, parts: dict[str, dict[str, float]]) -> tuple[str, ...]:
    own, plain = parts[candidate], parts["no audit"]
    added = [f"{own[part] - plain[part]:+,.0f}" for part in own] if candidate != "no audit" else [""] * len(own)
    name = operation if candidate == "no audit" else ""
    return name, candidate, *(f"{value:,.0f}" for value in own.values()), *added
