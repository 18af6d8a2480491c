"""The parent's end of the link: listens for workers, and greets or refuses them.

Rules: a process that says nothing, or speaks another protocol, gets nothing. The number of those that have not said
hello is limited, and what they send has no payloads.
"""

from __future__ import annotations

import contextlib
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger

from livefeed import __version__
from livefeed.exceptions import LinkError, StartError, first_line
from livefeed.workers.link import HELLO_S, REFUSED, Greeting, Link, own_name
from livefeed.workers.messages import MAX_PAYLOAD_BYTES, PROTOCOL, Hello, Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IAddress

    from livefeed.workers.link import UNIXReactor

MAX_STRANGERS = 1024
"""The number of connections to the parent that may wait to say hello: all workers at once. Further ones are closed."""

_log = Logger()


class _Nobody:
    """The receiver of a link that is about to end."""

    def receive(self, link: Link, message: Message) -> None:
        """Receiver API."""
        message.close_fds()

    def flushed(self, link: Link) -> None:
        """Receiver API."""

    def lost(self, link: Link) -> None:
        """Receiver API."""


@dataclass(eq=False)
class LinkServer(Service):
    """Listens for workers, in the parent.

    The socket has a name of its generation, and the workers of the generation find it by that. Once it is published,
    the workers of all generations find it by the common name, which is a symbolic link.

    :param path: the common name of the socket, in a folder that no other user can write to.
    :param on_hello: called with each worker that has said hello in the same protocol. It sets the receiver of the link
        and sends ``welcome``.
    :param max_payload_bytes: the largest size in bytes of all payloads of a message from a worker.
    """

    # required parameters
    path: Path
    reactor: UNIXReactor
    on_hello: Callable[[Link, Hello], None]
    max_payload_bytes: int = MAX_PAYLOAD_BYTES
    generation: int = 0
    is_published: bool = True

    # internal state
    _port: Any = None
    _strangers: int = 0  # connections that have not said hello
    _is_crowded: bool = False

    @property
    def own_path(self) -> Path:
        """The name of the socket for this generation."""
        return own_name(self.path, self.generation)

    def startService(self) -> None:
        """IService API.

        :raises StartError: if the socket cannot be made.
        """
        super().startService()
        factory = ServerFactory()
        factory.noisy = False
        factory.buildProtocol = self._build  # type: ignore[method-assign,assignment]
        try:
            if self.is_published:
                _remove_socket(self.path)
            _remove_socket(self.own_path)
            self._port = self.reactor.listenUNIX(str(self.own_path), factory, mode=0o600)
            if self.is_published:
                self.publish()
        except Exception as error:
            raise StartError(f"livefeed: {self.path}: the link to the workers: {first_line(error)}") from None

    def publish(self) -> None:
        """Has workers of all generations find this server from now on, instead of an earlier one.

        :raises OSError: if the name cannot be made.
        """
        new = self.path.with_name(f"{self.own_path.name}.new")
        new.unlink(missing_ok=True)
        new.symlink_to(self.own_path.name)
        new.rename(self.path)
        self.is_published = True

    def stopService(self) -> Any:
        """IService API. The links stay until their receivers close them, or the process ends."""
        super().stopService()
        with contextlib.suppress(OSError):
            # It may be that of the next parent.
            if self.path.readlink() == Path(self.own_path.name):
                self.path.unlink()
        port, self._port = self._port, None
        return None if port is None else port.stopListening()

    def _build(self, _: IAddress | None) -> Link | None:
        if self._strangers >= MAX_STRANGERS:
            if not self._is_crowded:
                self._is_crowded = True
                text = "{path}: {count} connections have not said hello; further ones are closed"
                _log.warn(text, path=str(self.path), count=self._strangers)
            return None
        self._strangers += 1
        greeting = Greeting("hello", self._greet, ended=self._note_greeted)
        # A hello has no payloads.
        link = Link(greeting, 0, clock=self.reactor)
        greeting.timeout = self.reactor.callLater(HELLO_S, link.abort)
        return link

    def _note_greeted(self) -> None:
        self._strangers -= 1
        if not self._strangers:
            self._is_crowded = False

    def _greet(self, link: Link, message: Message) -> None:
        message.close_fds()
        name = message.facts.get("protocol")
        if name != PROTOCOL:
            why = f"it speaks {str(name)[:64]}, and livefeed {__version__} speaks {PROTOCOL}"
            link.receiver = _Nobody()
            link.send(Message(REFUSED, {"protocol": PROTOCOL, "livefeed": __version__, "why": why}))
            link.close()
            _log.warn("the process {pid} is refused on the link: {why}", pid=link.pid, why=why)
            return
        hello = message.read(Hello)
        link.allow(self.max_payload_bytes)
        self.on_hello(link, hello)


def _remove_socket(path: Path) -> None:
    """Removes the socket that a parent has left behind that was killed."""
    with contextlib.suppress(FileNotFoundError):
        mode = path.lstat().st_mode
        if not (stat.S_ISSOCK(mode) or stat.S_ISLNK(mode)):
            raise LinkError("there is a file that is no socket")
        path.unlink()
