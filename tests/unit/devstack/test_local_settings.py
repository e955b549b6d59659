"""What settings take from a running stack."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from devstack import state as states
from devstack.addresses import NAMES, local_databases
from devstack.state import Identity, Running, State
from settings import local_stack
from settings.env import Environment

SECRETS = dict.fromkeys((f"auditlog_{name}" for name in ("owner", "app", "relay", "consumer", "reader")), "s")
URL = "postgres://auditlog_{}:s@127.0.0.1:5433/clinic"
FOLDERS = {"MEDIA_ROOT", "HEARTBEAT_DIR", "EMAIL_DIR"}


@pytest.fixture
def env(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """An environment in which only the folder of a running stack is set."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)
    monkeypatch.setenv("DEVSTACK_DATA_DIR", str(tmp_path))
    urls = dict(local_databases(5433, SECRETS).domain)
    running = Running(
        Identity(1, 1.0),
        database_urls=urls,
        audit_database_urls=urls,
        kafka_bootstrap_servers="127.0.0.1:9094",
        topic_prefix="trial",
    )
    states.save(tmp_path / "state.json", State(running=running))
    return Environment()


@pytest.mark.parametrize(
    ("command", "domain", "audit"),
    [
        ("audit_reconcile --every=30", "reader", "consumer"),
        ("audit_reconcile --topics --repair --reason x", "relay", "consumer"),
        ("audit_reconcile --explain 1 --reason x", "relay", "consumer"),
        ("import_clinicians", "app", "reader"),
        ("shell", "app", "reader"),
        ("outbox_status", "relay", "reader"),
        ("outbox_requeue", "relay", "reader"),
        ("run_relay", "relay", "reader"),
        ("audit_reconcile", "reader", "reader"),
        ("dead_letters", "consumer", "consumer"),
        ("consumer_seek", "consumer", "consumer"),
        ("audit_replay", "consumer", "consumer"),
        ("run_consumer", "consumer", "consumer"),
    ],
)
def test_each_command_gets_its_role(
    env: Environment, monkeypatch: pytest.MonkeyPatch, command: str, domain: str, audit: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/manage.py", *command.split()])
    found = local_stack.fallbacks(env)
    assert found["DATABASE_URL"] == URL.format(domain)
    assert found["AUDIT_DATABASE_URL"] == URL.format(audit)
    assert found["DATABASE_OWNER_URL"] == found["AUDIT_DATABASE_OWNER_URL"] == URL.format("owner")
    assert (found["KAFKA_BOOTSTRAP_SERVERS"], found["KAFKA_TOPIC_PREFIX"]) == ("127.0.0.1:9094", "trial")


def test_an_address_in_the_environment_keeps_out_all_that_belong_to_it(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://me@elsewhere/db")
    assert local_stack.fallbacks(env).keys() == {*FOLDERS, "KAFKA_BOOTSTRAP_SERVERS", "KAFKA_TOPIC_PREFIX"}
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "elsewhere:9092")
    assert local_stack.fallbacks(env).keys() == FOLDERS


def test_a_fallback_never_beats_the_environment(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    env.fallbacks = local_stack.fallbacks(env)
    monkeypatch.setenv("KAFKA_TOPIC_PREFIX", "mine")
    assert env.text("KAFKA_TOPIC_PREFIX", default="audit") == "mine"
    monkeypatch.delenv("KAFKA_TOPIC_PREFIX")
    assert env.text("KAFKA_TOPIC_PREFIX", default="audit") == "trial"


def test_the_stack_itself_does_not_take_its_leftovers_for_a_wish(
    env: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["manage.py", "devstack", "up"])
    assert local_stack.fallbacks(env).keys() == FOLDERS


def test_nothing_is_taken_where_nothing_runs(env: Environment, tmp_path: Path) -> None:
    states.save(tmp_path / "state.json", State(secrets=SECRETS))
    assert local_stack.fallbacks(env) == {
        "MEDIA_ROOT": str(tmp_path / "media"),
        "HEARTBEAT_DIR": str(tmp_path / "heartbeats"),
        "EMAIL_DIR": str(tmp_path / "mail"),
    }
    (tmp_path / "state.json").unlink()
    assert local_stack.fallbacks(env) == {
        "MEDIA_ROOT": str(tmp_path / "media"),
        "HEARTBEAT_DIR": str(tmp_path / "heartbeats"),
        "EMAIL_DIR": str(tmp_path / "mail"),
    }


def test_a_damaged_state_file_is_named(env: Environment, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{")
    local_stack.fallbacks(env)
    assert "state.json of the local stack cannot be read" in env.problems["DATABASE_URL"]


def test_a_relative_folder_is_one_of_the_project(env: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEVSTACK_DATA_DIR", "build/stack")
    assert local_stack.data_dir(env) == Path(local_stack.__file__).resolve().parents[1] / "build" / "stack"
