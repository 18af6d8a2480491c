"""A relay between a browser and livefeed that holds back what it is told to: for networks that fail in silence."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from tests.helpers.threaded_server import ThreadedServer, pass_on, shut_down
from tests.integration.harness import HOST

if TYPE_CHECKING:
    from collections.abc import Collection

WEBSOCKET = b"Upgrade: websocket"
EVENTS = b".sse"
REQUESTS = b"GET /"


class BendingRelay:
    """Relays connections, except for what livefeed says on some of them.

    :param port: where livefeed listens.
    :ivar held: connections on which a browser has said one of these are held from now on: what livefeed says on them is
        not passed on, and they stay open.
    """

    def __init__(self, port: int, held: Collection[bytes] = ()) -> None:
        self._upstream = port
        self.held = held
        self._server = ThreadedServer(self._serve)
        self.port = self._server.port
        self._said: list[bytearray] = []

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._server.close()

    @property
    def origin(self) -> str:
        """The origin of livefeed behind this relay."""
        return f"http://{HOST}:{self.port}"

    def count(self, mark: bytes) -> int:
        """Gives the number of open connections on which a browser has said something."""
        return sum(mark in asked for asked in self._said.copy())

    def cut(self) -> None:
        """Ends all connections."""
        self._server.cut()

    def _serve(self, near: socket.socket) -> None:
        with socket.create_connection((HOST, self._upstream)) as far:
            self._server.track(far)
            asked = bytearray()
            self._said.append(asked)
            answers = threading.Thread(target=self._answer, args=(far, near, asked), daemon=True)
            answers.start()
            pass_on(near, far, asked.extend)
            # A page that has gone does not care for the rest.
            shut_down(far)
            answers.join()
            self._said = [each for each in self._said if each is not asked]
            self._server.forget(far)

    def _answer(self, far: socket.socket, near: socket.socket, asked: bytearray) -> None:
        with suppress(OSError):
            while data := far.recv(65536):
                if not any(each in asked for each in self.held):
                    near.sendall(data)
            shut_down(near)
