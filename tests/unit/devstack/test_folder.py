"""The folder of the stack."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from devstack.errors import DevstackError
from devstack.folder import Folder


def test_each_database_has_a_kafka_of_its_own() -> None:
    folder = Folder(Path("/data"), Path("/project"))
    assert folder.kafka("local") == Path("/data/kafka")
    assert folder.kafka("7300000000000000001-16384") == Path("/data/kafka-7300000000000000001-16384")


def test_nobody_else_may_list_the_folder(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "a" / "b", tmp_path)
    folder.make()
    folder.make()
    assert stat.S_IMODE(folder.path.stat().st_mode) & 0o066 == 0
    assert stat.S_IMODE(folder.lock.stat().st_mode) == 0o600


def test_a_folder_that_cannot_be_made_is_named_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DevstackError, match="DEVSTACK_DATA_DIR"):
        Folder(tmp_path / "file" / "data", tmp_path).make()
