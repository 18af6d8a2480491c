"""Servers that answer as a test tells them, and runs of the load tester against them, in this process."""

from __future__ import annotations

import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from threading import Event
from typing import TYPE_CHECKING, Any, Self

from livefeed.load.addresses import Target
from livefeed.load.figures import Figures
from livefeed.load.handshake import _ACCEPT
from livefeed.load.kinds import Kind
from livefeed.load.plan import Plan
from livefeed.load.run import MEASURING, Run
from tests.helpers.threaded_server import HOST, ThreadedServer, shut_down

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.load.figures import Report

SAFETY_S = 60.0
"""The time in seconds after which a run that does not end by itself is stopped."""

DOCUMENT = b'{"n": 1}'


def answer(content: bytes = DOCUMENT, *lines: str, status: str = "200 OK") -> bytes:
    """Gives an answer with a length."""
    head = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", *lines))
    return f"{head}\r\n".encode() + content


class Answering:
    """A server that answers each head with what a function gives for it and its number, counted from 0.

    Bytes are sent; ``None`` is nothing; a function is given the socket, and the connection ends when it returns. The
    connection also ends after an answer with ``Connection: close``.

    :ivar heads: the heads that have come.
    """

    def __init__(self, reply: Callable[[bytes, int], Any], tls: ssl.SSLContext | None = None) -> None:
        self._reply = reply
        self._tls = tls
        self.heads: list[bytes] = []
        self._server = ThreadedServer(self._serve)
        self.port = self._server.port

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._server.close()

    def cut(self) -> None:
        """Ends all connections."""
        self._server.cut()

    def _serve(self, plain: socket.socket) -> None:
        if self._tls is None:
            self._answer(plain)
            return
        with suppress(ssl.SSLError), self._tls.wrap_socket(plain.dup(), server_side=True) as sock:
            self._answer(sock)
        shut_down(plain)

    def _answer(self, sock: socket.socket) -> None:
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                piece = sock.recv(65536)
                if not piece:
                    return
                data += piece
            head, _, data = data.partition(b"\r\n\r\n")
            self.heads.append(head + b"\r\n\r\n")
            reply = self._reply(head + b"\r\n\r\n", len(self.heads) - 1)
            if callable(reply):
                reply(sock)
                return
            if reply is not None:
                sock.sendall(reply)
                if b"Connection: close" in reply:
                    return


def until_gone(sock: socket.socket) -> None:
    """Waits until the client has gone."""
    with suppress(OSError):
        while sock.recv(65536):
            pass


def target_of(port: int, *, is_secure: bool = False) -> Target:
    """Gives a server on this machine as the target."""
    return Target(socket.AF_INET, HOST, port, is_secure, HOST, f"{HOST}:{port}", "/feed")


def plan_for(port: int, watchers: dict[Kind, int] | None = None, *, is_secure: bool = False, **named: Any) -> Plan:
    """Gives the task of a process for a server on this machine: ten answers of one poller, if nothing else is told."""
    plan = Plan(target=target_of(port, is_secure=is_secure), watchers=watchers or {Kind.POLL: 1}, requests=10)
    return replace(plan, **named)


@dataclass
class Ran:
    """A run in this process, and its reports."""

    run: Run
    reports: list[Report] = field(default_factory=list)

    def figures(self, kind: Kind = Kind.POLL, *, phase: str | None = None) -> Figures:
        """Gives the sum of the reports about a kind."""
        whole = Figures()
        for report in self.reports:
            if phase is None or report.phase == phase:
                whole.add(report.figures[kind])
        return whole

    @property
    def measured(self) -> Figures:
        """The figures of pollers since the beginning of the figures."""
        return self.figures(phase=MEASURING)


def ran(plan: Plan, *, begun: Event | None = None, until: Callable[[Any], object] | None = None) -> Ran:
    """Makes a run, whose figures begin as soon as all watchers have arrived, and gives its reports.

    :param begun: is set once the figures have begun.
    :param until: tells by the figures of a kind, or by a report of them, whether the run ends.
    """
    reports: list[Report] = []
    run = Run(plan, reports.append)
    has_begun = False

    def look() -> None:
        nonlocal has_begun
        if not has_begun and run.shared.arrived == plan.connections:
            has_begun = True
            run.begin()
            if begun is not None:
                begun.set()
        if has_begun and until is None:
            return
        parts: list[Any] = [run.figures, *(report.figures for report in reports)]
        if until is not None and any(until(figures) for part in parts for figures in part.values()):
            run.stop()
        run.loop.at(time.monotonic_ns() + 1_000_000, look)

    run.loop.at(0, look)
    stopped: list[bool] = []

    def give_up() -> None:
        stopped.append(True)
        run.stop()

    run.loop.at(time.monotonic_ns() + int(SAFETY_S * 1e9), give_up)
    run.run()
    assert not stopped, "the run did not end by itself"
    return Ran(run, reports)


def switched(*lines: str) -> bytes:
    """Gives the answer 101 to a handshake of the load tester."""
    fields = ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {_ACCEPT.decode()}", *lines)
    return "".join(f"{line}\r\n" for line in ("HTTP/1.1 101 Switching Protocols", *fields, "")).encode()


def sending(
    *pieces: bytes | Event, then: Callable[[socket.socket], None] = until_gone
) -> Callable[[socket.socket], None]:
    """Gives a function that sends pieces, one after the other, and then waits for the client's end.

    An event among the pieces is waited for.
    """

    def send(sock: socket.socket) -> None:
        for piece in pieces:
            if isinstance(piece, Event):
                piece.wait(SAFETY_S)
                continue
            sock.sendall(piece)
        then(sock)

    return send
