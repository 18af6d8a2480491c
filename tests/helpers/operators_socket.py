"""A stand-in for the operator's socket of a livefeed: it gives prepared answers, from a thread."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from socketserver import UnixStreamServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def address_string(self) -> str:
        return ""

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.command, self.path, content))
        answers = self.server.answers
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_PUT = do_GET


class _Server(UnixStreamServer):
    def __init__(self, path: Path, answers: list[tuple[int, Any]]) -> None:
        self.answers = answers
        self.requests: list[tuple[str, str, bytes]] = []
        super().__init__(str(path), _Handler)


@contextmanager
def operators_socket(path: Path, *answers: tuple[int, Any]) -> Iterator[list[tuple[str, str, bytes]]]:
    """Listens on a Unix socket, and gives the list of the requests: method, path and content.

    :param answers: status and content of each answer; the last one is given again and again.
    """
    path.parent.mkdir(0o700, parents=True, exist_ok=True)
    with _Server(path, [*answers]) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server.requests
        finally:
            server.shutdown()
            thread.join(10)
            path.unlink(missing_ok=True)
