"""Requests for a document, with the standard library, in a thread.

The module takes the place of an HTTP library: a client that polls asks for one document, once per tick, by one
connection, and a library would be larger than everything else here.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
import zlib
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from livefeed import __version__
from livefeed.client.actions import Failed
from livefeed.client.answers import Answer
from livefeed.client.failures import TIMEOUT_S, reason_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from livefeed.client.address import Address

USER_AGENT = f"livefeed/{__version__}"

_CHUNK_BYTES = 65_536
_MAX_ANSWER_S = 30.0
"""The longest time in seconds for a whole answer: a server could send a byte now and then."""

_ANSWER_FACTOR, _HEAD_BYTES = 2, 65_536
"""An answer may have so many times the bytes of the largest content, for chunks and a coding, and those of its head."""


class AnswerError(Exception):
    """An answer cannot be taken. The message says why."""


class _BoundedReader(io.RawIOBase):
    """The bytes of an answer with its head, for a time and up to a size.

    ``http.client`` reads interim answers (1xx), the lines of a head, and trailers for as long as they come.

    :param raw: reads from the socket, which has a time limit for each read.
    :param check: is given the number of bytes so far before and after each read, and raises if there are too many, or
        if the time is over.
    """

    def __init__(self, raw: io.RawIOBase, check: Callable[[int], None]) -> None:
        self._raw = raw
        self._check = check
        self._count = 0

    def readable(self) -> bool:
        """RawIOBase API."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """RawIOBase API."""
        self._check(self._count)
        count: int | None = cast("Any", self._raw).readinto(buffer)
        self._count += count or 0
        self._check(self._count)
        return count

    def close(self) -> None:
        """RawIOBase API."""
        self._raw.close()
        super().close()


class _BoundedResponse(http.client.HTTPResponse):
    """An answer that ends with an error when it is too large, or takes too long."""

    def __init__(self, sock: Any, *arguments: Any, check: Callable[[int], None], **named: Any) -> None:
        super().__init__(sock, *arguments, **named)
        self.fp: io.BufferedReader = io.BufferedReader(_BoundedReader(self.fp.detach(), check))


class _Connection(http.client.HTTPConnection):
    """A connection to the endpoint of an address, with the name of its URL.

    :param address: the document.
    :param tls: the settings of TLS; ``None`` for plain HTTP.
    """

    def __init__(self, address: Address, tls: ssl.SSLContext | None) -> None:
        # The port by which http.client leaves it out of Host.
        self.default_port = http.client.HTTP_PORT if tls is None else http.client.HTTPS_PORT
        super().__init__(address.host, address.port, timeout=TIMEOUT_S)
        self._endpoint = address.endpoint
        self._tls = tls

    def connect(self) -> None:
        """HTTPConnection API."""
        self.sock = socket.create_connection(self._endpoint, TIMEOUT_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is not None:
            self.sock = self._tls.wrap_socket(self.sock, server_hostname=self.host)


@dataclass(slots=True)
class Requests:
    """Requests to one server, one at a time, on a connection that is kept.

    :param address: the document.
    :param tls: the settings of TLS; ``None`` for plain HTTP.
    :param max_bytes: the largest content.
    """

    # required parameters
    address: Address
    tls: ssl.SSLContext | None
    max_bytes: int

    # internal state
    _connection: http.client.HTTPConnection | None = None

    def get(self, fields: dict[str, str]) -> Answer | Failed:
        """Asks for the document; blocks for up to :data:`_MAX_ANSWER_S` and the time of a connection.

        :param fields: further fields of the request.
        """
        was_kept = self._connection is not None
        try:
            try:
                return self._ask(fields)
            except (ConnectionError, http.client.HTTPException):
                self.close()
                if not was_kept:
                    raise
                # The server may have closed a connection that nobody used for a while.
                return self._ask(fields)
        except AnswerError as error:
            self.close()
            return Failed(str(error), was_reached=True)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            return Failed(reason_of(error, self.address))

    def close(self) -> None:
        """Closes the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError):
                connection.close()

    def _ask(self, fields: dict[str, str]) -> Answer:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._new_connection()
        headers = {"Accept": "application/json", "Accept-Encoding": "gzip", "User-Agent": USER_AGENT, **fields}
        connection.request("GET", self.address.target, headers=headers)
        check = partial(self._check, time.monotonic() + _MAX_ANSWER_S)
        cast("Any", connection).response_class = partial(_BoundedResponse, check=check)
        with connection.getresponse() as response:
            found: dict[str, str] = {}
            for name, value in response.getheaders():
                found[name.lower()] = f"{found[name.lower()]}, {value}" if name.lower() in found else value
            content = self._content(response, found.get("content-encoding", "identity").strip().lower())
            if response.will_close:
                self.close()
            return Answer(response.status, found, content)

    def _new_connection(self) -> http.client.HTTPConnection:
        return _Connection(self.address, self.tls)

    def _check(self, deadline: float, count: int) -> None:
        """Raises if an answer is too large, or takes too long.

        :param count: the number of its bytes so far.
        """
        if count > _ANSWER_FACTOR * self.max_bytes + _HEAD_BYTES:
            raise AnswerError(f"{self.address.url} has more than {self.max_bytes} bytes, or fields without end")
        if time.monotonic() > deadline:
            raise AnswerError(f"{self.address.url} took more than {_MAX_ANSWER_S:g} s to arrive")

    def _content(self, response: http.client.HTTPResponse, coding: str) -> bytes:
        if coding not in ("identity", "gzip", "x-gzip", ""):
            raise AnswerError(f"{self.address.url} has the content coding {coding!r:.40}, which was not asked for")
        inflater = zlib.decompressobj(wbits=31) if "gzip" in coding else None
        pieces: list[bytes] = []
        size = 0
        while chunk := response.read1(_CHUNK_BYTES):
            try:
                piece = chunk if inflater is None else inflater.decompress(chunk, self.max_bytes + 1 - size)
            except zlib.error as error:
                raise AnswerError(f"{self.address.url} has a content that is no gzip: {error}") from None
            pieces.append(piece)
            size += len(piece)
            if size > self.max_bytes or (inflater is not None and inflater.unconsumed_tail):
                raise AnswerError(f"{self.address.url} has more than {self.max_bytes} bytes")
            if inflater is not None and inflater.unused_data:
                # The inflater keeps all of it, and copies that for each further chunk.
                raise AnswerError(f"{self.address.url} has bytes behind the end of its gzip")
        if response.length or (inflater is not None and pieces and not inflater.eof):
            raise AnswerError(f"{self.address.url} ends in the middle of its content")
        return b"".join(pieces)
