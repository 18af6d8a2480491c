"""Connections to an origin that take no more than they may, and bodies that stop growing in time.

Twisted's own client reads as many fields as come, and its decoder makes a gigabyte of a megabyte of gzip.
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
"""The heads of the answers to one pull, and what comes with the last of them in one piece."""

READ_BYTES = 8192
"""Bytes of an answer that are read in one turn of the reactor. Twisted reads 64 KiB: as 10,000 chunks or fields of a
few bytes these took 80 ms of its thread. A document of 1 MiB takes 3 ms more in small pieces."""

MAX_INTERIM = 16
"""So many interim answers (1xx) may come before the answers to one pull: proxies send one or two (RFC 9110, 15.2)."""

MAX_MEMBERS = 64
"""The members of gzip in one document at most: empty ones cost time without end."""

_TLS_ALERT = b"\x15\x03"

_log = Logger()


@dataclass(slots=True)
class Wire:
    """The connections of one source.

    :ivar allowance: the bytes that may still be received in this pull.
    :ivar overrun: whether more came, so that the connection was cut.
    :ivar interim: the interim answers (1xx) in this pull; more than :data:`MAX_INTERIM` have it cut as well.
    :ivar is_tls: whether the last answer began as an alert of TLS does (RFC 8446, 5.1): it is for https:.
    :ivar cut: whether the last connection that ended was cut by the other side, not closed.
    """

    allowance: int = HEAD_BYTES
    overrun: bool = False
    interim: int = 0
    is_tls: bool = False
    cut: bool = False
    open: set[_Guarded] = field(default_factory=set)

    def begin(self) -> None:
        """A pull begins."""
        self.allowance, self.overrun, self.interim, self.cut = HEAD_BYTES, False, 0, False
        self.is_tls = False

    def abort(self) -> None:
        """Cuts all connections at once."""
        for connection in [*self.open]:
            connection.abort()


@dataclass(frozen=True, slots=True)
class _InterimCount:
    """Stands in the place of the logger of Twisted's parser."""

    wire: Wire

    def info(self, *_: object, **__: object) -> None:
        self.wire.interim += 1

    def __getattr__(self, name: str) -> Any:
        return getattr(_log, name)


class _Guarded(ProtocolWrapper):
    """Counts what is received, and cuts the connection when it is too much."""

    wire: Wire
    _has_begun: bool = False

    def makeConnection(self, transport: Any) -> None:
        """IProtocol API."""
        self.wire.open.add(self)
        below = transport
        while isinstance(below, ProtocolWrapper):
            # TLS is one, and reads from what is below it.
            below = cast("Any", below.transport)
        below.bufferSize = READ_BYTES
        super().makeConnection(transport)

    def dataReceived(self, data: bytes) -> None:
        """IProtocol API."""
        if not self._has_begun:
            self._has_begun, self.wire.is_tls = True, data.startswith(_TLS_ALERT)
        self.wire.allowance -= len(data)
        if self.wire.allowance < 0:
            self.wire.overrun = True
            self.abort()
            return
        parser = getattr(self.wrappedProtocol, "_parser", None)
        if parser is not None and "_log" not in vars(parser):
            # All that it logs are interim answers, a line for each. There is no other way to hear of them. The parser
            # is not kept here: it leads back to this connection, and that would be a cycle.
            parser._log = _InterimCount(self.wire)  # noqa: SLF001
        super().dataReceived(data)
        if self.wire.interim > MAX_INTERIM:
            self.abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """IProtocol API."""
        self.wire.open.discard(self)
        self.wire.cut = not reason.check(ConnectionDone)
        super().connectionLost(reason)

    def abort(self) -> None:
        """Cuts the connection without a word."""
        assert self.transport is not None
        cast("Any", self.transport).abortConnection()


@implementer(IStreamClientEndpoint)
@dataclass(frozen=True, slots=True)
class GuardedEndpoint:
    """An endpoint whose connections are counted.

    :ivar endpoint: what connects.
    :ivar wire: what counts them.
    """

    endpoint: IStreamClientEndpoint
    wire: Wire

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """IStreamClientEndpoint API."""
        # Both would log when each connection begins, and when it ends.
        inner: Any = factory
        inner.noisy = False
        guarded = WrappingFactory(factory)
        guarded.noisy = False

        def build(factory: Any, protocol: Any) -> _Guarded:
            connection = _Guarded(factory, protocol)
            connection.wire = self.wire
            return connection

        guarded.protocol = build
        connecting: Deferred[Any] = self.endpoint.connect(guarded)
        return connecting.addCallback(lambda connection: connection.wrappedProtocol)


class Body(Protocol):
    """Collects a body, decoded, up to a size, and then cuts the connection.

    :param limit: bytes; one more than this is never kept.
    :param wire: the connections.
    :param is_gzip: whether it comes in gzip, else as it is.
    :ivar whole: fires with the body; with *limit* bytes if there are more. Fails with :class:`SourceError`.
    """

    def __init__(self, limit: int, wire: Wire, *, is_gzip: bool) -> None:
        self.whole: Deferred[bytes] = Deferred(lambda _: wire.abort())
        self._wire = wire
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
            self._wire.abort()
            return
        self._chunks.append(decoded)
        self._room -= len(decoded)
        if self._room <= 0:
            self._wire.abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """IProtocol API."""
        if self.whole.called:
            return
        if self._room <= 0:
            self.whole.callback(b"".join(self._chunks))
        elif self._broken or (isinstance(self._decode, _Gunzip) and reason.check(ResponseDone) and self._decode.is_cut):
            self.whole.errback(SourceError("what the origin sends is not gzip, though it says so"))
        elif self._wire.overrun:
            self.whole.errback(SourceError("the origin sends far more than a document of --max-bytes takes"))
        elif reason.check(ResponseDone) or (reason.check(PotentialDataLoss) and not self._wire.cut and self._is_whole):
            self.whole.callback(b"".join(self._chunks))
        else:
            self.whole.errback(SourceError("the connection was lost in the middle of the answer"))

    @property
    def _is_whole(self) -> bool:
        return not (isinstance(self._decode, _Gunzip) and self._decode.is_cut)


class _Gunzip:
    """Decodes gzip (RFC 1952), of one member or several, and stops where it is enough.

    :param limit: bytes; no more are given by all calls together.
    """

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._member = zlib.decompressobj(wbits=31)
        self._members = 0

    @property
    def is_cut(self) -> bool:
        """Whether what came is not all of it."""
        return not self._members or not self._member.eof

    def __call__(self, data: bytes) -> bytes:
        """Gives what the data decode to.

        :raises zlib.error: if they are not gzip.
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
