"""The operator's socket: a Unix socket in the runtime directory, for the user of livefeed and for one group."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet import tcp, unix
from twisted.internet.defer import Deferred, execute
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.logger import Logger
from zope.interface import implementer

from livefeed.exceptions import StartError
from livefeed.process.listener import PortService
from livefeed.process.runtime_dir import ADMIN_SOCKET
from livefeed.process.socket_file import SocketFileEndpoint

if TYPE_CHECKING:
    import socket

    from twisted.internet.interfaces import IProtocolFactory
    from twisted.python.failure import Failure

    from livefeed.process.instance import Instance

BACKLOG = 64
"""Number of connections that may wait to be accepted."""

_log = Logger()


class _Port(unix.Port):
    """A port that removes its file when it ends, unless another process has put its own in the place.

    Twisted's would remove the socket of a successor, and would raise where privileges were given up.
    """

    _file = (0, 0)

    def startListening(self) -> None:
        """IListeningPort API."""
        super().startListening()
        with suppress(OSError):
            self._file = _identity(self._path())

    def connectionLost(self, reason: Failure) -> None:
        """IReadDescriptor API."""
        with suppress(OSError):
            if _identity(self._path()) == self._file:
                self._path().unlink()
        tcp.Port.connectionLost(self, reason)

    def _path(self) -> Path:
        return Path(os.fsdecode(self._bindPath))


def _identity(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_dev, found.st_ino


@implementer(IStreamServerEndpoint)
@dataclass(frozen=True, slots=True)
class _Endpoint:
    reactor: Any
    path: Path
    group: int | None
    inherited: socket.socket | None = None

    def listen(self, protocolFactory: Any) -> Deferred[IListeningPort]:
        """IStreamServerEndpoint API."""
        return execute(self._listen, protocolFactory)

    def _listen(self, factory: Any) -> IListeningPort:
        # No other user can connect before the mode is set: the folder lets nobody in but the group.
        port = _Port(os.fsencode(self.path), factory, BACKLOG, stat.S_IRUSR | stat.S_IWUSR, self.reactor)
        port._preexistingSocket = self.inherited  # noqa: SLF001 - Twisted's own way does not keep the mode
        port.startListening()
        if self.group is not None:
            os.chown(self.path, -1, self.group)
            self.path.chmod(0o660)
        return port


@dataclass(eq=False)
class OperatorSocket(PortService):
    """Serves the operator's port on the Unix socket of the instance, if the runtime directory is ours.

    :ivar instance: claims the runtime directory; it is started before.
    :ivar reactor: any reactor of Twisted's that takes a reader.
    :ivar factory: makes the protocol of each connection.
    :ivar inherited: the socket of the process before an upgrade, which listens already; ``None`` for a new one.
    """

    # required parameters
    instance: Instance
    reactor: Any
    factory: IProtocolFactory

    # internal state
    inherited: socket.socket | None = None

    @property
    def path(self) -> Path:
        """The path of the socket."""
        return self.instance.path / ADMIN_SOCKET

    def privilegedStartService(self) -> None:
        """IService API.

        :raises StartError: if the socket cannot be made in a runtime directory that the operator has set.
        """
        super().privilegedStartService()
        if self._port is not None or not self.instance.directory.is_ours:
            return
        own = _Endpoint(self.reactor, self.path, self.instance.group, self.inherited)
        endpoint: IStreamServerEndpoint = SocketFileEndpoint(own, self.path) if self.inherited is None else own
        failures: list[Failure] = []
        endpoint.listen(self.factory).addCallbacks(self._note_listening, failures.append)
        for failure in failures:
            error = failure.value
            cause = error.socketError if isinstance(error, CannotListenError) else error
            why = f"{self.path}: {cause.strerror if isinstance(cause, OSError) else cause}"
            if self.instance.place:
                raise StartError(f"livefeed: {self.instance.place}: {why}")
            _log.warn("there is no operator's socket: {why}", why=why)

    def startService(self) -> None:
        """IService API."""
        super().startService()
        self.privilegedStartService()

    def announce(self) -> None:
        """Announced API. Logs the path, which other tools than livefeed ctl need."""
        if self._port is not None:
            _log.info("the operator's socket is {path}", path=self.path)
