"""Trees of code: the working tree, copies of it with something else in them, and those of other versions."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = shutil.ignore_patterns(
    *(
        ".git",
        ".venv*",
        ".*_cache",
        ".hypothesis",
        ".devstack",
        "__pycache__",
        "staticfiles",
        "build",
        "dist",
        "results",
    )
)


def copied(to: Path) -> Path:
    """Copy the working tree, without what was made in it, and return where it is."""
    shutil.copytree(ROOT, to, ignore=LEFT_OUT)
    return to


def python_of(tree: Path) -> str:
    """Return the Python of a tree: that of its own virtual environment, or this one where it has none."""
    own = tree / ".venv" / "bin" / "python"
    return str(own) if tree != ROOT and own.exists() else sys.executable
