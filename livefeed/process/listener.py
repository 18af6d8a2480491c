"""Listening on one endpoint: binding at the start, messages about failures, and the announcement in the log."""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from twisted.application.service import Service
from twisted.internet import tcp
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from livefeed.exceptions import StartError
from livefeed.process.descriptions import PROXIED, port_of
from livefeed.transport.sockets import NOTSENT_LOWAT_BYTES, limit_unsent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
    from twisted.python.failure import Failure

_REMEDIES = {
    errno.EACCES: "; ports below 1024 take CAP_NET_BIND_SERVICE (AmbientCapabilities= in the unit), or start livefeed "
    "as root, with --uid of twistd; or take a port above 1023",
    errno.EADDRINUSE: "; another process listens there: `ss -ltnp` names it",
    errno.EADDRNOTAVAIL: "; no interface of this machine has this address",
}

_log = Logger()


class PortService(Service):
    """A service that listens on one port, which can rest, or be handed over to another process."""

    _port: IListeningPort | None = None

    def _note_listening(self, port: IListeningPort) -> None:
        self._port = port

    def stopService(self) -> Deferred[None] | None:
        """IService API."""
        super().stopService()
        port, self._port = self._port, None
        return None if port is None else port.stopListening()

    def descriptor(self) -> int | None:
        """Gives the descriptor of the socket, for a successor; ``None`` if nothing listens."""
        port: Any = self._port
        return None if port is None else int(port.fileno())

    def rest(self) -> None:
        """Accepts nothing for a time. Connections wait, for this process or for a successor."""
        port: Any = self._port
        if port is not None:
            port.stopReading()

    def resume(self) -> None:
        """Accepts again after :meth:`rest`."""
        port: Any = self._port
        if port is not None:
            port.startReading()


@dataclass(eq=False)
class Listener(PortService):
    """Listens on one endpoint, or ends the start with a message that gives the reason.

    :ivar description: the endpoint's description, as it was set.
    :ivar factory: makes the protocol of each connection.
    :ivar place: where the endpoint was set; messages begin with it.
    :ivar host: the host in the URLs.
    :ivar describe: gives the announcement's text about the beginning of the endpoint's URLs.
    """

    # required parameters
    description: str
    endpoint: IStreamServerEndpoint
    factory: IProtocolFactory
    place: str
    describe: Callable[[str], str]
    host: str = "localhost"

    def privilegedStartService(self) -> None:
        """IService API. Ports below 1024 are bound before privileges are given up.

        :raises StartError: if the endpoint cannot be listened on.
        """
        super().privilegedStartService()
        failures: list[Failure] = []
        self.endpoint.listen(self.factory).addCallbacks(self._note_listening, failures.append)
        # Raised here, outside of the Deferred, so that the start ends with it.
        for failure in failures:
            raise StartError(f"livefeed: {self.place}: {self.description}: {self._reason(failure.value)}")

    def startService(self) -> None:
        """IService API."""
        super().startService()
        if self._port is None:
            self.privilegedStartService()

    def announce(self) -> None:
        """Logs the endpoint, and the URLs that are served there."""
        shown = port_of(self.description)
        if shown is None or self._port is None:
            _log.info("listening on {description}", description=self.description)
            return
        scheme, _ = shown
        address: Any = self._port.getHost()
        _log.info(
            "listening on {description}: {what}",
            description=self.description,
            what=self.describe(f"{scheme}://{self.host}:{address.port}"),
        )

    def _note_listening(self, port: IListeningPort) -> None:
        super()._note_listening(port)
        if isinstance(port, tcp.Port):
            limit_unsent_by_twisted(port)

    def _reason(self, error: BaseException | None) -> str:
        """Gives the reason why the endpoint cannot be listened on, and the remedy where one is known."""
        cause: object = error.socketError if isinstance(error, CannotListenError) else error
        if not isinstance(cause, OSError):
            return str(cause)
        remedy = _REMEDIES.get(cause.errno or 0, "") if port_of(self.description.removeprefix(PROXIED)) else ""
        return f"{cause.strerror or cause}{remedy}"


class Announced(Protocol):
    """A service whose address is logged."""

    def announce(self) -> None:
        """Logs the address."""


@dataclass(eq=False)
class Announcement(Service):
    """Logs the addresses once every endpoint is bound and every feed has restored its versions.

    Connections that come before that wait in the kernel until the reactor runs.

    :ivar when_bound: is given a function to call once every endpoint is bound; ``None`` if that is so at the start of
        this service.
    """

    # required parameters
    listeners: Sequence[Announced]
    when_bound: Callable[[Callable[[], None]], object] | None = None

    def startService(self) -> None:
        """IService API."""
        super().startService()
        if self.when_bound is None:
            self._announce()
        else:
            self.when_bound(self._announce)

    def _announce(self) -> None:
        for listener in self.listeners:
            listener.announce()


def describe_feeds(feeds: Sequence[str], base: str) -> str:
    """Gives the announcement of the URLs at which feeds are served.

    :param feeds: the names of the feeds.
    :param base: the beginning of the URLs.
    """
    text = f"the page is {base}/, "
    if len(feeds) > 1:
        return text + f"the list of the {len(feeds)} feeds {base}/-/feeds.json"
    return text + f"the document {base}/{feeds[0]}, the WebSocket ws{base.removeprefix('http')}/{feeds[0]}.ws"


def limit_unsent_by_twisted(port: Any) -> None:
    """Limits how much unsent data Twisted's own transport keeps for a slow reader, as the fast transport does.

    Without the limit it would be megabytes in the kernel, and 64 KiB in Twisted: old versions, with the newest one
    behind them.

    :param port: a ``tcp.Port``; its connections get the limit, and a property ``unsent_bytes``.
    """
    members = {"bufferSize": NOTSENT_LOWAT_BYTES, "unsent_bytes": property(_unsent_bytes)}
    port.transport = type("Server", (port.transport,), members)
    limit_unsent(port.socket)


def _unsent_bytes(transport: Any) -> int:
    """Gives the same as ``unsent_bytes`` of the fast transport.

    Twisted's TLS passes on each attribute that it does not have itself.
    """
    return len(transport.dataBuffer) - int(transport.offset) + int(transport._tempDataLen)  # noqa: SLF001
