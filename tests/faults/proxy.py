"""A TCP proxy that can be slow, lossy, cut, silent or stuck, so that a network fails for one kind of client only."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto

from devstack.ports import HOST

CHUNK_BYTES = 65_536
# So many chunks may be on their way in one direction.
CHUNKS = 256
# How long TCP waits before it sends a lost packet again, and what came behind it waits as well.
RETRANSMISSION_SECONDS = 0.2
# SO_LINGER, on and for no time: closing resets the connection.
AT_ONCE = struct.pack("ii", 1, 0)


class Mode(Enum):
    """What becomes of connections."""

    OPEN = auto()  # bytes pass
    CUT = auto()  # connections are reset, and so are new ones
    SILENT = auto()  # connections are accepted, what is sent vanishes, and nothing is answered
    STUCK = auto()  # nothing is taken any more, and nothing is lost


@dataclass(eq=False, slots=True)
class Link:
    """A client's connection and the one to the server."""

    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    has_lost_bytes: bool = False
    # Half-open: neither end hears of the other any more.
    is_stranded: bool = False

    def reset(self) -> None:
        """End both at once."""
        for writer in self.writers:
            with suppress(OSError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            writer.transport.abort()


class Proxy:
    """Forwards what comes to `port` to `target_port`."""

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        # Of each direction, and the share of chunks that get lost once.
        self._latency_seconds = self._loss = 0.0
        self._random = random.Random(target_port)
        self._mode = Mode.OPEN
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener = socket.create_server((HOST, 0), backlog=CHUNKS)
        self.port: int = self._listener.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._flows = asyncio.Event()
        self._flows.set()
        threading.Thread(target=self._run, name=f"proxy-{self.port}", daemon=True).start()

    def switch(self, mode: Mode) -> None:
        """Change what becomes of connections; those that lost bytes meanwhile are reset once bytes pass again."""
        self._call(lambda: self._switch(mode))

    def slow_down(self, *, latency_seconds: float = 0.0, loss: float = 0.0) -> None:
        """Delay each direction, and lose a share of what is sent once; nothing of both by default."""

        def change() -> None:
            self._latency_seconds, self._loss = latency_seconds, loss

        self._call(change)

    def reset(self) -> None:
        """Reset every connection there is; new ones pass."""
        self._call(self._reset_all)

    def strand(self) -> None:
        """Leave every connection that there is half-open for good; new ones pass."""

        def change() -> None:
            for link in self._links:
                link.is_stranded = True

        self._call(change)

    def redirect(self, target_port: int) -> None:
        """Forward to another server from now on, new connections and old clients alike."""

        def change() -> None:
            self._target_port = target_port
            self._reset_all()

        self._call(change)

    def close(self) -> None:
        """End."""
        with suppress(RuntimeError):
            self._call(self._stop)

    def _call(self, change: Callable[[], None]) -> None:
        """Do something in the proxy's own thread, and wait until it is done."""
        done = threading.Event()

        def do() -> None:
            change()
            done.set()

        self._loop.call_soon_threadsafe(do)
        done.wait()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(asyncio.start_server(self._accepted, sock=self._listener))
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _stop(self) -> None:
        self._reset_all()
        for task in self._tasks:
            task.cancel()
        self._listener.close()
        # After what the cancelled ones have to say.
        self._loop.call_later(0.05, self._loop.stop)

    def _switch(self, mode: Mode) -> None:
        self._mode = mode
        if mode is Mode.CUT:
            self._reset_all()
        if mode is Mode.OPEN:
            for link in [link for link in self._links if link.has_lost_bytes]:
                link.reset()
        (self._flows.clear if mode is Mode.STUCK else self._flows.set)()

    def _reset_all(self) -> None:
        for link in list(self._links):
            link.reset()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        link = Link([writer])
        self._links.add(link)
        try:
            if self._mode is Mode.CUT:
                return
            await self._connect(reader, link)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            link.reset()
            self._links.discard(link)
            self._tasks.discard(task)

    async def _connect(self, reader: asyncio.StreamReader, link: Link) -> None:
        """Forward both directions until one end is gone."""
        await self._flows.wait()
        answers, writer = await asyncio.open_connection(HOST, self._target_port)
        link.writers.append(writer)
        async with asyncio.TaskGroup() as group:
            there = group.create_task(self._forward(reader, link.writers[1], link))
            back = group.create_task(self._forward(answers, link.writers[0], link))
            await asyncio.wait([there, back], return_when=asyncio.FIRST_COMPLETED)
            there.cancel()
            back.cancel()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: Link) -> None:
        """Forward one direction: read here, and send in order when each chunk is due."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS)
        sending = asyncio.create_task(self._send(waiting, writer, link))
        due = 0.0
        try:
            while data := await reader.read(CHUNK_BYTES):
                await self._flows.wait()
                due = max(due, self._loop.time() + self._delay())
                await waiting.put((due, data))
            # The last words before the end.
            await waiting.join()
        except OSError:
            pass
        finally:
            sending.cancel()

    async def _send(
        self, waiting: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter, link: Link
    ) -> None:
        while True:
            due, data = await waiting.get()
            if (left := due - self._loop.time()) > 0:
                await asyncio.sleep(left)
            await self._flows.wait()
            if self._mode is Mode.SILENT or link.is_stranded:
                link.has_lost_bytes = True
            else:
                with suppress(OSError):
                    writer.write(data)
                    await writer.drain()
            waiting.task_done()

    def _delay(self) -> float:
        lost = self._loss and self._random.random() < self._loss
        return self._latency_seconds + (RETRANSMISSION_SECONDS + 2 * self._latency_seconds if lost else 0.0)
