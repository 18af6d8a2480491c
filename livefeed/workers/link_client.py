"""A worker's end of the link: connects to the parent, and connects again for as long as the worker runs.

Rules: the worker looks for its own parent first, and then for the one that has taken its place. Links that end soon
after one another make the pauses between the attempts longer, up to a limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory
from twisted.logger import Logger

from livefeed.exceptions import LinkError
from livefeed.workers.link import FLUSH_S, HELLO_S, Greeting, Link, own_name
from livefeed.workers.messages import PROTOCOL, Hello, Message, message_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from twisted.internet.interfaces import IAddress, IDelayedCall
    from twisted.python.failure import Failure

    from livefeed.workers.link import UNIXReactor

RECONNECT_S = 0.2
"""Seconds from the end of a link, or a failed attempt, to the next attempt of the worker."""

MAX_RECONNECT_S = 1.0
"""The same after links that ended soon, one after the other: each greeting costs the parent the newest picture of each
feed. A parent kills a worker from which it has heard nothing for two and a half seconds."""

SETTLED_S = 5.0
"""Seconds after which a link has not ended soon."""

_log = Logger()


def link_paths(path: Path, generation: int) -> tuple[Path, Path]:
    """Gives the names by which a worker looks for a parent, in this order.

    Its own parent is there until the next one has taken its place.

    :param path: the common name.
    """
    return own_name(path, generation), path


@dataclass(eq=False)
class LinkClient(Service):
    """Connects to the parent, in a worker, and connects again for as long as the service runs.

    :param paths: the names of the socket, in the order in which they are tried.
    :param hello: gives the first message of a link.
    :param on_welcome: called with the link and the answer of the parent. It sets the receiver of the link.
    :param on_refused: called when the parent has refused the worker.
    :ivar link: the link, once it is welcome; ``None`` without one.
    """

    # required parameters
    paths: Sequence[Path]
    reactor: UNIXReactor
    hello: Callable[[], Hello]
    on_welcome: Callable[[Link, Message], None]
    on_refused: Callable[[], object] = lambda: None

    # internal state
    link: Link | None = None
    _attempt: Any = None  # the connector, for as long as it connects or is connected
    _opened: Link | None = None  # the protocol of the attempt, welcome or not
    _retry: IDelayedCall | None = None
    _stopped: Deferred[None] | None = None
    _limit: IDelayedCall | None = None
    _tried: int = 0  # the number of names that were tried without success since the last pause
    _refused: str = ""  # the last reason for which the parent refused, which is logged once
    _opened_s: float = 0.0  # when the link was opened, by the clock
    _short: int = 0  # number of links in a row that have ended soon

    def startService(self) -> None:
        """IService API."""
        super().startService()
        self._connect()

    def stopService(self) -> Deferred[None] | None:
        """IService API. The Deferred fires when everything is sent, or after :data:`FLUSH_S`."""
        super().stopService()
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        opened = self._opened
        if opened is not None and opened.is_connected:
            self._limit = self.reactor.callLater(FLUSH_S, opened.abort)
            self._stopped = Deferred()
            stopped = self._stopped
            opened.close()
            return stopped
        if self._attempt is not None:
            self._attempt.disconnect()
        return None

    def _connect(self) -> None:
        self._retry = None
        path = self.paths[self._tried]
        self._attempt = self.reactor.connectUNIX(str(path), _ClientFactory(self), timeout=HELLO_S)

    def _build(self) -> Link:
        greeting = Greeting("welcome", self._greet, self._note_refused)
        self._opened_s = self.reactor.seconds()
        link = self._opened = Link(greeting, opening=lambda: message_of("hello", self.hello()))
        greeting.timeout = self.reactor.callLater(HELLO_S, link.abort)
        return link

    def _note_refused(self, why: str) -> None:
        if why != self._refused:
            self._refused = why
            _log.warn("the parent refuses this worker: {why}", why=why)
        self.on_refused()

    def _greet(self, link: Link, message: Message) -> None:
        if message.facts.get("protocol") != PROTOCOL:
            raise LinkError(f"the parent speaks {str(message.facts.get('protocol'))[:64]}, and not {PROTOCOL}")
        self._refused = ""
        self._tried = -1
        self.link = link
        self.on_welcome(link, message)

    def _note_ended(self) -> None:
        if self._opened is None or self.reactor.seconds() - self._opened_s >= SETTLED_S:
            self._short = 0
        else:
            self._short += 1
        self.link = self._opened = self._attempt = None
        stopped, self._stopped = self._stopped, None
        if self._limit is not None and self._limit.active():
            self._limit.cancel()
        if stopped is not None:
            stopped.callback(None)
        if self.running and self._retry is None:
            self._tried = (self._tried + 1) % len(self.paths)
            # The first link that ends soon may have been that of a parent that was restarted.
            pause_s = min(RECONNECT_S * 2 ** min(max(self._short - 1, 0), 16), max(RECONNECT_S, MAX_RECONNECT_S))
            self._retry = self.reactor.callLater(0.0 if self._tried else pause_s, self._connect)


class _ClientFactory(ClientFactory):
    """Makes the protocol of one attempt."""

    noisy = False

    def __init__(self, client: LinkClient) -> None:
        self._client = client

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """IProtocolFactory API."""
        return self._client._build()  # noqa: SLF001 - one class in two

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        """ClientFactory API."""
        self._client._note_ended()  # noqa: SLF001

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        """ClientFactory API."""
        self._client._note_ended()  # noqa: SLF001
