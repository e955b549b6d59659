"""Commands in the documentation are commands that a shell can read."""

from __future__ import annotations

import subprocess

import pytest

from tests.unit.docs.documents import ROOT, Document, documents

PAGES = [
    page
    for page in [*documents(), *(Document(path) for path in sorted((ROOT / "helm").rglob("*.md")))]
    if page.blocks("sh")
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.path.relative_to(ROOT)))
def test_a_shell_can_read_every_command(page: Document) -> None:
    for block in page.blocks("sh"):
        read = subprocess.run(["bash", "-n"], input=block, capture_output=True, text=True, check=False)
        assert (read.returncode, read.stderr) == (0, ""), block
