"""Limits on the bytes of a connection to an origin, and on the size of a body.

Twisted's own client reads any number of fields, and its decoder turns a megabyte of gzip into a gigabyte.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from zope.interface import implementer

from livefeed.exceptions import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IProtocol, IProtocolFactory
    from twisted.python.failure import Failure

HEAD_BYTES = 262_144
"""Bytes of the heads of all answers to one pull, and of the content that arrives together with the last one."""

READ_BYTES = 8192
"""Bytes of an answer that are read in one turn of the reactor. Twisted reads 64 KiB, which took 80 ms of its thread as
10,000 chunks or fields of a few bytes. A document of 1 MiB takes 3 ms more in small reads."""

MAX_INTERIM = 16
"""Number of interim answers (1xx) in one pull. Proxies send one or two (RFC 9110, 15.2)."""

MAX_MEMBERS = 64
"""Number of gzip members in one document. Without a limit, empty members would take time without end."""

_TLS_ALERT = b"\x15\x03"

_log = Logger()


@dataclass(slots=True)
class Connections:
    """The connections of one source.

    :ivar allowance: number of bytes that may still be received in this pull.
    :ivar overrun: whether more came, so that the connection was cut.
    :ivar interim: number of interim answers (1xx) in this pull; after more than :data:`MAX_INTERIM`, the connection is
        cut as well.
    :ivar is_tls: whether the last answer began like a TLS alert (RFC 8446, 5.1), so that the URL should be https:.
    :ivar cut: whether the last connection that ended was cut by the other side instead of closed.
    """

    allowance: int = HEAD_BYTES
    overrun: bool = False
    interim: int = 0
    is_tls: bool = False
    cut: bool = False
    open: set[_Guarded] = field(default_factory=set)

    def begin(self) -> None:
        """Resets the counts at the beginning of a pull."""
        self.allowance, self.overrun, self.interim, self.cut = HEAD_BYTES, False, 0, False
        self.is_tls = False

    def abort(self) -> None:
        """Cuts all connections at once."""
        for connection in [*self.open]:
            connection.abort()


@dataclass(frozen=True, slots=True)
class _InterimCount:
    """Replaces the logger of Twisted's parser, and counts the interim answers that the parser logs."""

    connections: Connections

    def info(self, *_: object, **__: object) -> None:
        self.connections.interim += 1

    def __getattr__(self, name: str) -> Any:
        return getattr(_log, name)


class _Guarded(ProtocolWrapper):
    """Counts the received bytes, and cuts the connection when there are too many."""

    connections: Connections
    _has_begun: bool = False

    def makeConnection(self, transport: Any) -> None:
        """IProtocol API."""
        self.connections.open.add(self)
        below = transport
        while isinstance(below, ProtocolWrapper):
            # TLS is a wrapper as well. The transport at the bottom reads from the socket.
            below = cast("Any", below.transport)
        below.bufferSize = READ_BYTES
        super().makeConnection(transport)

    def dataReceived(self, data: bytes) -> None:
        """IProtocol API."""
        if not self._has_begun:
            self._has_begun, self.connections.is_tls = True, data.startswith(_TLS_ALERT)
        self.connections.allowance -= len(data)
        if self.connections.allowance < 0:
            self.connections.overrun = True
            self.abort()
            return
        parser = getattr(self.wrappedProtocol, "_parser", None)
        if parser is not None and "_log" not in vars(parser):
            # The parser logs nothing but interim answers, one line for each, and reports them in no other way. No
            # reference to it is kept, since it refers to this connection, which would be a cycle.
            parser._log = _InterimCount(self.connections)  # noqa: SLF001
        super().dataReceived(data)
        if self.connections.interim > MAX_INTERIM:
            self.abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """IProtocol API."""
        self.connections.open.discard(self)
        self.connections.cut = not reason.check(ConnectionDone)
        super().connectionLost(reason)

    def abort(self) -> None:
        """Cuts the connection at once."""
        assert self.transport is not None
        cast("Any", self.transport).abortConnection()


