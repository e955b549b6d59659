"""PgBouncer in transaction mode (Debian: pgbouncer)."""

from __future__ import annotations

import os
import pwd
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from auditlog.roles import Role
from devstack import ports
from devstack.postgres import running_as, system_user

PROGRAM = "pgbouncer"
START_SECONDS = 30
CONFIGURATION = """
[databases]
* = host={host} port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = {connections}
ignore_startup_parameters = extra_float_digits
"""


@contextmanager
def pooler(*, host: str, server_port: int, connections: int) -> Iterator[int]:
    """Run a pooler with so many server connections for each role and database, and give its port."""
    port = ports.free_port()
    with _folder() as folder:
        configuration, users, log = folder / "pgbouncer.ini", folder / "users", folder / "log"
        users.write_text("".join(f'"{role}" ""\n' for role in Role), encoding="utf-8")
        values = {"host": host, "server_port": server_port, "port": port, "users": users, "connections": connections}
        configuration.write_text(CONFIGURATION.format(**values), encoding="utf-8")
        with log.open("wb") as output:
            process = subprocess.Popen(
                [PROGRAM, str(configuration)], stdout=output, stderr=output, **running_as(system_user())
            )
        try:
            deadline = time.monotonic() + START_SECONDS
            while process.poll() is None and not ports.answers(port):
                assert time.monotonic() < deadline, "PgBouncer does not answer"
                time.sleep(0.02)
            assert process.poll() is None, log.read_text(encoding="utf-8")
            yield port
        finally:
            process.terminate()
            process.wait(START_SECONDS)


@contextmanager
def _folder() -> Iterator[Path]:
    """Make a folder for the length of a block that the pooler's user can read."""
    with tempfile.TemporaryDirectory(prefix="auditlog-pgbouncer-") as name:
        folder = Path(name)
        if user := system_user():
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        yield folder
