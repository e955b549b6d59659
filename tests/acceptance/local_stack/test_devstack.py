"""`manage.py devstack`: starts, says what runs, restarts what dies, recovers, stops."""

from __future__ import annotations

import json
import os
import signal
import stat

import psutil
import pytest

from tests.acceptance.local_stack.stack import LocalStack, get, saved_state

pytestmark = pytest.mark.processes

PIDS = {"postgres", "kafka", "api", "worker", "relay", "consumer"}


def test_info_says_where_everything_is_once_it_is_ready(stack: LocalStack) -> None:
    info = stack.wait_until(lambda: (found := stack.info())["ready"] and found)
    assert info["pids"].keys() == PIDS
    assert all(psutil.pid_exists(pid) for pid in info["pids"].values())
    assert info["api"].startswith("http://127.0.0.1:")
    assert info["database_url"].startswith("postgres://auditlog_app:")
    assert info["audit_database_url"].startswith("postgres://auditlog_consumer:")
    assert info["database_owner_url"].startswith("postgres://auditlog_owner:")
    assert info["topic_prefix"] == "audit"
    assert info["data_dir"] == str(stack.folder)
    assert [user["username"] for user in info["users"]] == ["auditor", "doctor-admin"]


def test_the_secrets_are_for_the_owner_only_and_not_in_the_log(stack: LocalStack) -> None:
    assert stat.S_IMODE((stack.folder / "state.json").stat().st_mode) == 0o600
    secrets = saved_state(stack.folder).secrets
    assert len(secrets) == 6
    assert not [name for name, secret in secrets.items() if secret in stack.log()]


def test_a_second_one_says_that_one_runs_and_where(stack: LocalStack) -> None:
    second = stack.manage("devstack", "up")
    assert second.returncode == 1
    assert f"process {stack.supervisor.pid}" in second.stderr
    assert stack.info()["api"] in second.stderr


def test_the_auditor_reads_the_demo_through_the_api(stack: LocalStack) -> None:
    info = stack.info()
    key = info["users"][0]["api_key"]
    page = get(f"{info['api']}/api/audit/v1/events/?model=doctors.doctor&action=delete", api_key=key)
    assert [event["actor"]["repr"] for event in page["results"]] == ["doctor-admin"]
    assert page["results"][0]["reason"] == "Left the network"


def test_other_commands_find_the_stack_with_the_role_of_their_own(stack: LocalStack) -> None:
    reconciled = stack.manage("audit_reconcile", "--json")
    assert reconciled.returncode == 0, reconciled.stderr
    assert json.loads(reconciled.stdout)["missing"] == []
    assert json.loads(stack.manage("outbox_status", "--json").stdout)["pending"] == 0
    assert json.loads(stack.manage("dead_letters", "list", "--json").stdout)["results"] == []
    assert stack.manage("migrate", "--check").returncode == 0
    assert json.loads(stack.manage("kafka_topics", "--json").stdout)["missing"] == []


@pytest.mark.parametrize("name", ["api", "worker", "relay"])
def test_a_process_that_is_killed_is_started_again(stack: LocalStack, name: str) -> None:
    stack.wait_until(lambda: stack.info()["ready"])
    before = stack.info()["pids"]
    os.kill(before[name], signal.SIGKILL)
    after = stack.wait_until(lambda: (found := stack.info())["ready"] and found["pids"])
    assert after[name] != before[name]
    assert {**after, name: 0} == {**before, name: 0}
    assert f"{name} was ended by SIGKILL; starting it again" in stack.log()


def test_a_stack_whose_supervisor_is_killed_recovers_and_then_stops_whole(stack: LocalStack) -> None:
    users = stack.info()["users"]
    stack.kill()
    assert set(stack.left()) == PIDS
    killed = stack.info()
    assert (killed["ready"], killed["pids"].keys()) == (False, PIDS)
    stack.start()
    assert "left behind by an earlier stack" in stack.log()
    assert "loading the demo" not in stack.log()
    assert stack.info()["users"] == users
    assert stack.terminate() == 0
    assert stack.left() == []
    assert saved_state(stack.folder).running is None
    assert stack.manage("devstack", "status").returncode == 1
