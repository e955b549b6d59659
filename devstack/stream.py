"""One log stream for all processes: each line carries the name of its process, in a colour on a terminal."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TextIO

NAME_WIDTH = 9
MAXIMUM_LINE_BYTES = 65_536
COLOURS = {
    "stack": "1",  # bold
    "postgres": "34",
    "kafka": "33",
    "api": "32",
    "worker": "31",
    "relay": "35",
    "consumer": "36",
}
OTHER_COLOUR = "90"  # grey: the steps of a start


def wants_colour(output: TextIO, environment: Mapping[str, str]) -> bool:
    """Tell whether to colour: on a terminal that can, unless https://no-color.org/ is asked for."""
    return output.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


class Stream:
    """Writes whole lines from any thread. An output that went away is no reason to stop: the lines are lost."""

    def __init__(self, output: TextIO, *, colour: bool) -> None:
        self._output: TextIO | None = output
        self._colour = colour
        self._lock = threading.Lock()

    def line(self, name: str, text: str) -> None:
        """Write one line of a process."""
        prefix = f"{name:<{NAME_WIDTH}}|"
        if self._colour:
            prefix = f"\x1b[{COLOURS.get(name, OTHER_COLOUR)}m{prefix}\x1b[0m"
        with self._lock:
            if self._output is None:
                return
            try:
                self._output.write(f"{prefix} {text}\n")
                self._output.flush()
            except OSError:
                self._output = None

    def say(self, text: str) -> None:
        """Write what the stack itself has to say."""
        for line in text.splitlines() or [""]:
            self.line("stack", line)


class Lines:
    """Cuts the bytes of a process into lines; one that does not end is cut at a limit."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> list[str]:
        """Take bytes and return the lines that are complete now."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        while len(self._rest) > MAXIMUM_LINE_BYTES:
            lines.append(self._rest[:MAXIMUM_LINE_BYTES])
            self._rest = self._rest[MAXIMUM_LINE_BYTES:]
        return [_text(line) for line in lines]

    def end(self) -> list[str]:
        """Return what is left when the process has ended."""
        rest, self._rest = self._rest, b""
        return [_text(rest)] if rest else []


def _text(line: bytes) -> str:
    # A progress bar rewrites its line: the last version counts.
    return line.decode(errors="replace").rstrip("\r").rpartition("\r")[2]
