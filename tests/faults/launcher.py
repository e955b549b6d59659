"""
Runs a management command with points at which the process ends or stops. Production code has no such points.

`python -m tests.faults.launcher COMMAND …` wraps named steps of the relay and of the consumer before the command
begins. FAULT_POINT names one, FAULT_ACTION says what happens there (`kill` or `stop`), and it happens once, as
soon as the file FAULT_ARMED exists. FAULT_KAFKA holds properties, as JSON, that replace those of the relay's or the
consumer's client; with FAULT_FUTURE the relay publishes as a later version might, with more than this one knows.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from django.core.management import execute_from_command_line

ARMED = Path(os.environ.get("FAULT_ARMED", "/nonexistent"))
# So long a broker has to take in what was sent, while its answers wait unread.
ANSWER_SECONDS = 0.5


def act() -> None:
    """Do what is to be done at the point, once it is armed."""
    if not ARMED.exists():
        return
    ARMED.unlink()
    match os.environ.get("FAULT_ACTION", "kill"):
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        case action:
            raise ValueError(action)


def after_fetch() -> None:
    """The relay has fetched events, with none in flight from before, and has sent none of them."""
    from publishers.scanner import Scanner

    fetch = Scanner.fetch

    def fetching(self: Any, *arguments: Any, in_flight: bool, **more: Any) -> Any:
        rows = fetch(self, *arguments, in_flight=in_flight, **more)
        if rows and not in_flight:
            act()
        return rows

    Scanner.fetch = fetching  # type: ignore[method-assign]


def after_send() -> None:
    """The broker has events whose acknowledgement the relay has not read."""
    from publishers.kafka import Publisher

    send = Publisher.send

    def sending(self: Any, batch: Any, **more: Any) -> None:
        send(self, batch, **more)
        if ARMED.exists() and batch.waiting:
            time.sleep(ANSWER_SECONDS)
            act()

    Publisher.send = sending  # type: ignore[method-assign]


def in_flight() -> None:
    """The relay has just handed events to the client."""
    from publishers.kafka import Publisher

    send = Publisher.send

    def sending(self: Any, batch: Any, **more: Any) -> None:
        send(self, batch, **more)
        if batch.waiting:
            act()

    Publisher.send = sending  # type: ignore[method-assign]


def fatal() -> None:
    """The client has a fatal error of its own: a gap in a sequence that must have none."""
    from publishers.kafka import Publisher

    serve = Publisher.serve

    def serving(self: Any, seconds: float, *, at_once: bool = False) -> None:
        if ARMED.exists() and len(self._producer):
            # Takes effect once something is on its way.
            self._producer.purge(in_queue=False, in_flight=True)
        serve(self, seconds, at_once=at_once)
        if self.broken:
            ARMED.unlink(missing_ok=True)

    Publisher.serve = serving  # type: ignore[method-assign]


def before_acknowledge() -> None:
    """The broker has acknowledged, and the relay's DELETE has not begun."""
    from publishers import outbox

    acknowledging = outbox.acknowledging

    def stopping(**more: Any) -> Any:
        act()
        return acknowledging(**more)

    outbox.acknowledging = stopping


def in_acknowledge() -> None:
    """The relay's DELETE is on its way to PostgreSQL, and nobody will read the answer."""
    from publishers import outbox

    acknowledge = outbox.acknowledge

    def ended(waiting: Any, **_more: Any) -> None:
        # Sends the statement, up to where its answer is waited for.
        next(waiting)
        act()

    def acknowledging(connection: Any, **more: Any) -> int:
        if ARMED.exists():
            connection.wait = ended
        return acknowledge(connection, **more)

    outbox.acknowledge = acknowledging


def in_turn() -> None:
    """An acknowledgement and the fetch after it are on their way to PostgreSQL, while the next batch is handed over."""
    from publishers.turns import Turn

    look = Turn.look

    def looking(self: Any) -> None:
        act()
        look(self)

    Turn.look = looking  # type: ignore[method-assign]


def before_store() -> None:
    """The consumer has a batch, and its transaction has not begun."""
    from consumers.projector import Projector

    store = Projector.store

    def storing(self: Any, batch: Any, **more: Any) -> Any:
        act()
        return store(self, batch, **more)

    Projector.store = storing  # type: ignore[method-assign]


def in_store() -> None:
    """The consumer's transaction has moved the offsets and stored the rows, and has not committed."""
    from consumers import deadletters

    insert = deadletters.insert

    def inserting(*arguments: Any, **more: Any) -> Any:
        found = insert(*arguments, **more)
        act()
        return found

    deadletters.insert = inserting


def after_store() -> None:
    """The consumer has committed to the database, and has not told Kafka."""
    from consumers.projector import Projector

    store = Projector.store

    def storing(self: Any, batch: Any, **more: Any) -> Any:
        found = store(self, batch, **more)
        act()
        return found

    Projector.store = storing  # type: ignore[method-assign]


def future() -> None:
    """Publish with a header, a key of the event and one of its `audit` object that nobody knows yet."""
    from publishers import kafka

    headers, produce = kafka.headers, kafka.Publisher._produce

    def with_more(row: Any, source: str) -> Any:
        return [*headers(row, source), ("ce_later", "1")]

    def producing(self: Any, row: Any, batch: Any) -> None:
        event = json.loads(row.value)
        event["later"] = {"version": 2}
        event.get("audit", {})["later"] = True
        # What is acknowledged is the row as the outbox has it: by its place and its id.
        produce(self, row._replace(value=json.dumps(event)), batch)

    kafka.headers = with_more
    kafka.Publisher._produce = producing  # type: ignore[method-assign]


POINTS = {
    step.__name__: step
    for step in (
        after_fetch,
        after_send,
        in_flight,
        fatal,
        before_acknowledge,
        in_acknowledge,
        in_turn,
        before_store,
        in_store,
        after_store,
    )
}


def main() -> None:
    """Wrap what the environment names, and run the command."""
    # The settings choose the database role by the command, and know commands by this name.
    sys.argv[0] = "manage.py"
    import django

    django.setup()
    if point := os.environ.get("FAULT_POINT"):
        POINTS[point]()
    if os.environ.get("FAULT_FUTURE"):
        future()
    properties = json.loads(os.environ.get("FAULT_KAFKA", "{}"))
    if properties and sys.argv[1] == "run_relay":
        from publishers import kafka as relay_client

        relay_client.PROPERTIES.update(properties)
    elif properties:
        from consumers.kafka.source import GROUP_PROPERTIES

        GROUP_PROPERTIES["classic"].update(properties)
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
