"""A server that remembers what it was sent and answers what it is told to."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Server:
    """Answers from `answers`, each once, the last one for ever."""

    address: str = ""
    answers: list[tuple[int, object]] = field(default_factory=lambda: [(200, {})])
    requests: list[tuple[str, Mapping[str, str], bytes]] = field(default_factory=list)

    @property
    def sent(self) -> Any:
        """The body of the last request."""
        return json.loads(self.requests[-1][2])


@contextmanager
def remembering(port: int = 0) -> Iterator[Server]:
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            server.requests.append((f"{self.command} {self.path}", dict(self.headers), body))
            status, answer = server.answers[0] if len(server.answers) == 1 else server.answers.pop(0)
            content = json.dumps(answer).encode() if not isinstance(answer, bytes) else answer
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_PUT = _answer  # noqa: N815 (http.server's own names)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as listening:
        threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True).start()
        server.address = f"http://127.0.0.1:{listening.server_port}"
        try:
            yield server
        finally:
            listening.shutdown()
