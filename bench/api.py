"""
How long the audit API takes to answer each kind of question, while events go on being stored.

Over HTTP at a fixed rate, all kinds mixed; then each kind beside the same SQL on a connection of its own.
"""

from __future__ import annotations

import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

import psycopg
from django.db import connections
from django.test.utils import CaptureQueriesContext, override_settings
from django.urls import Resolver404, resolve
from rest_framework.test import APIClient

from auditlog.roles import Role
from auditlog.routers import READ_MODEL_ALIAS
from bench import history, web
from bench.asking import Answer, Client
from bench.domain import filled, tidy
from bench.history import History
from bench.pipeline import STORED, number
from bench.questions import QUESTIONS, Question, samples
from bench.report import Report, Table
from bench.stack import Stack
from devstack import ports
from devstack.errors import DevstackError

ROWS = 10_000_000
QUICK_ROWS = 20_000
QUICK_MONTHS = 3
PER_SECOND = 30
# Of the kinds that have no limit, when the others have been asked.
OTHERS_PER_SECOND = 5
EVENTS_PER_SECOND = 500
SECONDS = 180
QUICK_SECONDS = 4
# Beside the same SQL, of each kind.
PAIRS = 15
QUICK_PAIRS = 3
# A row and its entries in all indexes, with the log that is written meanwhile.
BYTES_PER_ROW = 3_000
LOG_BYTES = 5 * 10**9
MILLISECONDS = 1_000
# Processes, not threads: see docs/explanation/performance.md.
WORKERS, THREADS = 3, 1
# What a caller may ask in a minute is not what is measured.
NO_LIMIT = {"AUDITLOG_RATE_LIMIT_TOKENS": 100_000_000}
SERVER = {"API_WORKERS": str(WORKERS), "API_THREADS": str(THREADS), **{name: str(n) for name, n in NO_LIMIT.items()}}
EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "
SIZES = """
SELECT sum(pg_table_size(inhrelid)), sum(pg_indexes_size(inhrelid)), (SELECT count(*) FROM auditlog_auditlog)
FROM pg_inherits WHERE inhparent = 'auditlog_auditlog'::regclass
"""
COLUMNS = (
    "question",
    "limit",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "max ms",
    "asked",
    "not 200",
    "SQL ms",
    "of it planning",
    "request/SQL",
    "blocks",
)
ABSENT = "no such resource"


@dataclass(frozen=True, slots=True)
class Beside:
    """A request and its statements, one after the other: milliseconds, and the blocks that the statements touched."""

    request: float
    sql: float
    planning: float
    blocks: int


def measure(stack: Stack, *, quick: bool, rows: int | None = None) -> Report:
    """Make the audit log, then ask."""
    rows = rows or (QUICK_ROWS if quick else ROWS)
    _make_room(rows)
    stack.start_kafka()
    with filled(stack), stack.connect(Role.OWNER) as owner, stack.connect(Role.READER) as reader:
        stack.say(f"api: an audit log of {rows:,} rows")
        started = time.perf_counter()
        until = datetime.now(tz=UTC) - timedelta(minutes=1)
        months = QUICK_MONTHS if quick else history.MONTHS
        log = history.fill(owner, rows=rows, until=until, say=stack.say, months_back=months)
        stack.manage("audit_rollups", "rebuild", role=Role.OWNER)
        with stack.admin() as admin:
            # A log of two years is on the disk: nothing of it is left to be written while it is asked.
            admin.execute("CHECKPOINT")
        made_in = time.perf_counter() - started
        with _serving(stack) as client:
            figures = _asked(stack, reader, client, log, seconds=QUICK_SECONDS if quick else SECONDS)
            figures["beside"] = _beside(stack, reader, client, log, count=QUICK_PAIRS if quick else PAIRS)
        table_bytes, index_bytes, stored = reader.execute(SIZES).fetchone() or (0, 0, 0)
        tidy(owner)
        owner.execute("TRUNCATE auditlog_auditlog, auditlog_consumeroffset, auditlog_rollup")
    figures |= {
        "rows": stored,
        "bytes_a_row": float(table_bytes) / stored,
        "index_bytes_a_row": float(index_bytes) / stored,
    }
    figures["seconds_to_make"] = made_in
    return Report((_table(figures),), figures)


