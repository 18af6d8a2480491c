"""The PROXY protocol, versions 1 and 2: a proxy names the address of its client in front of all other bytes.

Rules: an endpoint either requires the header or never reads one, as the specification demands (haproxy.org,
proxy-protocol.txt, 2 and 5). Only trusted proxies may send it. Not one byte behind it is taken from the socket: they
belong to TLS, or to HTTP.

The header's fields behind the addresses (TLV) are skipped, also their checksum: TCP has one already.
"""

from __future__ import annotations

import re
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from livefeed.transport.address_limits import MALFORMED_HEADER, SLOW_HEADER, UNTRUSTED_PROXY
from livefeed.transport.sockets import reset_when_closed

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.transport.address_limits import Refusals
    from livefeed.transport.addresses import Networks
    from livefeed.transport.interfaces import ConnectionPool, MakeConnection

V1_BYTES = 107
"""Limit of a header of version 1 in bytes, with its line end (specification, 2.1)."""

V2_BYTES = 4096
"""Limit of a header of version 2 in bytes. HAProxy's have 28 or 52, and those of cloud balancers with their names of
connections some hundreds. The specification (2.2) asks receivers to take 536 at least."""

_V1 = b"PROXY "
_V2 = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_FIXED_BYTES = 16

_PORT = rb"(0|[1-9][0-9]{0,4})"
_LINE = re.compile(
    rb"PROXY (?:UNKNOWN(?: [^\r\n]*)?|TCP([46]) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) %s %s)\r\n" % (_PORT, _PORT)
)
_FAMILIES = {b"4": socket.AF_INET, b"6": socket.AF_INET6}
_MAX_PORT = 65535

_LOCAL, _PROXY = 0x20, 0x21  # version and command
_TCP4, _TCP6 = 0x11, 0x21
# Family and transport to the number of bytes of the addresses (specification, 2.2). Of those that are not TCP over IP
# the addresses are not used.
_ADDRESS_BYTES = {0x00: 0, _TCP4: 12, 0x12: 12, _TCP6: 36, 0x22: 36, 0x31: 216, 0x32: 216}


class MalformedHeaderError(ValueError):
    """The bytes are no header of the PROXY protocol."""


@dataclass(frozen=True, slots=True)
class Header:
    """A whole header.

    :ivar length: its bytes.
    :ivar client: host and port of the client; ``None`` if the proxy speaks for itself, or does not know: then the
        address of the proxy is to be used.
    """

    length: int
    client: tuple[str, int] | None


def parse_header(data: bytes) -> Header | None:
    """Parses the header that the data begins with; ``None`` if its end is missing.

    :raises MalformedHeaderError: if there is no header.
    """
    if data[: len(_V2)] == _V2[: len(data)]:
        return _parse_v2(data) if len(data) >= _V2_FIXED_BYTES else None
    if data[: len(_V1)] == _V1[: len(data)]:
        return _parse_v1(data)
    raise MalformedHeaderError


def _parse_v1(data: bytes) -> Header | None:
    end = data.find(b"\r\n", 0, V1_BYTES) + 2
    if end < 2:  # noqa: PLR2004 - the bytes of the line end
        if len(data) >= V1_BYTES:
            raise MalformedHeaderError
        return None
    line = _LINE.fullmatch(data, 0, end)
    if line is None:
        raise MalformedHeaderError
    version, source, destination, source_port, destination_port = line.groups()
    if version is None:
        return Header(end, None)
    family = _FAMILIES[version]
    try:
        host = socket.inet_ntop(family, socket.inet_pton(family, source.decode()))
        socket.inet_pton(family, destination.decode())
    except OSError:
        raise MalformedHeaderError from None
    port = int(source_port)
    if max(port, int(destination_port)) > _MAX_PORT:
        raise MalformedHeaderError
    return Header(end, (host, port))


def _parse_v2(data: bytes) -> Header | None:
    command, kind = data[12], data[13]
    length = _V2_FIXED_BYTES + int.from_bytes(data[14:_V2_FIXED_BYTES])
    least = _ADDRESS_BYTES.get(kind)
    # The addresses of a LOCAL command may be left out, and its family may be anything that exists.
    if command not in (_LOCAL, _PROXY) or least is None or length > V2_BYTES:
        raise MalformedHeaderError
    if command == _PROXY and length < _V2_FIXED_BYTES + least:
        raise MalformedHeaderError
    if len(data) < length:
        return None
    if command == _LOCAL or kind not in (_TCP4, _TCP6):
        return Header(length, None)
    family, size = (socket.AF_INET, 4) if kind == _TCP4 else (socket.AF_INET6, 16)
    addresses = data[_V2_FIXED_BYTES : _V2_FIXED_BYTES + least]
    host = socket.inet_ntop(family, addresses[:size])
    return Header(length, (host, int.from_bytes(addresses[2 * size : 2 * size + 2])))


