"""The ends of a connection: at once, with an answer, with a refusal, or when its deadline passes.

Rule: nothing here looks at the fields of a head. ``head_checks`` decides which bytes are refused.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.protocols.policies import ProtocolWrapper

from livefeed.web import problems
from livefeed.web.answers import EVERY_ANSWER, PHRASES, http_date, problem
from livefeed.web.time_limits import SEND_TIMEOUT_S, TimeLimits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from livefeed.web.problem_type import ProblemType
    from livefeed.web.request import Request

LINGER_S = 2
"""Seconds for which a closed connection is still read. Closing with unread data would send a reset, which can reach the
client before the answer (RFC 9112, 9.6)."""

_CLOSE = ((b"Connection", b"close"),)
_KEEP_ALIVE = ((b"Connection", b"keep-alive"),)


class Closing(TimeLimits):
    """The part of a channel that decides whether the connection goes on, and ends it."""

    def checkPersistence(self, request: Request, version: bytes) -> bool:
        """HTTPChannel API. In HTTP/1.0 a connection persists if the client asks for it (RFC 9112, 9.3)."""
        fields = request.fields
        is_kept_alive = version == b"HTTP/1.0" and b"keep-alive" in fields.connection_options
        if is_kept_alive:
            # HTTPChannel closes these, because an answer without a length would have no end. All answers of livefeed
            # have a length, except streams, which close the connection themselves.
            request.first_fields = _KEEP_ALIVE
        elif version != b"HTTP/1.1":
            return False
        if self._last_request or fields.asks_to_close:
            request.first_fields = _CLOSE
            return False
        return True

    def announce_return(self, take_s: Callable[[], int]) -> None:
        """Ends the connection with the answer to its next request, which says when the client comes back.

        A request in progress is the last, and its answer does not say it.

        :param take_s: gives the delay of the next client in whole seconds, for ``Retry-After``.
        """
        if self._handlingRequest:
            self.drain()
        # The function is replaced, so that no request is asked for it before.
        self.checkPersistence = partial(_persist_no_longer, take_s)  # type: ignore[method-assign]

    def end_with_answer(self) -> None:
        """Closes the connection after the next answer, or after the answer to the request that waits.

        The answer announces it.
        """
        self._last_request = True
        if self.requests:
            self.persistent = False
            request = self.requests[0]
            others = [field for field in request.first_fields if field[0] != b"Connection"]
            request.first_fields = (*_CLOSE, *others)

    def retire(self) -> None:
        """Closes the connection with its next answer, which announces it. A request that waits is answered now."""
        self.end_with_answer()
        for request in tuple(self.requests):
            request.hurry()

    def drain(self) -> None:
        """Closes the connection once no request is in progress."""
        self._last_request = True
        if self._handlingRequest:
            self.persistent = False
        elif not self.requests and not self._buffer:
            self.loseConnection()

    def refuse(self, kind: ProblemType, detail: str, headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
        """Answers bytes of which no request is made, and closes the connection."""
        fields_of_problem, body = problem(kind, detail)
        content = b"" if self._method == b"HEAD" else body
        self.site.count_refusal(self, kind.status, len(content))
        fields = [
            *EVERY_ANSWER,
            (b"Date", http_date()),
            *fields_of_problem,
            *headers,
            (b"Connection", b"close"),
            (b"Content-Length", b"%d" % len(body)),
        ]
        self.transport.writeSequence(
            [
                b"HTTP/1.1 %d %s\r\n" % (kind.status, PHRASES[kind.status].encode()),
                *(b"%s: %s\r\n" % field for field in fields),
                b"\r\n",
                content,
            ]
        )
        self.loseConnection()

    def loseConnection(self) -> None:
        """Sends the data that was written before, ends the sending side, and closes the connection soon after."""
        if self._closing:
            return
        self._closing = True
        self._networkProducer.unregisterProducer()
        self._networkProducer.resumeProducing()
        if self._timed is not None:
            # It lingers by itself.
            self.transport.loseConnection()
            return
        self.setTimeout(LINGER_S)
        if self._can_half_close:
            self.transport.loseWriteConnection()
        else:
            self.transport.loseConnection()

    def forceAbortClient(self) -> None:
        """HTTPChannel API."""
        self.transport.abortConnection()

    def timeoutConnection(self) -> None:
        """TimeoutMixin API."""
        if self._hung_up or self.paused:
            self.forceAbortClient()
        elif self._closing:
            # Orderly, and below TLS if there is any: the kernel still sends its buffer, which a reset would discard.
            self._hung_up = True
            self.setTimeout(SEND_TIMEOUT_S)
            below: Any = self.transport
            if isinstance(below, ProtocolWrapper):
                below = below.transport
            below.loseConnection()
        elif self._in_head:
            self.refuse(problems.HEAD_TIMEOUT, "The head of the request took too long.")
        else:
            self.loseConnection()

    def readConnectionLost(self) -> None:
        """IHalfCloseableProtocol API. A client that sends no more is still answered, without any wait."""
        if self._handlingRequest or self.paused:
            self.persistent = False
            self._last_request = True
            for request in tuple(self.requests):
                request.hurry()
        else:
            self.loseConnection()

    def writeConnectionLost(self) -> None:
        """IHalfCloseableProtocol API."""


def _persist_no_longer(take_s: Callable[[], int], request: Request, _version: bytes) -> bool:
    """Takes the place of :meth:`Closing.checkPersistence`."""
    request.first_fields = (*_CLOSE, (b"Retry-After", b"%d" % take_s()))
    return False
