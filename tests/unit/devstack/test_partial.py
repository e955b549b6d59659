"""Directories that are not there until they are whole."""

from __future__ import annotations

from pathlib import Path

from devstack.partial import fresh_beside


def test_a_partial_directory_is_empty_and_beside_its_place(tmp_path: Path) -> None:
    partial = fresh_beside(tmp_path / "data" / "postgres")
    assert partial.parent == tmp_path / "data"
    assert list(partial.iterdir()) == []


def test_what_a_killed_attempt_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "postgres.partial.1"
    left.mkdir()
    (left / "PG_VERSION").write_text("18")
    partial = fresh_beside(tmp_path / "postgres")
    assert list(tmp_path.iterdir()) == [partial]
