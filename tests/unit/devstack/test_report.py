"""What `devstack info` and `devstack status` say where nothing needs to answer."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from devstack.folder import Folder
from devstack.report import inspect
from devstack.state import Identity, Running, State

KEYS = [
    "ready",
    "api",
    "database_url",
    "audit_database_url",
    "database_owner_url",
    "kafka_bootstrap_servers",
    "topic_prefix",
    "data_dir",
    "pids",
    "users",
]


def test_where_nothing_was_ever_started_the_shape_is_the_same(tmp_path: Path) -> None:
    report = inspect(State(), Folder(tmp_path / ".devstack", tmp_path), topic_prefix="audit")
    assert not report.ready
    assert list(report.members) == KEYS
    assert report.members["data_dir"] == ".devstack"
    assert set(report.members["pids"].values()) == {None}
    assert report.text().startswith("NOT READY: nothing runs")


def test_a_stack_that_is_starting_says_what_it_lacks(tmp_path: Path) -> None:
    own = Identity(os.getpid(), psutil.Process().create_time())
    running = Running(own, processes={"postgres": own, "kafka": Identity(own.pid, own.started - 100)})
    report = inspect(State(running=running), Folder(Path("/elsewhere"), tmp_path), topic_prefix="audit")
    assert report.lacking == [
        "kafka does not run",
        "the API is not ready",
        "the worker is not connected",
        "the relay holds no shards",
        "the consumer reads no partitions",
        "the demo is not loaded",
    ]
    others = dict.fromkeys(("kafka", "api", "worker", "relay", "consumer"))
    assert report.members["pids"] == {"postgres": own.pid, **others}
    assert report.members["data_dir"] == "/elsewhere"