def _make_room(rows: int) -> None:
    folder = tempfile.gettempdir()
    wanted = rows * BYTES_PER_ROW + LOG_BYTES
    if (free := shutil.disk_usage(folder).free) < wanted:
        raise DevstackError(
            f"{rows:,} rows take {wanted / 10**9:.0f} GB in {folder}, where {free / 10**9:.0f} GB are free: set TMPDIR "
            "to a folder with more, or ask for fewer rows (--rows)."
        )


@contextmanager
def _serving(stack: Stack) -> Iterator[Client]:
    """Serve the API, and let events be written, published and stored meanwhile."""
    writer = [sys.executable, "-m", "bench.writer", str(EVENTS_PER_SECOND)]
    with (
        stack.running("run_relay", role=Role.RELAY),
        stack.running("run_consumer", role=Role.CONSUMER),
        web.serving(stack, **SERVER) as server,
        stack.connect(Role.READER) as reader,
        stack.running_program("writer", writer),
    ):
        before = number(reader, STORED)
        stack.wait_until(lambda: number(reader, STORED) > before, what="the consumer stores what is written")
        yield Client(port=server.port, key=server.key)


def _asked(
    stack: Stack, reader: psycopg.Connection[Any], client: Client, log: History, *, seconds: int
) -> dict[str, Any]:
    """Ask for what has a limit at the rate, then for the rest at its own, and return what came back by question."""
    known = [question for question in QUESTIONS if _is_served(question, reader, log)]
    stored, started = number(reader, STORED), time.perf_counter()
    limited = [question for question in known if question.limit is not None]
    answers = _mixed(stack, reader, client, log, limited, per_second=PER_SECOND, seconds=seconds)
    rate = (number(reader, STORED) - stored) / (time.perf_counter() - started)
    others = [question for question in known if question.limit is None]
    answers |= _mixed(stack, reader, client, log, others, per_second=OTHERS_PER_SECOND, seconds=seconds / 3)
    return {
        "asked": {name: _percentiles(found) for name, found in answers.items()},
        "absent": [question.name for question in QUESTIONS if question not in known],
        "stored_per_second": rate,
    }


def _mixed(
    stack: Stack,
    reader: psycopg.Connection[Any],
    client: Client,
    log: History,
    questions: Sequence[Question],
    *,
    per_second: int,
    seconds: float,
) -> dict[str, list[Answer]]:
    """Ask questions of all these kinds in a random order, and return the answers by kind."""
    count = max(1, round(per_second * seconds / len(questions)))
    stack.say(f"api: {per_second} requests a second for {count * len(questions) / per_second:.0f} seconds")

    def paths(number: int, seed: int) -> list[tuple[str, str]]:
        return [(each.name, path) for each in questions for path in _paths(each, reader, client, log, number, seed)]

    # So that connections are made and caches are warm; about other events than those that are measured. A broker that
    # was just started compiles its code for minutes, on as much of the machine as it can get.
    client.at_rate([path for _name, path in paths(count, 0)], per_second=per_second)
    order = paths(count, 1)
    random.Random(2).shuffle(order)
    found: dict[str, list[Answer]] = {}
    answers = client.at_rate([path for _name, path in order], per_second=per_second)
    for (name, _path), answer in zip(order, answers, strict=True):
        found.setdefault(name, []).append(answer)
    return found


def _is_served(question: Question, reader: psycopg.Connection[Any], log: History) -> bool:
    path = question.asked(next(samples(reader, log, seed=0)))
    try:
        resolve(urlsplit(path).path)
    except Resolver404:
        return False
    return True


def _paths(
    question: Question, reader: psycopg.Connection[Any], client: Client, log: History, count: int, seed: int
) -> list[str]:
    paths = [question.asked(sample) for sample in islice(samples(reader, log, seed=seed), count)]
    return [_next(client.get(path)) or path for path in paths] if question.following else paths


