"""What the client's errors say of an event."""

from __future__ import annotations

import pytest
import structlog
from confluent_kafka import KafkaError
from structlog.testing import capture_logs

from publishers import kafka
from publishers.kafka import ErrorReport, failure
from publishers.metrics import TopicTrouble
from publishers.outcomes import Refused, TopicFailed, Unknown


@pytest.mark.parametrize("code", [KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD])
def test_a_refusal_is_believed_of_a_record_that_travelled_alone_only(code: int) -> None:
    name = KafkaError(code).name()
    assert failure(KafkaError(code), alone=True) == Refused(name)
    assert failure(KafkaError(code), alone=False) == Unknown(name)


@pytest.mark.parametrize(
    ("code", "trouble"),
    [
        (KafkaError.UNKNOWN_TOPIC_OR_PART, TopicTrouble.MISSING),
        (KafkaError._UNKNOWN_TOPIC, TopicTrouble.MISSING),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, TopicTrouble.DENIED),
        (KafkaError.KAFKA_STORAGE_ERROR, TopicTrouble.FAILED),
    ],
)
def test_what_is_no_fault_of_the_event_is_the_topic_s(code: int, trouble: TopicTrouble) -> None:
    assert failure(KafkaError(code), alone=True) == TopicFailed(trouble, KafkaError(code).name())


@pytest.mark.parametrize(
    "error",
    [
        KafkaError(KafkaError._PURGE_INFLIGHT),
        KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER),
        KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED, fatal=True),
    ],
)
def test_an_event_that_fell_with_others_is_sent_again(error: KafkaError) -> None:
    assert failure(error, alone=True) == Unknown(error.name())


def test_a_broker_that_is_away_is_reported_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = [0.0]
    report = ErrorReport(clock=lambda: seconds[0])
    with capture_logs() as said:
        monkeypatch.setattr(kafka, "log", structlog.get_logger("test"))
        for at in (0.0, 1.0, 9.9, 10.0):
            seconds[0] = at
            report(KafkaError(KafkaError._ALL_BROKERS_DOWN))
            report(KafkaError(KafkaError._TRANSPORT))
    assert [line["code"] for line in said] == ["_ALL_BROKERS_DOWN", "_TRANSPORT"] * 2
