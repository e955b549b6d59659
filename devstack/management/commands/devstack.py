"""`manage.py devstack up|down|status|info`: the local stack."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from devstack import lock, processes, report, startup
from devstack import state as states
from devstack.banner import banner
from devstack.errors import AlreadyRunning, DevstackError, Stopped
from devstack.folder import Folder
from devstack.state import Identity, State
from devstack.stream import Stream, wants_colour
from devstack.supervisor import Supervisor

# Others hold the lock for a moment while they look around.
LOCK_SECONDS = 1.0
# The longest orderly end of all processes.
DOWN_SECONDS = 180.0


class Command(BaseCommand):
    """See `help`."""

    help = (
        "Run the whole service on this machine: PostgreSQL, Apache Kafka, API, worker, relay, consumer and demo data, "
        "in one folder (DEVSTACK_DATA_DIR, default .devstack). DATABASE_URL and KAFKA_BOOTSTRAP_SERVERS name servers "
        "of yours to be used instead."
    )
    requires_system_checks = []
    _unreadable = False

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the subcommands."""
        commands = parser.add_subparsers(dest="subcommand", required=True, metavar="{up,down,status,info}")
        commands.add_parser("up", help="start everything and stay; Ctrl-C stops it in order")
        commands.add_parser("down", help="stop a running stack, and what a killed one left behind")
        commands.add_parser("status", help="say what runs; exit code 0 only if everything answers")
        info = commands.add_parser("info", help="the same for scripts")
        info.add_argument("--json", action="store_true", help="print JSON, with the addresses and their passwords")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Run a subcommand."""
        folder = Folder(settings.DEVSTACK_DATA_DIR, settings.BASE_DIR)
        try:
            match options["subcommand"]:
                case "up":
                    self._up(folder)
                case "down":
                    self._down(folder)
                case subcommand:
                    self._report(folder, as_json=subcommand == "info" and options["json"])
        except DevstackError as exc:
            raise CommandError(str(exc)) from exc

    def _up(self, folder: Folder) -> None:
        folder.make()
        stream = Stream(sys.stdout, colour=wants_colour(sys.stdout, os.environ))
        try:
            with lock.held(folder.lock, wait_seconds=LOCK_SECONDS):
                self._supervise(folder, stream)
        except AlreadyRunning:
            raise CommandError(_already_running(states.load(folder.state), folder)) from None

    def _supervise(self, folder: Folder, stream: Stream) -> None:
        state = startup.begin(folder)

        def record(identities: dict[str, Identity]) -> None:
            if state.running is not None:
                state.running.processes = identities
                states.save(folder.state, state)

        supervisor = Supervisor(stream=stream, record=record)
        supervisor.obey_signals()
        start = startup.Startup(
            folder=folder,
            given=settings.DEVSTACK_GIVEN,
            kafka_connection=settings.KAFKA_CONNECTION,
            topic_prefix=settings.AUDITLOG_TOPIC_PREFIX,
            state=state,
            supervisor=supervisor,
        )
        try:
            start.run()
            stream.say(banner(state, folder))
            supervisor.run()
        except Stopped:
            stream.say("stopped while starting")
        finally:
            supervisor.stop()
            state.running = None
            states.save(folder.state, state)
        stream.say("everything is stopped; nothing is lost")

    def _known(self, folder: Folder) -> State:
        """Return the state; of one that cannot be read, what runs: `make clean` must get past it."""
        try:
            return states.load(folder.state)
        except DevstackError as exc:
            if not self._unreadable:
                self.stderr.write(str(exc))
            self._unreadable = True
            return states.salvaged(folder.state)

    def _down(self, folder: Folder) -> None:
        if not folder.path.exists():
            self.stdout.write("Nothing runs.")
            return
        folder.make()
        running = self._known(folder).running
        supervisor = processes.alive(running.supervisor) if running else None
        if supervisor is not None:
            self.stdout.write(f"Stopping the stack of {folder.path} (process {supervisor.pid}) …")
            supervisor.send_signal(signal.SIGTERM)
        try:
            with lock.held(folder.lock, wait_seconds=DOWN_SECONDS):
                state = self._known(folder)
                ended = startup.end_orphans(state, folder, say=self.stdout.write)
                state.running = None
                if not self._unreadable:
                    states.save(folder.state, state)
        except AlreadyRunning:
            raise CommandError(_already_running(self._known(folder), folder)) from None
        self.stdout.write("Stopped." if supervisor or ended else "Nothing ran.")

    def _report(self, folder: Folder, *, as_json: bool) -> None:
        state = states.load(folder.state)
        found = report.inspect(state, folder, topic_prefix=settings.AUDITLOG_TOPIC_PREFIX)
        self.stdout.write(json.dumps(found.members) if as_json else found.text())
        if not found.ready:
            raise SystemExit(1)


def _already_running(state: State, folder: Folder) -> str:
    running = state.running
    if running is None or not processes.alive(running.supervisor):
        return f"Another command is at work on {folder.path}: try again in a moment."
    where = running.api or "it is still starting"
    return (
        f"A local stack is running already (process {running.supervisor.pid}, data in {folder.path}): {where}\n"
        "`manage.py devstack status` says more, `manage.py devstack down` stops it."
    )