@implementer(IStreamClientEndpoint)
@dataclass(frozen=True, slots=True)
class GuardedEndpoint:
    """An endpoint whose connections are limited.

    :ivar endpoint: connects.
    :ivar connections: the counts and limits of all connections.
    """

    endpoint: IStreamClientEndpoint
    connections: Connections

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """IStreamClientEndpoint API."""
        # Otherwise both factories would log the beginning and the end of each connection.
        inner: Any = factory
        inner.noisy = False
        guarded = WrappingFactory(factory)
        guarded.noisy = False

        def build(factory: Any, protocol: Any) -> _Guarded:
            connection = _Guarded(factory, protocol)
            connection.connections = self.connections
            return connection

        guarded.protocol = build
        connecting: Deferred[Any] = self.endpoint.connect(guarded)
        return connecting.addCallback(lambda connection: connection.wrappedProtocol)


class Body(Protocol):
    """Collects the decoded body up to a size, and cuts the connection at that size.

    :param limit: size in bytes at which reading stops.
    :param connections: the connections.
    :param is_gzip: whether the body is coded with gzip.
    :ivar whole: fires with the body, or with its first *limit* bytes if it is longer. Fails with
        :class:`~livefeed.exceptions.SourceError`.
    """

    def __init__(self, limit: int, connections: Connections, *, is_gzip: bool) -> None:
        self.whole: Deferred[bytes] = Deferred(lambda _: connections.abort())
        self._connections = connections
        self._decode: Callable[[bytes], bytes] = _Gunzip(limit) if is_gzip else lambda data: data[:limit]
        self._chunks: list[bytes] = []
        self._room = limit
        self._broken = False

    def dataReceived(self, data: bytes) -> None:
        """IProtocol API."""
        if self._room <= 0 or self._broken:
            return
        try:
            decoded = self._decode(data)[: self._room]
        except zlib.error:
            self._broken = True
            self._connections.abort()
            return
        self._chunks.append(decoded)
        self._room -= len(decoded)
        if self._room <= 0:
            self._connections.abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """IProtocol API."""
        if self.whole.called:
            return
        if self._room <= 0:
            self.whole.callback(b"".join(self._chunks))
        elif self._broken or (isinstance(self._decode, _Gunzip) and reason.check(ResponseDone) and self._decode.is_cut):
            self.whole.errback(SourceError("what the origin sends is not gzip, though it says so"))
        elif self._connections.overrun:
            self.whole.errback(SourceError("the origin sends far more than a document of --max-bytes takes"))
        elif reason.check(ResponseDone) or self._ends_with_connection(reason):
            self.whole.callback(b"".join(self._chunks))
        else:
            self.whole.errback(SourceError("the connection was lost in the middle of the answer"))

    def _ends_with_connection(self, reason: Failure) -> bool:
        """Tells whether the end of the connection is that of a body without a length (RFC 9112, 6.3)."""
        if not reason.check(PotentialDataLoss) or self._connections.cut:
            return False
        return not (isinstance(self._decode, _Gunzip) and self._decode.is_cut)


class _Gunzip:
    """Decodes gzip (RFC 1952) with one or several members, up to a size.

    :param limit: number of decoded bytes of all calls together.
    """

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._member = zlib.decompressobj(wbits=31)
        self._members = 0

    @property
    def is_cut(self) -> bool:
        """Whether the data end within a member."""
        return not self._members or not self._member.eof

    def __call__(self, data: bytes) -> bytes:
        """Decodes the next data.

        :raises zlib.error: if the data are not gzip.
        """
        decoded = []
        while data and self._left > 0:
            if self._member.eof or not self._members:
                self._members += 1
                self._member = zlib.decompressobj(wbits=31)
            if self._members > MAX_MEMBERS:
                raise zlib.error("too many members")
            chunk = self._member.decompress(data, self._left)
            decoded.append(chunk)
            self._left -= len(chunk)
            data = self._member.unused_data
        return b"".join(decoded)
