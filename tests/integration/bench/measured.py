"""Small runs of the benchmark, by a process of their own."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.integration.bench.test_counts import ROOT, command, environment

DEADLINE_SECONDS = 540


@contextmanager
def quickly(name: str) -> Iterator[dict[str, Any]]:
    """Measure one thing quickly, and give the figures; nothing of the run is left behind."""
    with tempfile.TemporaryDirectory(prefix="auditlog-tests-bench-") as directory:
        # PostgreSQL's own user must reach it.
        Path(directory).chmod(0o755)
        written = Path(directory) / "figures.json"
        done = subprocess.run(
            command("--quick", "--only", name, "--json", str(written)),
            cwd=ROOT,
            env=environment(Path(directory)),
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        yield json.loads(written.read_bytes())["measurements"][name]
