"""A server that serves each connection in a thread of its own: the loop that accepts, and the end of it all."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable

HOST = "127.0.0.1"


def shut_down(sock: socket.socket) -> None:
    """Ends both directions of a socket, so that a thread that waits for it wakes up."""
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


class ThreadedServer:
    """Listens on this machine, from the beginning, and serves each connection once it has been started.

    :param serve: is given each connection, in a thread of its own. The connection is closed when this returns. An
        ``OSError`` means that the connection has ended, and is not an error of the server.
    :param port: the port to listen on; 0 for any that is free.
    :ivar port: the port that it listens on.
    """

    def __init__(self, serve: Callable[[socket.socket], object], port: int = 0) -> None:
        self._serve = serve
        self._listening = socket.create_server((HOST, port))
        self.port: int = self._listening.getsockname()[1]
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._accepting: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    def start(self) -> None:
        """Accepts connections from now on. Before, the kernel accepts them, and nothing is read."""
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def track(self, sock: socket.socket) -> socket.socket:
        """Has :meth:`cut` end another socket, too, such as one to the server behind this one; gives that socket."""
        with self._lock:
            self._sockets.add(sock)
        return sock

    def forget(self, sock: socket.socket) -> None:
        """Closes a socket that was tracked."""
        with self._lock:
            self._sockets.discard(sock)
        sock.close()

    def cut(self) -> None:
        """Ends all connections."""
        with self._lock:
            for sock in self._sockets:
                shut_down(sock)

    def close(self) -> None:
        """Accepts nothing more, and ends all connections. To close twice is no error."""
        shut_down(self._listening)
        self._listening.close()
        if self._accepting is not None:
            self._accepting.join()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            self.track(sock)
            threading.Thread(target=self._serve_one, args=(sock,), daemon=True).start()

    def _serve_one(self, sock: socket.socket) -> None:
        try:
            with suppress(OSError):
                self._serve(sock)
        finally:
            self.forget(sock)


def pass_on(source: socket.socket, sink: socket.socket, said: Callable[[bytes], object] = lambda data: None) -> None:
    """Writes all bytes of one socket to another, to the end.

    :param said: is given each piece, before it is passed on.
    """
    with suppress(OSError):
        while data := source.recv(65536):
            said(data)
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