@dataclass(frozen=True, slots=True)
class ProxyHeaders:
    """The rules of endpoints that require the header.

    :ivar trusted: the networks of the proxies that may send it.
    :ivar refusals: counts the connections that are closed.
    :ivar admits_client: tells whether a client may connect now, by the name that its header gives.
    """

    trusted: Networks
    refusals: Refusals
    admits_client: Callable[[object], bool]

    def admits(self, name: object) -> bool:
        """Tells whether a peer may send the header; counts it if not.

        :param name: as ``socket.accept`` gives it.
        """
        if self.trusted.has_name(name):
            return True
        self.refusals.note(UNTRUSTED_PROXY, name)
        return False

    def before(self, make_connection: MakeConnection) -> MakeConnection:
        """Gives a function that makes connections that read the header, and then become those of *make_connection*."""

        def make(pool: ConnectionPool, sock: socket.socket, peer: object, /) -> HeaderConnection:
            return HeaderConnection(pool, sock, peer, self, make_connection)

        return make


class HeaderConnection:
    """A connection whose header is not whole yet. The pool replaces it by the connection that comes behind.

    The bytes of the header are looked at first, and then taken one for one. Two calls to the kernel take a header that
    arrives whole, as nearly all do.

    :param pool: holds the connection.
    :param sock: accepted, and not blocking.
    :param peer: the name of the proxy, as ``socket.accept`` gives it.
    :param rules: the rules of the endpoint.
    :param make_connection: makes the connection that takes over.
    """

    __slots__ = ("_is_over", "_make_connection", "_peer", "_read", "_rules", "fd", "over_capacity", "pool", "sock")

    def __init__(
        self,
        pool: ConnectionPool,
        sock: socket.socket,
        peer: object,
        rules: ProxyHeaders,
        make_connection: MakeConnection,
    ) -> None:
        self.pool = pool
        self.sock = sock
        self.fd = sock.fileno()
        self.over_capacity = False
        self._peer = peer
        self._rules = rules
        self._make_connection = make_connection
        self._read = b""
        self._is_over = False

    def start(self) -> None:
        """PooledConnection API. The deadline of a handshake is that of the header as well."""

    def handle(self, events: int) -> None:
        """PooledConnection API. Reads what there is of the header, whatever the events are."""
        if self._is_over:
            return
        self.pool.did_more = True
        try:
            # Nothing that is not taken below: the kernel would report it again and again.
            data = self.sock.recv(V2_BYTES - len(self._read), socket.MSG_PEEK)
            if not data:
                self._end()
                return
            header = parse_header(self._read + data)
            self._take(len(data) if header is None else header.length - len(self._read))
        except BlockingIOError:
            return
        except MalformedHeaderError:
            self._rules.refusals.note(MALFORMED_HEADER, self._peer)
            self.abortConnection()
        except OSError:
            self._end()
        else:
            if header is not None:
                self._become(header)

    def _take(self, count: int) -> None:
        """Takes bytes that have been looked at."""
        while count > 0:
            data = self.sock.recv(count)
            self._read += data
            count -= len(data)

    def _become(self, header: Header) -> None:
        name = header.client or self._peer
        if header.client is not None and not self._rules.admits_client(name):
            self.abortConnection()
            return
        connection = self._make_connection(self.pool, self.sock, name)
        self._is_over = True
        self.pool.replace(self, connection)

    def expire(self) -> None:
        """PooledConnection API. The header took too long."""
        self._rules.refusals.note(SLOW_HEADER, self._peer)
        self.abortConnection()

    @property
    def reads(self) -> bool:
        """PooledConnection API."""
        return True

    @property
    def polls(self) -> bool:
        """PooledConnection API. The client has not sent a request yet."""
        return False

    def retire(self) -> None:
        """PooledConnection API."""
        self._end()

    def renew_answers(self) -> None:
        """PooledConnection API. It has no answers yet."""

    def is_active(self, since: float) -> bool:
        """PooledConnection API."""
        return False

    def close_if_idle(self) -> None:
        """PooledConnection API."""
        self._end()

    def abortConnection(self) -> None:
        """PooledConnection API."""
        if not self._is_over:
            reset_when_closed(self.sock)
            self._end()

    def _end(self) -> None:
        if not self._is_over:
            self._is_over = True
            self.pool.close_later(self)

    def close(self) -> None:
        """PooledConnection API."""
        with suppress(OSError):
            self.sock.close()

    def set_deadline(self, seconds: float | None) -> None:
        """PooledConnection API."""
        if seconds is None:
            self.pool.deadlines.pop(self, None)
        else:
            self.pool.deadlines[self] = self.pool.now + seconds
