"""The canary: a client of the parent that shows that a worker serves the newest version, as a client would get it.

One end of a pair of sockets goes to the worker, which takes it as a connection of one of its endpoints: with TLS and a
PROXY header where the endpoint has them. The public port would reach any worker, and this reaches one.

Rule: an answer is bounded in size and time, as if the worker were a stranger.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.ssl import CertificateOptions
from twisted.protocols.tls import TLSMemoryBIOFactory

from livefeed.exceptions import LivefeedError, first_line
from livefeed.process.descriptions import split_description

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IReactorSocket, IReactorTime
    from twisted.python.failure import Failure

    class CanaryReactor(IReactorTime, IReactorSocket):
        """The parts of a reactor that a canary uses."""


CANARY_S = 5.0
"""Seconds that one canary may take. A healthy worker takes milliseconds."""

MAX_HEAD_BYTES = 16 * 1024
"""The largest size in bytes of the head of an answer. One of livefeed has less than 1 KB."""

PROXY_HEADER = b"PROXY UNKNOWN :: :: 0 0\r\n"
"""The header of a proxy that checks its server, without the address of a client: version 1 of the PROXY protocol.

Receivers ignore the addresses, and may leave them out; Twisted's requires them."""

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_VERSION = re.compile(rb"\r\nlivefeed-version: *([^\r\n]*)\r\n", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d{1,12})\r\n", re.IGNORECASE)
_END = b"\r\n\r\n"


class CanaryError(LivefeedError):
    """A worker has not served its canary. The message gives the reason."""


@dataclass(frozen=True, slots=True)
class Question:
    """The request of a canary.

    :ivar feed: the name of the feed.
    :ivar version: the newest version; empty if there is none yet, or if it must not be shown.
    """

    feed: str
    version: str


@dataclass(frozen=True, slots=True)
class Way:
    """How to speak to an endpoint.

    :ivar is_tls: whether it has TLS.
    :ivar has_proxy_header: whether it expects a header of the PROXY protocol in front of everything.
    """

    is_tls: bool
    has_proxy_header: bool

    @classmethod
    def of(cls, description: str) -> Way:
        """Gives the way to speak to the endpoint of a description."""
        kind, *parts = split_description(description)
        has_proxy_header = kind == "haproxy"
        if has_proxy_header:
            kind = parts[0] if parts else ""
        return cls(kind in ("tls", "ssl"), has_proxy_header)


class _CanaryProtocol(TwistedProtocol):
    """Sends one request, and reads its answer.

    :param request: the bytes of the request.
    :ivar answer: fires with the status and the version of the answer once its whole body has come, and fails with a
        CanaryError.
    """

    def __init__(self, request: bytes) -> None:
        self.answer: Deferred[tuple[int, str]] = Deferred()
        self._request = request
        self._head = b""
        self._left = -1  # bytes of the body that have not come yet; negative before the end of the head
        self._status, self._version = 0, ""

    def connectionMade(self) -> None:
        """IProtocol API."""
        assert self.transport is not None
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        """IProtocol API."""
        if self._left < 0:
            self._head += data
            head, end, data = self._head.partition(_END)
            if len(head) > MAX_HEAD_BYTES:
                self.fail("the head of its answer is too large")
            if not end or not self._read(head + b"\r\n"):
                return
        self._left -= len(data)
        if self._left <= 0 and not self.answer.called:
            self.answer.callback((self._status, self._version))

    def _read(self, head: bytes) -> bool:
        status, version, length = _STATUS.match(head), _VERSION.search(head), _LENGTH.search(head)
        has_body = status is not None and status[1] != b"304"
        if status is None or (has_body and length is None):
            self.fail("its answer is not one of livefeed")
            return False
        self._status, self._version = int(status[1]), version[1].decode("latin-1") if version else ""
        self._left = int(length[1]) if has_body and length is not None else 0
        return True

    def fail(self, why: str) -> None:
        """Ends the check without an answer."""
        if not self.answer.called:
            self.answer.errback(CanaryError(why))

    def close(self) -> None:
        """Ends the connection."""
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()

    def connectionLost(self, reason: Failure | None = None) -> None:
        """IProtocol API."""
        why = "" if reason is None or reason.check(ConnectionDone) else f": {first_line(reason.value)}"
        self.fail(f"it ended the connection{why}")


@dataclass(eq=False)
class Canary:
    """The canary of one worker.

    :param reactor: connects and measures.
    :param give: passes one end of a pair of sockets on to the worker, for the endpoint with this index. It does not
        keep the descriptor.
    :param ways: how to speak to each endpoint.
    :param newest: gives the feed to ask for.
    """

    # required parameters
    reactor: CanaryReactor
    give: Callable[[int, int], None]
    ways: Sequence[Way]
    newest: Callable[[], Question]

    # internal state
    _tls: CertificateOptions = field(default_factory=CertificateOptions)  # verifies nothing

    async def check_all(self) -> float:
        """Checks each endpoint, one after the other.

        :returns: the seconds that the slowest took.
        :raises CanaryError: if one was not served.
        """
        return max([await self.check(endpoint) for endpoint in range(len(self.ways))])

    async def check(self, endpoint: int) -> float:
        """Sends a request on one endpoint, and checks that the worker answers with the newest version.

        :param endpoint: the index of the endpoint.
        :returns: the seconds that it took.
        :raises CanaryError: if it did not.
        """
        before, start_s = self.newest(), self.reactor.seconds()
        protocol = _CanaryProtocol(_request(before))
        timeout = self.reactor.callLater(CANARY_S, protocol.fail, f"there was no answer within {CANARY_S:.0f} s")
        try:
            self._connect(endpoint, protocol)
            status, version = await protocol.answer
        except OSError as error:
            raise CanaryError(f"it could not be connected: {error.strerror or error}") from None
        finally:
            if timeout.active():
                timeout.cancel()
            protocol.close()
        # A version that was published meanwhile may be served already, and one that was replaced is served no more.
        after = self.newest()
        wanted = {each.version for each in (before, after) if each.feed == before.feed and each.version}
        if wanted and version not in wanted:
            what = f"the version {version}" if version else f"no version, and status {status}"
            raise CanaryError(f"it serves {what}, and the newest is {after.version or before.version}")
        return self.reactor.seconds() - start_s

    def _connect(self, endpoint: int, protocol: _CanaryProtocol) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            self.give(endpoint, theirs.fileno())
            way = self.ways[endpoint]
            factory: Any = Factory.forProtocol(lambda: protocol)
            factory.noisy = False
            if way.is_tls:
                # With the clock of this reactor: writes are collected until its next turn.
                factory = TLSMemoryBIOFactory(self._tls, True, factory, clock=self.reactor)
                factory.noisy = False
            if way.has_proxy_header:
                # Before everything else, also before the handshake.
                ours.send(PROXY_HEADER)
            # The reactor uses a duplicate of the descriptor.
            self.reactor.adoptStreamConnection(ours.fileno(), ours.family, factory)


def _request(question: Question) -> bytes:
    """Gives the bytes of a request, which is answered without a document if the version is the newest one."""
    condition = f'If-None-Match: "{question.version}"\r\n' if question.version else ""
    return f"GET /{question.feed} HTTP/1.1\r\nHost: localhost\r\n{condition}Connection: close\r\n\r\n".encode()
