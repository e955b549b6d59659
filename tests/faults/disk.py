"""A small disk of memory (tmpfs) on which a database lives, so that it can be full; mounting needs root."""

from __future__ import annotations

import os
import pwd
import subprocess
from pathlib import Path

from devstack.postgres import system_user

BYTES = 48_000_000
CHUNK_BYTES = 65_536


class SmallDisk:
    """A mounted file system of its own, and a file that fills it."""

    def __init__(self, folder: Path) -> None:
        """
        Mount it.

        :raises AssertionError: if this user may not mount.
        """
        self.folder = folder
        folder.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={BYTES}", "auditlog-faults", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"a full disk needs root, to mount one: {done.stderr}"
        if user := system_user():
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        self._filler = folder / "filler"

    def fill(self) -> None:
        """Leave no room."""
        with self._filler.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(CHUNK_BYTES)):
                    pass
            except OSError:
                return

    def free(self) -> None:
        """Make room again."""
        self._filler.unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount it."""
        subprocess.run(["umount", "--lazy", str(self.folder)], check=True)
