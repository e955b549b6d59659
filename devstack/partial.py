"""Directories that are made whole beside their place and then moved there, since their makers may be killed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def fresh_beside(place: Path) -> Path:
    """
    Return an empty directory beside `place`, and remove those of earlier attempts.

    Its name is never used again: a maker of an earlier attempt that still runs cannot write into a later one.
    """
    for left in place.parent.glob(f"{place.name}.partial.*"):
        shutil.rmtree(left, ignore_errors=True)
    partial = place.with_name(f"{place.name}.partial.{os.getpid()}")
    partial.mkdir(parents=True, mode=0o700)
    return partial
