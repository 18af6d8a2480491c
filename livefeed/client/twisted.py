"""The front end for Twisted: a service that follows a feed.

Follower(reactor, "https://example.org/feed", print).setServiceParent(application)
"""

from __future__ import annotations

import builtins
import inspect
import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet import error as errors
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger

from livefeed.client.actions import Failed
from livefeed.client.address import Address
from livefeed.client.driver import Driver
from livefeed.client.failures import TIMEOUT_S, tls_context
from livefeed.client.protocol import MAX_BYTES
from livefeed.client.protocol import Protocol as Decisions
from livefeed.client.tls import TlsChannel
from livefeed.client.token import Token
from livefeed.client.trust import chosen_trust
from livefeed.client.update import DocumentReader, Update, read_floats
from livefeed.threads import defer_to_new_thread

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from twisted.internet.interfaces import IDelayedCall
    from twisted.python.failure import Failure

    from livefeed.client.answers import Answer
    from livefeed.client.driver import Receiver
    from livefeed.client.update import Shown
    from livefeed.client.verification import Trust
    from livefeed.exceptions import FollowError


class Follower(Service):
    """A service that follows a feed, or a part of it, while it runs.

    :param reactor: the connections, the clock and the threads.
    :param url: the URL of the document. Its fragment may be a JSON Pointer to a part.
    :param on_update: is called with an :class:`Update` at each change of version, state or line. If it gives a Deferred
        or a coroutine, the next call waits until that is done, and gives the newest update. Its errors are logged.
    :param on_error: is called with a :class:`FollowError` if trying again does not help; by default it is logged.
    :param pointer: a JSON Pointer, in place of a fragment.
    :param parse: reads a document.
    :param cacert: a PEM file with the authorities that are trusted, instead of those of the system.
    :param verify: whether the server's certificate is checked.
    :param max_bytes: the largest document that is taken, in bytes.
    :param websocket: whether WebSockets are tried, before polls.
    :param token: the token for a protected feed, or a function that gives the present one. It is called in the
        reactor's thread before each connection and each poll, so it must not block.
    :param keys: a file with the public keys of the signer, as a JSON Web Key Set. Without one, signatures are not
        verified; with one, no document is shown that these keys have not signed. Parts are not signed.
    :param connect: ``HOST:PORT`` to connect to, in place of the URL's, such as a server that its name does not lead to
        yet. The name of the requests and of the certificate is that of the URL.
    :raises FollowError: if the URL, the pointer, a file or the token is wrong.
    """

    _log = Logger()

    def __init__(  # noqa: PLR0913 - all but three have defaults
        self,
        reactor: Any,
        url: str,
        on_update: Callable[[Update[Any]], object],
        *,
        on_error: Callable[[FollowError], object] | None = None,
        pointer: str = "",
        parse: Callable[[bytes], Any] = read_floats,
        cacert: str | Path | None = None,
        verify: bool = True,
        max_bytes: int = MAX_BYTES,
        websocket: bool = True,
        token: str | Callable[[], str] | None = None,
        keys: str | Path | Trust | None = None,
        connect: str | None = None,
    ) -> None:
        self._address = Address.of(url, pointer, connect)
        self._token = Token.of(token, self._address)
        self._tls = tls_context(self._address, cacert, verify=verify)
        self._trust = chosen_trust(keys, self._address, is_part=bool(pointer) or "#" in url)
        self._loop = _Loop(reactor, self._address, self._tls)
        self._on_update = on_update
        self._on_error = on_error
        self._reader = DocumentReader(parse)
        self._max_bytes = max_bytes
        self._websocket = websocket
        self._driver: Driver | None = None
        self._shown: Shown | None = None
        self._seen: Shown | None = None
        self._busy: Deferred[Any] | None = None

    @property
    def age_s(self) -> float | None:
        """Seconds since the server last confirmed the document, now; ``None`` if that is not known."""
        return None if self._driver is None else self._driver.age_s()

    @property
    def waiting_s(self) -> float | None:
        """Seconds for which a newer document has been held back, now; ``None`` if none waits."""
        return None if self._driver is None else self._driver.waiting_s()

    def refresh(self) -> None:
        """Asks the server at once, unless a WebSocket is open: a document that has ended may go on."""
        if self._driver is not None:
            self._driver.refresh()

    def startService(self) -> None:
        """IService API."""
        super().startService()
        decisions = Decisions(self._address, self._max_bytes, self._websocket, trust=self._trust)
        self._driver = Driver(decisions, self._loop, self._tls, self._show, self._stop, self._token)
        self._driver.start()

    def stopService(self) -> None:
        """IService API. A call that is not done is cancelled."""
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.stop()
        self._shown = self._seen = None
        if self._busy is not None:
            self._busy.cancel()
        super().stopService()

    def _show(self, shown: Shown) -> None:
        self._shown = shown
        if self._busy is None:
            self._deliver()

    def _stop(self, error: FollowError) -> None:
        if self._on_error is None:
            self._log.error("cannot follow {url}: {why}", url=self._address.url, why=str(error))
        else:
            self._on_error(error)

    def _deliver(self) -> None:
        """Calls the user until there is nothing new, or the user is busy."""
        while self._shown is not None and self._shown is not self._seen:
            self._seen = self._shown
            try:
                data = self._reader.read(self._shown.content)
                result = self._on_update(Update.of(self._shown, data, self.age_s, self.waiting_s))
            except Exception:
                self._log.failure("an update of {url} was not taken", url=self._address.url)
                continue
            if inspect.iscoroutine(result):
                result = Deferred.fromCoroutine(result)
            if isinstance(result, Deferred):
                self._busy = result
                result.addErrback(self._failed)
                result.addCallback(self._done)
                return

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._log.failure("an update of {url} was not taken", failure, url=self._address.url)

    def _done(self, _: object) -> None:
        self._busy = None
        # Not from here: a long row of Deferreds that have fired already would be a deep stack.
        self._loop.call_later(0, self._deliver_if_idle)

    def _deliver_if_idle(self) -> None:
        if self._busy is None:
            self._deliver()


