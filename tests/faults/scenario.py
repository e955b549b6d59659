"""What a scenario is: a fault, what is expected, and the function that makes it happen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.faults.account import Account
from tests.faults.run import Run, Violation
from tests.faults.servers import Servers

Inject = Callable[[Run], None]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the table."""

    number: int
    # As in the table.
    fault: str
    expected: str
    inject: Inject
    # Records that may stand twice on the topics; None: any number, where the outcome of what was in flight is unknown.
    duplicates: int | None
    # Whether it is one of those that `make test` runs, on one broker.
    quick: bool
    # How many brokers it needs.
    brokers: int
    # Whether the read model has a server of its own.
    apart: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run of a scenario found."""

    scenario: Scenario
    account: Account
    recovery_seconds: float | None


SCENARIOS: dict[int, Scenario] = {}


def scenario(
    number: int,
    fault: str,
    expected: str,
    *,
    duplicates: int | None = 0,
    quick: bool = False,
    brokers: int = 1,
    apart: bool = False,
) -> Callable[[Inject], Inject]:
    """Note a function as a scenario; it starts the load, makes the fault happen and heals it."""

    def note(inject: Inject) -> Inject:
        if number in SCENARIOS:
            raise ValueError(f"two scenarios {number}")
        SCENARIOS[number] = Scenario(number, fault, expected, inject, duplicates, quick, brokers, apart)
        return inject

    return note


def play(played: Scenario, servers: Servers, *, folder: Path, scale: float = 1.0) -> Outcome:
    """
    Run a scenario and compare the accounts afterwards; `scale` makes a large load smaller.

    :raises AssertionError: if anything is not as it must be, or does not happen in time.
    """
    with _running(servers, folder=folder, apart=played.apart, scale=scale) as run:
        played.inject(run)
        run.settle()
        run.prove()
        found = run.account()
        run.expect(found.events, "nothing committed")
        run.expect(not found.violations(), f"{found.violations()}")
        allowed = played.duplicates
        if allowed is not None and found.duplicates_on_topics > allowed:
            raise Violation(f"{found.duplicates_on_topics} duplicates on the topics, where {allowed} are allowed")
        return Outcome(played, found, run.recovery_seconds)


@contextmanager
def _running(servers: Servers, *, folder: Path, apart: bool, scale: float) -> Iterator[Run]:
    """Make everything sound, and run a scenario for the length of a block."""
    servers.heal()
    read_model = None
    if apart:
        read_model = servers.another()
        read_model.start()
        servers.make_template(read_model)
    run = Run(servers, folder=folder, apart=read_model, scale=scale)
    try:
        run.deployment.wait_until(servers.are_ready, what="the servers")
        run.make_topics()
        yield run
    finally:
        run.close()
        servers.heal()
        run.deployment.wait_until(servers.are_ready, what="the servers")
        run.delete_topics()
        servers.drop_database(run.database)
        run.cleanup.close()
