"""HTTP origins to pull from: nginx as a good origin, and one whose answers a test controls."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from tests.helpers.peers import peer
from tests.helpers.threaded_server import ThreadedServer
from tests.helpers.waiting import wait_until
from tests.integration.harness import HOST, WAIT_S, Process, StoreServer, free_port, replace_file

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable
    from pathlib import Path

    from livefeed.tls.development import DevelopmentCertificate

_CONFIGURATION = """\
daemon off;
master_process off;
error_log stderr notice;
pid {directory}/nginx.pid;
events {{}}
http {{
    {temporary}
    log_format asked '$status $sent_http_content_encoding $connection';
    access_log {directory}/access.log asked;
    default_type application/json;
    gzip on;
    gzip_min_length 1;
    gzip_types application/json;
    server {{
        listen {host}:{port}{ssl};
        {certificate}
        root {directory}/www;
        {more}
    }}
}}
"""


class OriginStore(StoreServer):
    """An nginx that serves one file, and keeps its port for as long as it lives.

    :param directory: where it runs.
    :param certificate: for HTTPS; ``None`` for plain HTTP.
    :param host: the address that it listens on.
    """

    def __init__(self, directory: Path, certificate: DevelopmentCertificate | None = None, *, host: str = HOST) -> None:
        self._host = host
        self._more = ""
        self._program = peer("nginx", "nginx")
        self._directory = directory / "origin"
        self._certificate = certificate
        self._www = self._directory / "www"
        self._www.mkdir(parents=True)
        self.port = free_port()

    @property
    def url(self) -> str:
        """The URL of a source."""
        if self._certificate is None:
            return f"http://{self._host}:{self.port}/document.json"
        return f"https://{self._host}:{self.port}/document.json#ca={self._certificate.ca}"

    def set_document(self, document: bytes) -> None:
        """Publishes a document."""
        replace_file(self._www / "document.json", document)

    def redirect(self, url: str) -> None:
        """Makes the server redirect from the document to a URL."""
        self._more = f"location = /document.json {{ return 302 {url}; }}"
        self.restart()

    def wait_for_answers(self, count: int) -> None:
        """Returns after *count* more answers."""
        end = len(self.asked()) + count
        wait_until(lambda: len(self.asked()) >= end, "no more requests come")

    def start(self) -> None:
        """StoreServer API."""
        assert self._process is None, "the server runs already"
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        certificate = self._certificate
        file = self._directory / "nginx.conf"
        file.write_text(
            _CONFIGURATION.format(
                directory=self._directory,
                temporary="".join(f"{kind}_temp_path {self._directory}/{kind}; " for kind in kinds),
                host=self._host,
                more=self._more,
                port=self.port,
                ssl="" if certificate is None else " ssl",
                certificate=""
                if certificate is None
                else f"ssl_certificate {certificate.cert}; ssl_certificate_key {certificate.key};",
            )
        )
        command = [self._program, "-e", "stderr", "-p", str(self._directory), "-c", str(file)]
        self._process = Process(command, directory=self._directory)
        self._process.wait_for("using the .* event method")

    def asked(self) -> list[tuple[int, str, int]]:
        """Gives for each answer the status, the coding (or ``-``) and the number of the connection."""
        lines = [line.split() for line in (self._directory / "access.log").read_text().splitlines()]
        return [(int(status), coding, int(connection)) for status, coding, connection in lines]


@dataclass(frozen=True)
class Asked:
    """A request that the :class:`WilfulOrigin` got.

    :ivar number: how many there were before.
    :ivar connection: the number of its connection.
    :ivar send: sends bytes at once.
    :ivar ended: set when the origin is to end.
    """

    number: int
    connection: int
    head: str
    send: Callable[[bytes], object]
    ended: threading.Event

    def field(self, name: str) -> str | None:
        """Gives the value of a field."""
        match = re.search(rf"(?im)^{re.escape(name)}:[ \t]*(.*?)\r$", self.head)
        return None if match is None else match[1]

    @property
    def target(self) -> str:
        """The target of the request."""
        return self.head.split(" ")[1]


@dataclass
class WilfulOrigin:
    """An origin on a bare socket, that answers by a function.

    :ivar answer: gives the bytes to send; ``None`` closes the connection, and so does an error.
    :ivar asked: the requests until now.
    """

    # required parameters
    answer: Callable[[Asked], bytes | None]

    # internal state
    asked: list[Asked] = field(default_factory=list)
    port: int = 0
    connections: int = 0
    _ended: threading.Event = field(default_factory=threading.Event)
    _server: ThreadedServer | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __enter__(self) -> Self:
        self._server = ThreadedServer(self._serve, self.port)
        self.port = self._server.port
        self._server.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._ended.set()
        assert self._server is not None
        self._server.close()

    @property
    def url(self) -> str:
        """The URL of a source."""
        return f"http://{HOST}:{self.port}/document.json"

    def wait_for(self, count: int, timeout_s: float = WAIT_S) -> None:
        """Returns after *count* more requests."""
        with self._changed:
            end = len(self.asked) + count
            came = self._changed.wait_for(lambda: len(self.asked) >= end, timeout_s)
            assert came, f"{len(self.asked)} requests, and not {end}"

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(WAIT_S)
        with self._changed:
            self.connections += 1
            number = self.connections
        buffer = b""
        while not self._ended.is_set():
            while b"\r\n\r\n" not in buffer:
                chunk = sock.recv(65536)
                if not chunk:
                    return
                buffer += chunk
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            with self._changed:
                text = f"{head.decode('latin-1')}\r\n"
                asked = Asked(len(self.asked), number, text, sock.sendall, self._ended)
                self.asked.append(asked)
                self._changed.notify_all()
            answer = self.answer(asked)
            if answer is None:
                return
            sock.sendall(answer)


def answer_of(body: bytes, *fields: str, status: str = "200 OK") -> bytes:
    """Gives a whole answer."""
    lines = "".join(f"{line}\r\n" for line in fields)
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body
