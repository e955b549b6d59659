"""Choosing ports."""

from __future__ import annotations

import socket

from devstack import ports


def test_a_busy_port_is_replaced_by_another_one() -> None:
    with socket.socket() as busy:
        busy.bind((ports.HOST, 0))
        busy.listen()
        taken = busy.getsockname()[1]
        reserved = ports.Reservations({"api": taken})
        assert reserved.chosen["api"] != taken
        reserved.release("api")


def test_a_port_on_which_somebody_listens_on_all_interfaces_is_busy() -> None:
    with socket.socket() as busy:
        busy.bind(("0.0.0.0", 0))
        busy.listen()
        reserved = ports.Reservations({"api": busy.getsockname()[1]})
        assert reserved.chosen["api"] != busy.getsockname()[1]
        reserved.release("api")


def test_a_free_port_is_taken_as_preferred_and_nobody_else_gets_it_until_it_is_released() -> None:
    free = ports.free_port()
    first = ports.Reservations({"api": free})
    assert first.chosen == {"api": free}
    second = ports.Reservations({"api": free})
    assert second.chosen["api"] != free
    first.release("api")
    assert ports.free_port(preferred=free) == free
    second.release("api")


def test_no_port_is_given_twice() -> None:
    names = ("postgres", "kafka", "kafka_controller", "api")
    reserved = ports.Reservations(dict.fromkeys(names, ports.free_port()))
    assert len(set(reserved.chosen.values())) == 4
    reserved.release(*names)
