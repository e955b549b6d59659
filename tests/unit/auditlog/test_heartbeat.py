"""The sign of life of a run loop."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from prometheus_client import CollectorRegistry, Gauge

from auditlog.heartbeat import Heartbeat, RunLoop, heartbeat

CONSUMER_POLL_SECONDS = 600


@pytest.fixture
def gauge() -> Gauge:
    """A gauge of this test."""
    return Gauge("loop", "When it went round.", registry=CollectorRegistry())


@pytest.fixture
def folder(tmp_path: Path, settings: Any) -> Path:
    """The folder of heartbeats, which is made when the first is written."""
    settings.HEARTBEAT_DIR = str(tmp_path / "heartbeats")
    return tmp_path / "heartbeats"


def made_old(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


@pytest.mark.parametrize("loop", RunLoop)
def test_a_loop_that_goes_round_is_healthy(loop: RunLoop, folder: Path, gauge: Gauge, capsys: Any) -> None:
    with heartbeat(loop, gauge=gauge):
        call_command("healthcheck", f"--{loop}")
    assert f"The {loop} went round 0." in capsys.readouterr().out


@pytest.mark.parametrize("loop", RunLoop)
def test_a_loop_that_stands_still_is_not_healthy_and_becomes_so_by_one_beat(
    loop: RunLoop, folder: Path, gauge: Gauge
) -> None:
    with heartbeat(loop, gauge=gauge) as alive:
        (path,) = folder.iterdir()
        made_old(path, loop.max_age_seconds + 1)
        with pytest.raises(CommandError, match="last went round"):
            call_command("healthcheck", f"--{loop}")
        call_command("healthcheck", f"--{loop}", "--max-age", str(loop.max_age_seconds + 60))
        alive.beat()
        call_command("healthcheck", f"--{loop}")


def test_a_loop_that_ended_is_not_healthy(folder: Path, gauge: Gauge) -> None:
    with heartbeat(RunLoop.RELAY, gauge=gauge):
        pass
    with pytest.raises(CommandError, match="does not run here"):
        call_command("healthcheck", "--relay")


def test_one_loop_does_not_answer_for_the_other(folder: Path, gauge: Gauge) -> None:
    with heartbeat(RunLoop.RELAY, gauge=gauge), pytest.raises(CommandError, match="consumer does not run here"):
        call_command("healthcheck", "--consumer")


def test_the_file_is_renewed_at_most_once_a_second_and_the_gauge_each_time(tmp_path: Path, gauge: Gauge) -> None:
    now = 10.0
    path = tmp_path / "beat"
    alive = Heartbeat(gauge=gauge, path=path, clock=lambda: now)
    alive.beat()
    path.unlink()
    gauge.set(0)
    now = 10.9
    alive.beat()
    assert not path.exists()
    assert gauge._value.get() > 0
    now = 11.0
    alive.beat()
    assert path.exists()


def test_without_a_folder_nothing_is_written_and_the_check_says_why(settings: Any, gauge: Gauge) -> None:
    settings.HEARTBEAT_DIR = ""
    with heartbeat(RunLoop.RELAY, gauge=gauge) as alive:
        alive.beat()
        with pytest.raises(CommandError, match="HEARTBEAT_DIR is not set"):
            call_command("healthcheck", "--relay")


def test_a_folder_that_cannot_be_made_ends_the_process_with_a_reason(
    tmp_path: Path, settings: Any, gauge: Gauge
) -> None:
    (tmp_path / "file").touch()
    settings.HEARTBEAT_DIR = str(tmp_path / "file")
    with pytest.raises(CommandError, match="HEARTBEAT_DIR"), heartbeat(RunLoop.RELAY, gauge=gauge):
        pass


def test_a_consumer_may_work_on_one_batch_for_as_long_as_its_group_lets_it() -> None:
    from consumers.kafka import PROPERTIES

    assert PROPERTIES["max.poll.interval.ms"] == CONSUMER_POLL_SECONDS * 1000
    assert RunLoop.CONSUMER.max_age_seconds > CONSUMER_POLL_SECONDS
