"""The state file."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from auditlog.roles import Role
from devstack import state as states
from devstack.errors import DevstackError
from devstack.state import Demo, Identity, Running, State


def test_there_is_an_empty_state_before_there_is_a_file(tmp_path: Path) -> None:
    assert states.load(tmp_path / "state.json") == State()


def test_a_state_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    state = State(
        secrets={"postgres": "s3cret"},
        demos={"local": Demo(users=[{"username": "auditor"}], since="2026-11-23T09:00:00+00:00", stored=True)},
        running=Running(Identity(7, 1.5), processes={"api": Identity(8, 2.5)}, api="http://127.0.0.1:8000"),
    )
    states.save(tmp_path / "state.json", state)
    assert states.load(tmp_path / "state.json") == state


def test_only_the_owner_may_read_the_file_also_after_it_was_replaced(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    file.write_text("{}")
    file.chmod(0o644)
    states.save(file, State())
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"secrets": {"postgres": 5}}'])
def test_a_file_that_is_not_ours_is_refused_with_a_way_out(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "state.json"
    file.write_bytes(content)
    with pytest.raises(DevstackError, match="make clean"):
        states.load(file)


def test_settings_find_the_names_that_they_read(tmp_path: Path) -> None:
    states.save(tmp_path / "state.json", State(running=Running(Identity(1, 1.0))))
    running = json.loads((tmp_path / "state.json").read_bytes())["running"]
    assert {"database_urls", "audit_database_urls", "kafka_bootstrap_servers", "topic_prefix"} <= running.keys()


def test_every_role_and_the_superuser_get_a_password_of_their_own() -> None:
    secrets = states.new_secrets()
    assert secrets.keys() == {"postgres", *(role.value for role in Role)}
    assert len({*secrets.values(), *states.new_secrets().values()}) == 12
    assert min(len(password) for password in secrets.values()) >= 32


def test_a_folder_that_was_removed_meanwhile_is_named(tmp_path: Path) -> None:
    with pytest.raises(DevstackError, match=r"gone/state\.json cannot be written"):
        states.save(tmp_path / "gone" / "state.json", State())


def test_what_runs_is_known_also_from_a_file_of_another_version(tmp_path: Path) -> None:
    path, running = tmp_path / "state.json", Running(Identity(7, 1.5), processes={"api": Identity(8, 2.5)})
    states.save(path, State(running=running))
    path.write_text(
        json.dumps({**json.loads(path.read_text(encoding="utf-8")), "demos": "of another version"}), encoding="utf-8"
    )
    with pytest.raises(DevstackError):
        states.load(path)
    assert states.salvaged(path) == State(running=running)
    path.write_bytes(b"\x00 damaged")
    assert states.salvaged(path) == State()
