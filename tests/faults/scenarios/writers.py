"""What fails, or is asked for, on the side of the application."""

from __future__ import annotations

import signal

from tests.faults.run import Run
from tests.faults.scenario import scenario

KILLED_IN = 12


@scenario(1, "application killed after INSERT, before COMMIT", "neither data nor event", quick=True)
def killed_before_commit(run: Run) -> None:
    run.load()
    for _ in range(2):
        _kill_a_writer(run, "before-commit")
    truth = run.truth()
    run.expect(len(truth.undone) > 0, "no killed transaction had written anything")
    run.healed()
    run.recovered()


@scenario(2, "application killed after COMMIT, before on_commit", "published by the relay's poll", quick=True)
def killed_before_hooks(run: Run) -> None:
    run.load()
    run.stop_writers()
    run.wait(lambda: run.pending() == 0, what="an empty outbox")
    # Nobody else writes: no hint of another transaction tells the relay.
    before = run.last_id()
    _kill_a_writer(run, "before-hooks")
    run.healed()
    run.expect(run.last_id() > before, "the killed transaction had not committed")
    run.recovered()


def _kill_a_writer(run: Run, point: str) -> None:
    """Let a writer of its own end by itself at a point."""
    writer = run.start_writer("--kill-at", point, "--kill-in", str(KILLED_IN))
    writer.may_end()
    run.wait(lambda: not writer.is_running(), what="the killed writer's end")
    run.expect(writer.exit_code() == -signal.SIGKILL, f"the writer was not killed: {writer.logged()}")


@scenario(3, "exceptions: transactions and savepoints rolled back", "only what lasted has events")
def rolled_back(run: Run) -> None:
    run.load("--undo", "0.5")
    run.grows(300)
    run.healed()
    run.recovered()
    run.expect(run.truth().rolled_back > 20, "hardly anything was rolled back")
