"""Topics that do not work rest, are said once, and come back."""

from __future__ import annotations

import pytest
import structlog
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from publishers.metrics import TopicTrouble
from publishers.topics import Topics


class Clock:
    """A clock that the test moves."""

    seconds = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.seconds


def metric(topic: str, trouble: str) -> float | None:
    """Return whether a topic is said to be stopped."""
    return REGISTRY.get_sample_value("auditlog_relay_topic_stopped", {"topic": topic, "trouble": trouble})


def test_topics_are_unknown_until_they_were_seen() -> None:
    topics = Topics(Clock())
    assert topics.unknown(["a", "b"]) == {"a", "b"}
    topics.found(["a", "b"], existing=["a", "c"])
    assert topics.unknown(["a", "b"]) == {"b"}
    assert topics.stopped() == {"b"}
    topics.worked(["b"])


def test_topics_are_looked_up_again_after_a_producer_failed() -> None:
    topics = Topics(Clock())
    topics.found(["a"], existing=["a"])
    topics.doubt()
    assert topics.unknown(["a"]) == {"a"}


def test_a_topic_rests_longer_each_time_and_at_most_a_minute() -> None:
    clock = Clock()
    topics = Topics(clock)
    rests = []
    for _ in range(9):
        topics.stop("a", trouble=TopicTrouble.DENIED)
        started = clock.seconds
        while topics.stopped():
            clock.seconds += 0.5
        rests.append(clock.seconds - started)
    assert rests == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    topics.worked(["a"])
    topics.stop("a", trouble=TopicTrouble.DENIED)
    clock.seconds += 1
    assert topics.stopped() == frozenset()
    topics.worked(["a"])


def test_an_episode_is_said_once_and_shown_until_it_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("publishers.topics.log", structlog.get_logger("test"))
    topics = Topics(Clock())
    with capture_logs() as said:
        for _ in range(3):
            topics.stop("a", trouble=TopicTrouble.DENIED, reason="TOPIC_AUTHORIZATION_FAILED")
        assert metric("a", "denied") == 1
        topics.worked(["b"])
        topics.worked(["a", "b"])
    assert [line["event"] for line in said] == ["relay.topic_stopped", "relay.topic_resumed"]
    assert metric("a", "denied") is None