@dataclass(slots=True, eq=False)
class _Loop:
    """The reactor, as the driver uses it."""

    reactor: Any
    address: Address
    tls: ssl.SSLContext | None

    def connect(self, receiver: Receiver) -> _Wire:
        """Loop API."""
        return _Wire(self, receiver)

    def call_later(self, delay_s: float, call: Callable[[], object]) -> _Timer:
        """Loop API."""
        return _Timer(self.reactor.callLater(delay_s, call))

    def in_thread(self, work: Callable[[], Answer | Failed], done: Callable[[Answer | Failed], object]) -> None:
        """Loop API."""
        try:
            asked = defer_to_new_thread(self.reactor, work)
        except OSError as error:
            self.reactor.callLater(0, done, Failed(f"no thread can be started: {error.strerror}"))
            return
        asked.addCallback(done)
        asked.addErrback(lambda failure: Logger().failure("a request has failed", failure))


@dataclass(slots=True, eq=False)
class _Timer:
    """A delayed call that may be cancelled at any time."""

    call: IDelayedCall

    def cancel(self) -> None:
        """Timer API."""
        if self.call.active():
            self.call.cancel()


class _Wire(Protocol):
    """A connection, with TLS if the address wants that."""

    def __init__(self, loop: _Loop, receiver: Receiver) -> None:
        self._receiver: Receiver | None = receiver
        self._tls = None if loop.tls is None else TlsChannel(loop.tls, loop.address.host)
        self._is_connected = False
        self._attempt: Deferred[Any] | None = None
        # In another turn: the receiver is told its wire first.
        self._begin = loop.reactor.callLater(0, self._connect, loop)

    def _connect(self, loop: _Loop) -> None:
        try:
            endpoint = HostnameEndpoint(loop.reactor, *loop.address.endpoint, timeout=TIMEOUT_S)
        except ValueError as error:
            self._end(error)
            return
        factory = Factory.forProtocol(lambda: self)
        factory.noisy = False
        self._attempt = endpoint.connect(factory)
        self._attempt.addErrback(lambda failure: self._end(_plain(failure.value)))

    def connectionMade(self) -> None:
        """IProtocol API."""
        self._is_connected = True
        if self._receiver is None:
            self.drop()
        elif self._tls is None:
            self._receiver.connected()
        else:
            self._tls.begin()
            self._flush()

    def dataReceived(self, data: bytes) -> None:
        """IProtocol API."""
        if self._receiver is None:
            return
        if self._tls is None:
            self._receiver.data_received(data)
            return
        was_ready = self._tls.is_ready
        try:
            data = self._tls.receive(data)
        except ssl.SSLError as error:
            self._flush()
            self._end(error)
            self.drop()
            return
        self._flush()
        if self._tls.is_ready and not was_ready:
            self._receiver.connected()
        if data and self._receiver is not None:
            self._receiver.data_received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """IProtocol API."""
        self._end(_plain(reason.value))

    def write(self, data: bytes) -> None:
        """Wire API."""
        if not self._is_connected or self.transport is None:
            return
        if self._tls is None:
            self.transport.write(data)
        elif self._tls.is_ready and data:
            self.transport.write(self._tls.send(data))

    def drop(self) -> None:
        """Wire API."""
        self._receiver = None
        if self._is_connected and self.transport is not None:
            self.transport.loseConnection()
        elif self._begin.active():
            self._begin.cancel()
        elif self._attempt is not None:
            self._attempt.cancel()

    def _flush(self) -> None:
        if self._tls is not None and self.transport is not None:
            data = self._tls.to_send()
            if data:
                self.transport.write(data)

    def _end(self, error: BaseException | None) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.ended(error)


def _plain(error: BaseException | None) -> BaseException | None:
    """Gives the error of Python that an error of Twisted stands for."""
    if isinstance(error, errors.ConnectionDone):
        return None
    if isinstance(error, errors.DNSLookupError):
        return socket.gaierror(socket.EAI_NONAME, str(error))
    if isinstance(error, errors.ConnectionRefusedError):
        return builtins.ConnectionRefusedError()
    if isinstance(error, errors.TimeoutError | errors.TCPTimedOutError):
        return builtins.TimeoutError()
    if isinstance(error, errors.ConnectionLost | errors.ConnectError):
        return ConnectionError(str(error))
    return error
