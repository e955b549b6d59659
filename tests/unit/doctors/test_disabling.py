"""Receivers that are disabled are silent for who disabled them, and nothing else about them changes."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.dispatch import Signal

from doctors.disabling import NotConnected, disable_signals


class Sender:
    """Somebody who sends."""


class Called(list[str]):
    """The names of the receivers that were called."""

    def receiver(self, name: str) -> Callable[..., None]:
        def receive(**_named: Any) -> None:
            self.append(name)

        return receive

    def by(self, signal: Signal) -> list[str]:
        """Return the receivers of one more signal."""
        self.clear()
        signal.send(Sender)
        return list(self)


@pytest.fixture
def called() -> Called:
    return Called()


@pytest.mark.parametrize("use_caching", [True, False])
def test_a_disabled_receiver_is_not_called_and_comes_back_in_its_place(called: Called, use_caching: bool) -> None:
    signal = Signal(use_caching=use_caching)
    receivers = {name: called.receiver(name) for name in ("first", "second", "third")}
    for name, receiver in receivers.items():
        signal.connect(receiver, sender=Sender, dispatch_uid=name)
    before = list(signal.receivers)

    with disable_signals((signal, receivers["first"], Sender), (signal, receivers["second"], Sender)):
        assert called.by(signal) == ["third"]

    assert called.by(signal) == ["first", "second", "third"]
    assert [id(entry) for entry in signal.receivers] == [id(entry) for entry in before]


def test_connecting_again_while_it_is_disabled_or_afterwards_connects_nothing_twice(called: Called) -> None:
    signal, receiver = Signal(), called.receiver("it")
    signal.connect(receiver, sender=Sender, dispatch_uid="it")

    with disable_signals((signal, receiver, Sender)):
        signal.connect(receiver, sender=Sender, dispatch_uid="it")
        assert called.by(signal) == []
    signal.connect(receiver, sender=Sender, dispatch_uid="it")

    assert called.by(signal) == ["it"]


@pytest.mark.parametrize("weak", [True, False])
def test_how_strongly_a_receiver_is_held_stays_as_it_was(called: Called, weak: bool) -> None:
    signal, receiver = Signal(), called.receiver("it")
    signal.connect(receiver, sender=Sender, weak=weak)

    with disable_signals((signal, receiver, Sender)):
        pass
    del receiver
    gc.collect()

    assert called.by(signal) == ([] if weak else ["it"])


def test_a_receiver_that_nobody_holds_any_more_dies_while_it_is_disabled(called: Called) -> None:
    signal, receiver = Signal(), called.receiver("it")
    signal.connect(receiver, sender=Sender)

    with disable_signals((signal, receiver, Sender)):
        del receiver
        gc.collect()
        assert called.by(signal) == []
    assert called.by(signal) == []
    assert not signal.has_listeners(Sender)


def test_a_method_and_a_receiver_for_all_senders_can_be_disabled() -> None:
    class Listener:
        heard = 0

        def hear(self, **_named: Any) -> None:
            self.heard += 1

    signal, listener = Signal(), Listener()
    signal.connect(listener.hear)

    with disable_signals((signal, listener.hear, None)):
        signal.send(Sender)
    signal.send(Sender)

    assert listener.heard == 1


def test_other_threads_go_on_being_served(called: Called) -> None:
    signal, receiver = Signal(), called.receiver("it")
    signal.connect(receiver, sender=Sender)
    elsewhere: list[list[str]] = []

    with disable_signals((signal, receiver, Sender)):
        thread = threading.Thread(target=lambda: elsewhere.append(called.by(signal)))
        thread.start()
        thread.join()
        here = called.by(signal)

    assert (elsewhere, here) == ([["it"]], [])


def test_blocks_of_several_threads_end_in_any_order(called: Called) -> None:
    signal, receiver = Signal(), called.receiver("it")
    signal.connect(receiver, sender=Sender, dispatch_uid="it")
    before = list(signal.receivers)
    inside, leave = threading.Event(), threading.Event()

    def disable_for_a_while() -> None:
        with disable_signals((signal, receiver, Sender)):
            inside.set()
            leave.wait()

    thread = threading.Thread(target=disable_for_a_while)
    with disable_signals((signal, receiver, Sender)):
        thread.start()
        inside.wait()
        with disable_signals((signal, receiver, Sender)):
            assert called.by(signal) == []
        assert called.by(signal) == []
    assert called.by(signal) == ["it"]
    leave.set()
    thread.join()

    assert called.by(signal) == ["it"]
    assert signal.receivers[0] is before[0]


def test_many_threads_at_once_leave_the_receivers_as_they_were(called: Called) -> None:
    signal = Signal(use_caching=True)
    receivers = [called.receiver(str(number)) for number in range(5)]
    for receiver in receivers:
        signal.connect(receiver, sender=Sender)
    before = list(signal.receivers)
    start = threading.Barrier(8)

    def work(number: int) -> None:
        start.wait()
        for turn in range(100):
            with disable_signals((signal, receivers[(number + turn) % 5], Sender)):
                signal.send(Sender)

    threads = [threading.Thread(target=work, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(called) == 8 * 100 * 4
    assert [id(entry) for entry in signal.receivers] == [id(entry) for entry in before]


def test_an_exception_in_the_block_brings_the_receiver_back(called: Called) -> None:
    signal, receiver = Signal(), called.receiver("it")
    signal.connect(receiver, sender=Sender)

    with pytest.raises(RuntimeError), disable_signals((signal, receiver, Sender)):
        raise RuntimeError

    assert called.by(signal) == ["it"]


def test_a_receiver_that_is_disconnected_meanwhile_stays_so(called: Called) -> None:
    signal, receiver = Signal(), called.receiver("it")
    signal.connect(receiver, sender=Sender, dispatch_uid="it")

    with disable_signals((signal, receiver, Sender)):
        assert signal.disconnect(sender=Sender, dispatch_uid="it")

    assert called.by(signal) == []


def test_a_receiver_that_is_not_connected_is_refused_and_no_other_disabled(called: Called) -> None:
    signal, receiver = Signal(), called.receiver("it")
    signal.connect(receiver, sender=Sender)

    for stranger in ((signal, receiver, Called), (signal, called.receiver("it"), Sender), (Signal(), receiver, Sender)):
        with pytest.raises(NotConnected), disable_signals((signal, receiver, Sender), stranger):
            pytest.fail("The block was entered.")

    assert called.by(signal) == ["it"]


async def test_a_receiver_that_is_a_coroutine_function_is_disabled_too(called: Called) -> None:
    async def receive(**_named: Any) -> None:
        called.append("it")

    signal = Signal()
    signal.connect(receive, sender=Sender)

    with disable_signals((signal, receive, Sender)):
        await signal.asend(Sender)
        assert called == []
    await signal.asend(Sender)

    assert called == ["it"]


def test_a_receiver_that_raises_is_logged_by_its_name_beside_a_disabled_block(
    called: Called, caplog: pytest.LogCaptureFixture
) -> None:
    def hurt(**_named: Any) -> None:
        raise RuntimeError

    signal = Signal()
    signal.connect(hurt, sender=Sender)
    failed: list[Any] = []

    with disable_signals((signal, hurt, Sender)):
        thread = threading.Thread(target=lambda: failed.extend(signal.send_robust(Sender)))
        thread.start()
        thread.join()

    assert isinstance(failed[0][1], RuntimeError)
    assert "hurt" in caplog.text