def _next(answer: Answer) -> str | None:
    following = json.loads(answer.body)["next"] if answer.status == 200 else None
    return following and following.partition(f":{urlsplit(following).port}")[2]


def _percentiles(answers: Sequence[Answer]) -> dict[str, Any]:
    found = sorted(answer.milliseconds for answer in answers)
    cuts = statistics.quantiles(found, n=100, method="inclusive") if len(found) > 1 else found * 99
    return {
        "milliseconds": {"p50": cuts[49], "p95": cuts[94], "p99": cuts[98], "max": found[-1]},
        "asked": len(found),
        "statuses": {str(status): times for status, times in Counter(answer.status for answer in answers).items()},
    }


def _beside(
    stack: Stack, reader: psycopg.Connection[Any], client: Client, log: History, *, count: int
) -> dict[str, dict[str, float]]:
    stack.say("api: beside the same SQL")
    local = APIClient()
    local.credentials(HTTP_AUTHORIZATION=client.authorization, SERVER_NAME=ports.HOST)
    figures: dict[str, dict[str, float]] = {}
    for question in QUESTIONS:
        if _is_served(question, reader, log):
            paths = _paths(question, reader, client, log, count, seed=3)
            pairs = [_pair(reader, client, local, path) for path in paths]
            figures[question.name] = {
                name: statistics.median(getattr(pair, name) for pair in pairs)
                for name in ("request", "sql", "planning", "blocks")
            } | {"request_to_sql": statistics.median(pair.request / pair.sql for pair in pairs)}
    return figures


def _pair(reader: psycopg.Connection[Any], client: Client, local: APIClient, path: str) -> Beside:
    with CaptureQueriesContext(connections[READ_MODEL_ALIAS]) as captured, override_settings(**NO_LIMIT):
        answer = local.get(path)
    if answer.status_code != 200:
        raise DevstackError(f"{path} was answered by {answer.status_code} in this process")
    statements = [query["sql"] for query in captured if query["sql"].lstrip("( \n").startswith(("SELECT", "WITH"))]
    request = client.get(path).milliseconds
    started = time.perf_counter()
    for statement in statements:
        reader.execute(statement.encode()).fetchall()
    sql = (time.perf_counter() - started) * MILLISECONDS
    plans = [(reader.execute(f"{EXPLAIN}{statement}".encode()).fetchone() or [[{}]])[0][0] for statement in statements]
    return Beside(
        request,
        sql,
        sum(plan["Planning Time"] for plan in plans),
        sum(plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"] for plan in plans),
    )


def _table(figures: dict[str, Any]) -> Table:
    title = f"Audit API over {figures['rows']:,} rows"
    note = (
        f"{PER_SECOND} requests a second in all, of the kinds with a limit, then {OTHERS_PER_SECOND} of the others, "
        f"from when each was due; {WORKERS} workers of {THREADS} threads. Meanwhile {figures['stored_per_second']:.0f} "
        "events a second were stored through relay, Kafka and consumer. SQL: the same statements on one connection, "
        "one request after the other; medians, and blocks of 8 kB."
    )
    return Table(title, COLUMNS, [_row(question, figures) for question in QUESTIONS], note)


def _row(question: Question, figures: dict[str, Any]) -> tuple[str, ...]:
    limit = f"{question.limit}" if question.limit else "none"
    asked, beside = figures["asked"].get(question.name), figures["beside"].get(question.name)
    if asked is None or beside is None:
        return question.name, limit, ABSENT, *[""] * (len(COLUMNS) - 3)
    times = (f"{value:.1f}" for value in asked["milliseconds"].values())
    failed = asked["asked"] - asked["statuses"].get("200", 0)
    return (
        *(question.name, limit, *times, f"{asked['asked']}", f"{failed}"),
        *(
            f"{beside['sql']:.1f}",
            f"{beside['planning']:.1f}",
            f"{beside['request_to_sql']:.1f}",
            f"{beside['blocks']:,.0f}",
        ),
    )
