"""
A pytest plugin for runs with workers (`-n 2`): which tests stay together, and what the workers have to say.

It is loaded with `-p tests.workers`. The tests of a file run on one worker, and so do those of the fault suite: what
their fixtures make once is not made twice. The order is that of the seed, but the files that take minutes come first:
at the end no worker waits long for another one.
"""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import WorkerController

from tests import extras

# What a worker says at its end.
NOT_RUN = "not_run"
REFUSAL = "refusal"
# Its servers take long to make.
TOGETHER = "tests/faults/"
LONG = (TOGETHER, "tests/acceptance/", "tests/helm/test_end_to_end.py", "tests/integration/publishers/secured/")


class FileScheduling(LoadScopeScheduling):  # type: ignore[misc]
    """Gives a worker whole files, and the whole fault suite."""

    def _split_scope(self, nodeid: str) -> str:
        return TOGETHER if nodeid.startswith(TOGETHER) else nodeid.split("::", 1)[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileScheduling:
    """Keep the order of the seed, whatever the numbers of tests are."""
    config.option.loadscopereorder = False
    return FileScheduling(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the long files first, in a worker."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: not item.nodeid.startswith(LONG))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Tell the workers' parent what this worker did not run, and why it runs nothing where it refuses to."""
    if hasattr(session.config, "workeroutput"):
        stash = session.config.stash
        session.config.workeroutput |= {NOT_RUN: stash.get(extras.NOT_RUN, []), REFUSAL: stash.get(extras.REFUSAL, "")}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: WorkerController) -> None:
    """
    Note what a worker said at its end; all of them say the same.

    :raises pytest.UsageError: where it refused to run.
    """
    # A worker that died said nothing.
    told = getattr(node, "workeroutput", {})
    if refusal := told.get(REFUSAL):
        raise pytest.UsageError(refusal)
    node.config.stash[extras.NOT_RUN] = told.get(NOT_RUN, node.config.stash.get(extras.NOT_RUN, []))
