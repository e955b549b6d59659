"""
Switches mechanisms off and shows which tests notice: those of invariants, and those of what operators rely on.

Each mutation is made in a copy of the working tree, in which the tests that it must fail are run. Ends with 1 when
one of these tests passes all the same, and when a case of one fails under none of its mutations.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

from tests.mutations.table import ROOT, Mutation, function_of, load
from tests.stack import say, stack
from tests.trees import copied

TIMEOUT_SECONDS = 120

# What became of each case: "passed", "failure", "skipped", or "error" outside of the test itself, which proves nothing.
Outcome = dict[str, str]


def main() -> int:
    """Run the mutations that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="TEXT", help="only mutations whose name contains one of these")
    names = parser.parse_args().names
    chosen = [mutation for mutation in load() if not names or any(name in mutation.name for name in names)]
    if not chosen:
        parser.error("No mutation has such a name.")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    stack.start(progress=say)
    try:
        killed, wrong = tried(chosen)
    finally:
        stack.stop()
    if not names:
        wrong += [f"{case} fails under no mutation" for case, by in killed.items() if not by]
    return report(killed, wrong)


def tried(mutations: Sequence[Mutation]) -> tuple[dict[str, list[str]], list[str]]:
    """Return the mutations under which each case failed, and what went wrong."""
    tests = {function_of(test) for mutation in mutations for test in mutation.tests}
    cases = run(ROOT, tests, label="nothing is switched off")
    wrong = [f"{case}: {verdict} with nothing switched off" for case, verdict in cases.items() if verdict != "passed"]
    killed: dict[str, list[str]] = {case: [] for case in cases}
    for mutation in mutations:
        with mutated(mutation) as copy:
            outcome = run(copy, mutation.tests, label=mutation.name, postgres=mutation.postgres)
        failed = [case for case, verdict in outcome.items() if verdict == "failure"]
        for case in failed:
            killed.setdefault(case, []).append(mutation.name)
        noticed = {*failed, *map(function_of, failed)}
        wrong += [f"{test} does not fail: {mutation.name}" for test in mutation.tests if test not in noticed]
    return killed, wrong


@contextmanager
def mutated(mutation: Mutation) -> Iterator[Path]:
    """Make a copy of the working tree in which a mechanism is switched off."""
    with tempfile.TemporaryDirectory(prefix="auditlog-mutation-") as folder:
        copy = copied(Path(folder) / "copy")
        target = copy / mutation.file
        target.write_text(mutation.applied(target.read_text(encoding="utf-8")), encoding="utf-8")
        yield copy


def run(tree: Path, tests: Collection[str], *, label: str, postgres: str = "") -> Outcome:
    """Run tests in a tree, and say how it went."""
    environment = dict(os.environ)
    if postgres:
        environment["TEST_POSTGRES"] = postgres
        del environment["TEST_POSTGRES_ADMIN_URL"]
    started = time.monotonic()
    with tempfile.NamedTemporaryFile(suffix=".xml") as results, tempfile.TemporaryFile() as output:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", f"--timeout={TIMEOUT_SECONDS}"]
        command += [f"--junitxml={results.name}", *sorted(tests)]
        code = finished(command, cwd=tree, env=environment, output=output.fileno())
        if code not in {0, 1}:
            output.seek(0)
            raise SystemExit(f"pytest could not run under “{label}”:\n{output.read().decode(errors='replace')}")
        outcome = verdicts(Path(results.name))
    count = list(outcome.values()).count("failure")
    say(f"{count:3} of {len(outcome):3} fail  {time.monotonic() - started:4.0f} s  {label}")
    return outcome


def finished(command: list[str], *, cwd: Path, env: dict[str, str], output: int) -> int:
    """Return the exit code of pytest; where this process is ended or interrupted, it has servers to end first."""
    # Of a group of its own: an interrupt from the keyboard must not reach it twice.
    process = subprocess.Popen(command, cwd=cwd, env=env, stdout=output, stderr=output, start_new_session=True)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        process.wait()
        raise


def verdicts(results: Path) -> Outcome:
    """Read pytest's report."""
    found: Outcome = {}
    for case in ElementTree.parse(results).iter("testcase"):
        name = f"{case.attrib['classname'].replace('.', '/')}.py::{case.attrib['name']}"
        # A failure comes before an error in what tidies up after it.
        found.setdefault(name, case[0].tag if len(case) else "passed")
    return found


def report(killed: dict[str, list[str]], wrong: list[str]) -> int:
    """Print the mutations under which each case failed, and what went wrong; return the exit code."""
    for case, names in sorted(killed.items()):
        say(f"{case}\n    {'; '.join(names) or '-'}")
    for line in wrong:
        say(f"WRONG: {line}")
    say(f"{sum(map(bool, killed.values()))} of {len(killed)} cases were seen to fail.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
