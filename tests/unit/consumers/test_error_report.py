"""A broker that is away fills no log."""

from __future__ import annotations

import pytest
from confluent_kafka import KafkaError

from consumers.kafka import QUIET_SECONDS, ErrorReport


def test_an_error_that_repeats_is_logged_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    now = 100.0
    report = ErrorReport(clock=lambda: now)
    for _ in range(20):
        report(KafkaError(KafkaError._TRANSPORT))
    assert len(caplog.records) == 1
    report(KafkaError(KafkaError._ALL_BROKERS_DOWN))
    assert len(caplog.records) == 2
    now += QUIET_SECONDS
    report(KafkaError(KafkaError._TRANSPORT))
    assert len(caplog.records) == 3
