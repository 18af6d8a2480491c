"""Stores that documents are pulled from in :mod:`tests.integration.test_every_source`: real servers, each one class.

Another kind is another file in ``tests/integration/stores``, with a class that is ``@registered``.
"""

from __future__ import annotations

import contextlib
import importlib
import socket
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar

from tests.helpers.threaded_server import ThreadedServer, shut_down
from tests.integration.harness import HOST, WAIT_S, StoreServer, replace_file

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


EXACT = b'\t{"n": %d,\r\n "a" : 1.50, "b":12345678901234567890, "c":"\xc3\xbc\\u00fc"} \n'
"""A document of which a store that keeps bytes must keep each; the number goes where ``%d`` is."""

LARGE = b"[" + b"1," * 5_000_000 + b"1]"
"""10 MB in the place of a document."""

CHUNK_BYTES = 65_536


class Store(ABC):
    """A place that holds the document, in processes of its own.

    :param directory: its working directory.
    :cvar has_middle: whether livefeed reaches it by one port, so that a relay can stand in front of it.
    :cvar has_password: whether it can refuse livefeed's password.
    :cvar can_be_large: whether the value of the document can have any size.
    :cvar flood: how an answer of 10 MB would begin.
    :cvar secrets: the strings that no log line may contain.
    :cvar says_hanging: the error in the log when it hangs, as a regular expression.
    :cvar says_dead: the error in the log when the server is down.
    :cvar says_missing: the error in the log when the document is missing.
    """

    has_middle: ClassVar[bool] = False
    has_password: ClassVar[bool] = False
    can_be_large: ClassVar[bool] = True
    flood: ClassVar[bytes] = b""
    secrets: ClassVar[tuple[str, ...]] = ()
    says_hanging: ClassVar[str] = "no answer within 1 s"
    says_dead: ClassVar[str] = "cannot connect|lost"
    says_missing: ClassVar[str] = "missing"

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    @property
    def servers(self) -> Sequence[StoreServer]:
        """Its servers, in the order in which they are started."""
        return ()

    @property
    def port(self) -> int:
        """The port by which livefeed reaches it, if :attr:`has_middle`."""
        (server,) = self.servers
        return server.port

    @abstractmethod
    def source(self, port: int | None) -> str:
        """Gives the ``--source`` for it.

        :param port: the port of the relay in front of it, if :attr:`has_middle`.
        """

    def start(self) -> None:
        """Starts it, and returns when it takes questions. It need not remember a document."""
        for server in self.servers:
            server.start()

    def kill(self) -> None:
        """Ends all of it at once."""
        for server in self.servers:
            server.kill()

    def pause(self) -> None:
        """Makes all servers hang: connections stay open, without answers."""
        for server in self.servers:
            server.pause()

    def resume(self) -> None:
        """Lets it go on."""
        for server in self.servers:
            server.resume()

    def close(self) -> None:
        """Ends all servers, in any state."""
        for server in self.servers:
            server.__exit__()

    def document(self, number: int) -> bytes:
        """Gives a document, as it is to be served; another one for each number. This is of a store that keeps bytes."""
        return EXACT % number

    @abstractmethod
    def put(self, number: int) -> None:
        """Puts a document there."""

    @abstractmethod
    def remove(self) -> None:
        """Takes the document away."""

    def put_large(self) -> None:
        """Puts 10 MB in the place of the document."""
        raise NotImplementedError

    def lock_out(self) -> None:
        """Changes the password, and ends all connections."""
        raise NotImplementedError

    def let_in(self) -> None:
        """Changes the password back."""
        raise NotImplementedError


class InFile(Store):
    """A store whose document is in a file that is replaced by rename, when all is well.

    :param file: that file.
    """

    def __init__(self, directory: Path, file: Path) -> None:
        super().__init__(directory)
        self._file = file

    def put(self, number: int) -> None:
        """Store API."""
        replace_file(self._file, self.document(number))

    def put_large(self) -> None:
        """Store API."""
        replace_file(self._file, LARGE)

    def remove(self) -> None:
        """Store API."""
        self._file.unlink()


StoreT = TypeVar("StoreT", bound=Store)
_stores: dict[str, type[Store]] = {}


def registered(name: str) -> Callable[[type[StoreT]], type[StoreT]]:
    """Has the tests run for a class, by a name."""

    def register(kind: type[StoreT]) -> type[StoreT]:
        _stores[name] = kind
        return kind

    return register


def stores() -> dict[str, type[Store]]:
    """Gives all stores there are, by name."""
    for path in sorted((Path(__file__).parent / "stores").glob("*.py")):
        importlib.import_module(f"tests.integration.stores.{path.stem}")
    return dict(_stores)


class Middle:
    """A relay between livefeed and a server, with a port of its own, that can spoil the server's answers.

    :param port: the server's port.
    :ivar port: its own.
    """

    def __init__(self, port: int) -> None:
        self._behind = port
        self._spoil: bytes | None = None
        self._pause_s = 0.0
        self._delay_s = 0.0
        self._server = ThreadedServer(self._serve)
        self.port = self._server.port
        self._server.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self._server.close()

    def answer(self, spoilt: bytes) -> None:
        """Answers every question with these bytes from now on, on new connections."""
        self._spoil = spoilt
        self._server.cut()

    def slow_down(self, pause_s: float) -> None:
        """Passes on one byte of each answer, and the next after a pause."""
        self._pause_s = pause_s
        self._server.cut()

    def delay(self, pause_s: float) -> None:
        """Passes on each question after a pause."""
        self._delay_s = pause_s
        self._server.cut()

    def mend(self) -> None:
        """Passes on everything again, at once, on new connections."""
        self._spoil, self._pause_s, self._delay_s = None, 0.0, 0.0
        self._server.cut()

    def _serve(self, front: socket.socket) -> None:
        spoil = self._spoil
        if spoil is not None:
            while front.recv(CHUNK_BYTES):
                front.sendall(spoil)
            return
        with socket.create_connection((HOST, self._behind), WAIT_S) as back:
            self._server.track(back)
            back.settimeout(None)
            thread = threading.Thread(target=self._pass_on, args=(front, back, self._delay_s), daemon=True)
            thread.start()
            self._pass_on(back, front, self._pause_s, 1 if self._pause_s else CHUNK_BYTES)
            thread.join(WAIT_S)
            self._server.forget(back)

    def _pass_on(self, source: socket.socket, sink: socket.socket, pause_s: float, size: int = CHUNK_BYTES) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(size):
                if pause_s:
                    threading.Event().wait(pause_s)
                sink.sendall(data)
        for sock in (source, sink):
            shut_down(sock)
