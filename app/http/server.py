"""Uvicorn, with what it lacks: patience with an end for requests that arrive, and a stop that is a success."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_SHARE_OF_DESCRIPTORS = 2
"""At most one in two descriptors for connections whose request is still arriving."""
_MUCH = 1 << 20
"""What keeps coming at this many bytes in each span of patience is a large upload."""


class PatientProtocol(HttpToolsProtocol):
    """Closes a connection whose request has not arrived complete after `seconds`; Uvicorn would wait for ever.

    A body of which much arrived in that time has as much time again.
    When so many are waited for that new ones would find no descriptor, the oldest go first ("slowloris").
    """

    seconds = 15.0
    waiting: dict["PatientProtocol", asyncio.TimerHandle]
    """Connections whose request is arriving, oldest first."""
    most_waiting: int

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._received = 0
        self._wait()

    def data_received(self, data: bytes) -> None:
        if self.cycle is None or self.cycle.response_complete:  # type: ignore[redundant-expr] # None at first
            self._wait()
        self._received += len(data)
        super().data_received(data)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._wait()

    def on_message_complete(self) -> None:
        self._arrived()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        self._arrived()
        super().handle_websocket_upgrade()

    def connection_lost(self, exc: Exception | None) -> None:
        self._arrived()
        super().connection_lost(exc)

    def _wait(self) -> None:
        if self in self.waiting:
            return
        if len(self.waiting) >= self.most_waiting:
            next(iter(self.waiting))._give_up()
        self._received = 0
        self.waiting[self] = self.loop.call_later(self.seconds, self._lose_patience)

    def _arrived(self) -> None:
        timer = self.waiting.pop(self, None)
        if timer is not None:
            timer.cancel()

    def _lose_patience(self) -> None:
        if self._received < _MUCH:
            self._give_up()
        else:
            del self.waiting[self]
            self._wait()

    def _give_up(self) -> None:
        self._arrived()
        self.transport.abort()


def patient_protocol(seconds: float) -> type[PatientProtocol]:
    """A class of its own for one server, since Uvicorn makes the instances."""
    members = {"seconds": seconds, "waiting": {}, "most_waiting": max(8, _descriptors() // _SHARE_OF_DESCRIPTORS)}
    return type("PatientProtocol", (PatientProtocol,), members)


def _descriptors() -> int:
    """How many files and sockets this process may have open, raised to what the system allows."""
    try:
        import resource  # noqa: PLC0415 (not on Windows)
    except ImportError:
        return 512
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return 65_536 if soft == resource.RLIM_INFINITY else soft


class Server(uvicorn.Server):
    """Calls `started` with the port once it listens, `stopping` when it begins to stop, and stops when `failed`."""

    def __init__(
        self,
        config: uvicorn.Config,
        *,
        started: Callable[[int], None],
        stopping: Callable[[], None],
        failed: Callable[[], bool],
    ) -> None:
        super().__init__(config)
        self._announce = started
        self._stopping = stopping
        self._failed = failed

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if sockets and self.started:
            self._announce(sockets[0].getsockname()[1])

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._failed()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopping()
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The base class raises the signal anew at the end, so that a stop asked for would look like a crash."""
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def listen(host: str, port: int) -> list[socket.socket]:
    """Listens at all addresses of `host`. Raises OSError."""
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(
            socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        ):
            listener = socket.socket(family, kind, protocol)
            sockets.append(listener)
            if os.name == "posix":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address)
    except OSError:
        for listener in sockets:
            listener.close()
        raise
    return sockets
