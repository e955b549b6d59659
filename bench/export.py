"""How long an export of the whole audit log takes, and how much memory: read from its pipe, counted and hashed here."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import IO, Any

from auditlog.roles import Role
from bench import history
from bench.domain import filled, tidy
from bench.report import Report, Table
from bench.stack import ROOT, Stack
from devstack.errors import DevstackError

ROWS = 5_000_000
QUICK_ROWS = 5_000
QUICK_MONTHS = 2
# What is compared with: an export needs no more memory for millions.
FEW_ROWS = 1_000
COMMAND = ("manage.py", "audit_export", "--reason", "bench")
COLUMNS = ("export", "events", "seconds", "events/s", "processor seconds", "MB", "peak memory, MB")
NOTE = "NDJSON through a pipe; row count and SHA-256 of its trailer are those of what came out of it."


def measure(stack: Stack, *, quick: bool, rows: int | None = None) -> Report:
    """Export a few events, then all of them; whatever does not add up is an error."""
    rows = rows or (QUICK_ROWS if quick else ROWS)
    with filled(stack), stack.connect(Role.OWNER) as owner:
        until = datetime.now(tz=UTC) - timedelta(minutes=1)
        months = QUICK_MONTHS if quick else history.MONTHS
        log = history.fill(owner, rows=rows, until=until, say=stack.say, months_back=months)
        few = (log.until - FEW_ROWS * log.step).isoformat()
        stack.say(f"export: {rows:,} events")
        figures = {"few": _export(stack, "--from", few), "all": _export(stack)}
        tidy(owner)
        owner.execute("TRUNCATE auditlog_auditlog, auditlog_consumeroffset, auditlog_rollup")
    if figures["all"]["rows"] != rows:
        raise DevstackError(f"{figures['all']['rows']:,} of {rows:,} events were exported.")
    return Report((_table(figures),), figures)


def _export(stack: Stack, *arguments: str) -> dict[str, Any]:
    variables = {"DATABASE_URL": stack.url(Role.APP), "AUDIT_DATABASE_URL": stack.url(Role.READER)}
    started = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *COMMAND, *arguments], cwd=ROOT, env={**os.environ, **variables}, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        rows, size, digest, last = _read(process.stdout)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    trailer = json.loads(last or b"{}")
    if process.returncode or (trailer.get("rows"), trailer.get("sha256")) != (rows, digest):
        raise DevstackError(f"The export ended with {process.returncode}, and says {trailer} of {rows:,} events.")
    seconds = time.perf_counter() - started
    processor = usage.ru_utime + usage.ru_stime
    sizes = {"bytes": size, "peak_kilobytes": usage.ru_maxrss}
    return {"rows": rows, "seconds": seconds, "processor_seconds": processor, **sizes}


def _read(pipe: IO[bytes]) -> tuple[int, int, str, bytes]:
    """Return what came before the last line (lines, bytes, SHA-256), and the last line."""
    digest, rows, size, last = hashlib.sha256(), -1, 0, b""
    for line in pipe:
        digest.update(last)
        size += len(last)
        rows, last = rows + 1, line
    return rows, size, digest.hexdigest(), last


def _table(figures: dict[str, Any]) -> Table:
    rows = [
        (
            name,
            f"{one['rows']:,}",
            f"{one['seconds']:,.1f}",
            f"{one['rows'] / one['seconds']:,.0f}",
            f"{one['processor_seconds']:,.1f}",
            f"{one['bytes'] / 10**6:,.0f}",
            f"{one['peak_kilobytes'] / 1024:,.0f}",
        )
        for name, one in figures.items()
    ]
    return Table("Export of the audit log", COLUMNS, rows, NOTE)
