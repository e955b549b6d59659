"""The one folder that holds everything the local stack keeps."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from devstack.addresses import LOCAL
from devstack.errors import DevstackError


@dataclass(frozen=True, slots=True)
class Folder:
    """Where the data, the state file and the lock are; `project` is the checkout it belongs to."""

    path: Path
    project: Path

    @property
    def state(self) -> Path:
        """Return the file with secrets, addresses and process ids, readable for its owner only."""
        return self.path / "state.json"

    @property
    def lock(self) -> Path:
        """Return the file that whoever works on the stack holds locked."""
        return self.path / "lock"

    @property
    def postgres(self) -> Path:
        """Return PostgreSQL's data directory."""
        return self.path / "postgres"

    def kafka(self, database: str) -> Path:
        """Return Kafka's data directory for a database: events of another one must not get into its audit log."""
        return self.path / ("kafka" if database == LOCAL else f"kafka-{database}")

    @property
    def shown(self) -> str:
        """Return the path for people and scripts: relative to the project where it lies inside."""
        inside = self.path.is_relative_to(self.project)
        return str(self.path.relative_to(self.project) if inside else self.path)

    def make(self) -> None:
        """
        Make the folder.

        :raises DevstackError: if it cannot be written.
        """
        # A server that root starts runs as another user, who must pass through.
        mode = 0o711 if os.geteuid() == 0 else 0o700
        try:
            self.path.mkdir(mode=mode, parents=True, exist_ok=True)
            self.lock.touch(mode=0o600)
        except OSError as exc:
            raise DevstackError(
                f"{self.path} cannot be written ({exc.strerror}): it may belong to another user, who must remove it "
                "with `make clean`; or set DEVSTACK_DATA_DIR to a folder of yours."
            ) from exc
