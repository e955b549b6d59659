"""What a run was measured on."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from typing import Any

import django
import psutil

from bench.stack import Stack

SETTINGS = ("server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers", "autovacuum")
GIGABYTE = 2**30


def describe(stack: Stack) -> dict[str, Any]:
    """Return the machine, its load, the versions, and the server's settings that decide what a commit costs."""
    with stack.admin() as admin:
        settings = {name: _setting(admin.execute("SELECT current_setting(%s)", [name]).fetchone()) for name in SETTINGS}
    return {
        "measured_at": datetime.now(tz=UTC).isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / GIGABYTE, 1),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "django": django.get_version(),
        "postgresql": settings,
    }


def summary(machine: dict[str, Any]) -> str:
    """Return one line for people."""
    server = machine["postgresql"]
    load = ", ".join(f"{value:.2f}" for value in machine["load_average"])
    return (
        f"{machine['cores']} cores, PostgreSQL {server['server_version']} (fsync {server['fsync']}, synchronous_commit "
        f"{server['synchronous_commit']}), Django {machine['django']}, Python {machine['python']}; load average {load}"
    )


def _setting(row: tuple[Any, ...] | None) -> str:
    return str(row[0]) if row else ""
