"""Choosing ports."""

from __future__ import annotations

import socket

from devstack import ports


def test_a_busy_port_is_replaced_by_the_next_free_one() -> None:
    with socket.socket() as busy:
        busy.bind((ports.HOST, 0))
        busy.listen()
        taken = busy.getsockname()[1]
        chosen = ports.choose({"api": taken})["api"]
        assert chosen != taken
        assert ports.free_port(preferred=chosen) == chosen


def test_a_port_on_which_somebody_listens_on_all_interfaces_is_busy() -> None:
    with socket.socket() as busy:
        busy.bind(("0.0.0.0", 0))
        busy.listen()
        assert ports.choose({"api": busy.getsockname()[1]})["api"] != busy.getsockname()[1]


def test_a_free_port_is_taken_as_preferred() -> None:
    free = ports.free_port()
    assert ports.choose({"api": free}) == {"api": free}


def test_no_port_is_given_twice() -> None:
    free = ports.free_port()
    chosen = ports.choose(dict.fromkeys(("postgres", "kafka", "kafka_controller", "api"), free))
    assert len(set(chosen.values())) == 4
