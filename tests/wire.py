"""A TCP proxy between a store and its server, for what networks do."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_COMMIT = bytes.fromhex("0002b012")  # Bolt: a chunk of two bytes, the message COMMIT


class Wire:
    """`mute` swallows everything both ways, and `mute_before_commit` begins with the next COMMIT; `cut_commits` hangs up that
    many times instead of passing COMMIT's answer."""

    def __init__(self, host: str, port: int) -> None:
        self._server = host, port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self.mute = False
        self.mute_before_commit = False
        self.cut_commits = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for each in (self._listener, *self._sockets):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                self._sockets += client, server
                doomed = threading.Event()
                for source, target in ((client, server), (server, client)):
                    threading.Thread(
                        target=self._pass_on, args=(source, target, source is client, doomed), daemon=True
                    ).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, upward: bool, doomed: threading.Event) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if upward and self.mute_before_commit and _COMMIT in data:
                    self.mute, self.mute_before_commit = True, False
                if self.mute:
                    continue
                if upward and self.cut_commits and _COMMIT in data:
                    self.cut_commits -= 1
                    doomed.set()
                if doomed.is_set() and not upward:
                    break
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextmanager
def wire_to(host: str, port: int) -> Iterator[Wire]:
    wire = Wire(host, port)
    try:
        yield wire
    finally:
        wire.close()
