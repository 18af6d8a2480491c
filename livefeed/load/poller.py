"""Watchers that ask for the document: pollers, in a closed or in an open loop, and long polls.

The hot path is :meth:`Poller.on_readable`. It decides how much load a core makes: one read, a comparison of the head
with that of the last answer of the same size, one entry in a histogram, and one write. Only an answer with another head
is searched, a few times per second.
"""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from livefeed.load.answers import AnswerError, read_head
from livefeed.load.bodies import Body
from livefeed.load.documents import is_right, name_in, nanoseconds_of
from livefeed.load.histogram import BITS, MAX_NS
from livefeed.load.kinds import CONDITIONAL, Kind
from livefeed.load.layout import MAX_LAYOUTS, Layout
from livefeed.load.line import READ_BYTES, WOULD_BLOCK, error_name
from livefeed.load.messages import WRONG
from livefeed.load.watcher import RETRY_NS, Watcher

if TYPE_CHECKING:
    from livefeed.load.answers import Head
    from livefeed.load.documents import Version

_REPEATED = frozenset({200, 304})
_OK, _NOT_MODIFIED = 200, 304
_monotonic_ns = time.monotonic_ns


@dataclass(slots=True, eq=False)
class Poller(Watcher):
    """A watcher that asks for the document.

    In a closed loop it sends the next request when it has the answer. In an open loop :meth:`fall_due` tells when, and
    latency counts from that moment, whether the connection was free or not.
    """

    # internal state
    due_ns: int = 0  # when the request should have been sent: the beginning of its latency
    is_waiting: bool = False  # whether a request has no answer yet
    owed: int = 0  # requests of an open loop that wait for the connection
    next_due_ns: int = 0  # when the first of them should have been sent
    period_ns: int = 0  # the time between two requests of an open loop; 0 in a closed one
    version: Version | None = None
    tag: bytes | None = None
    request: bytes = b""
    is_unlimited: bool = False  # whether an answer is followed by the same request at once, without a look at anything
    # Of an answer that comes in pieces.
    _pending: bytearray = field(default_factory=bytearray)
    _body: Body | None = None
    _pieces: list[bytes] = field(default_factory=list)
    _is_reading: bool = False

    def opened(self) -> None:
        """Watcher API."""
        self.awaited_ns = 0
        is_first = not self.has_arrived
        self.established()
        if is_first and not self._may_go_on():
            # One request on arrival, so that the server has had every watcher before the figures begin.
            self._ask(_monotonic_ns())
        elif self._may_go_on():
            # Without kept connections, the time of the connection belongs to the request.
            self.go_on(_monotonic_ns() if self.shared.plan.is_kept else self.began_ns)

    def fall_due(self, due_ns: int, period_ns: int) -> None:
        """Is told, in an open loop, that a request should be sent now.

        :param due_ns: when exactly.
        :param period_ns: the time between two requests of this watcher.
        """
        self.period_ns = period_ns
        if not self.owed:
            self.next_due_ns = due_ns
        self.owed += 1
        if self.is_waiting:
            return
        if self.sock is None:
            self.come_back()
        elif self.is_open:
            self.shared.late_ns = max(self.shared.late_ns, _monotonic_ns() - due_ns)
            self.go_on(0)

    def begin(self) -> None:
        """Is told that all watchers have arrived, and the figures of a closed loop begin."""
        plan = self.shared.plan
        self.is_unlimited = plan.is_kept and plan.requests is None and self.kind is not Kind.BROWSER
        if self.sock is None:
            if self._comes_back_at_once():
                self.come_back()
        elif self.is_open and not self.is_waiting:
            self.go_on(_monotonic_ns())

    def go_on(self, now_ns: int) -> None:
        """Sends the next request, if it is time and the run has any left.

        :param now_ns: the beginning of its latency in a closed loop.
        """
        shared = self.shared
        if self.owed:
            now_ns = self.next_due_ns
            self.next_due_ns += self.period_ns
            self.owed -= 1
        elif shared.plan.rate is not None:
            return
        if shared.is_measuring:
            if shared.left <= 0:
                return
            shared.left -= 1
        self._ask(now_ns)

    def on_readable(self, events: int) -> None:
        """Watcher API. The hot path: see the top of the module."""
        shared = self.shared
        buffer = shared.buffer
        try:
            size = self.receive(buffer)
        except WOULD_BLOCK:
            return
        except OSError as error:
            self._broken(error)
            return
        layout = shared.layouts.get(size)
        if (
            layout is None
            or self._is_reading
            or not self.is_waiting
            or not (buffer.startswith(layout.head) or layout.fits(buffer, size))
            or not buffer.startswith(layout.content, len(layout.head))
        ):
            self._take(size)
            return
        now = _monotonic_ns()
        figures = self.figures
        figures.answers += 1
        figures.received += size
        figures.verified += layout.is_verified
        figures.statuses[layout.status] = figures.statuses.get(layout.status, 0) + 1
        self._record(now)
        if self.version is not layout.version:
            self._have(layout.version, layout.tag)
        if self.is_unlimited and self.request:
            self.due_ns = self.awaited_ns = now
            self.write(self.request)
        else:
            self._answered(layout.status, now)

    def _record(self, now_ns: int) -> None:
        """Adds the latency, as ``Histogram.add`` does: a call less."""
        latency, waited = self.figures.latency, now_ns - self.due_ns
        if waited > latency.longest_ns:
            waited = min(waited, MAX_NS)
            latency.longest_ns = max(waited, latency.longest_ns)
        shift = waited.bit_length() - BITS - 1
        latency.buckets[waited if shift <= 0 else (shift << BITS) + (waited >> shift)] += 1

    def _answered(self, status: int, now_ns: int) -> None:
        """Is told that an answer is complete. The connection may be gone."""
        self.is_waiting = False
        self.awaited_ns = 0
        shared = self.shared
        if shared.is_measuring:
            shared.due -= 1
            if shared.due <= 0:
                shared.loop.stop()
                return
        else:
            self.arrive()
        if self.sock is not None and self._may_go_on():
            self.go_on(now_ns)

    def _may_go_on(self) -> bool:
        """Tells whether requests are sent: before the figures begin, a run by its time is under way already."""
        shared = self.shared
        return shared.is_measuring or (shared.plan.rate is None and shared.plan.requests is None)

    def _ask(self, due_ns: int) -> None:
        self.due_ns = due_ns
        self.is_waiting = True
        self.awaited_ns = _monotonic_ns()
        if not self.request or self.kind is Kind.BROWSER:
            self.request = self.shared.requests.of(self.kind, self.tag if self.kind in CONDITIONAL else None)
        self.write(self.request)

    def _have(self, version: Version | None, tag: bytes | None) -> None:
        """Is told of a version that the watcher did not have."""
        if self.version is not None and version is not None:
            self.shared.documents.delivered(version, self.figures)
        self.version, self.tag, self.request = version, tag, b""

    def _take(self, size: int) -> None:
        """Takes bytes of an answer that is not like the last one, or comes in pieces."""
        if size == 0:
            self._ended()
            return
        data = bytes(memoryview(self.shared.buffer)[:size])
        self.figures.received += size
        if not self.is_waiting:
            self._fail("bytes without a request")
            return
        is_whole = not self._is_reading and size < READ_BYTES
        self._is_reading = True
        try:
            if self._body is None:
                self._pending += data
                head = read_head(self._pending)
                if head is None:
                    return
                self._body = Body(head, self.shared.plan.max_bytes)
                data, self._pending = bytes(self._pending), bytearray()
            if piece := self._body.take(data):
                self._pieces.append(piece)
        except AnswerError as error:
            self._fail(str(error))
            return
        if self._body.is_done:
            self._complete(size if is_whole else 0)

    def _complete(self, size: int) -> None:
        """Is told that an answer is complete.

        :param size: its bytes if it came in one read; otherwise 0.
        """
        body = self._body
        assert body is not None
        head, content = body.head, b"".join(self._pieces)
        self._forget_answer()
        if body.rest:
            self._fail("bytes behind an answer")
            return
        now = _monotonic_ns()
        self.figures.answered(head.status)
        self._record(now)
        version, is_verified = self._version_of(head, content)
        if is_verified is False:
            self._fail(WRONG)
            return
        if head.status in _REPEATED and version is not self.version:
            self._have(version, head.field(b"etag"))
        if isinstance(self.sock, ssl.SSLSocket) and self.shared.tls is not None:
            self.shared.tls.remember(self.sock)
        if size and head.status in _REPEATED and not (head.is_chunked or head.is_last):
            if len(self.shared.layouts) >= MAX_LAYOUTS:
                self.shared.layouts.clear()
            self.shared.layouts[size] = Layout.of(head, content, version, is_verified=is_verified)
        if head.is_last or body.head.length is None or not self._is_kept():
            self.close()
            self._answered(head.status, now)
            if self.sock is None and self._comes_back_at_once():
                self.connect()
        else:
            self._answered(head.status, now)

    def _is_kept(self) -> bool:
        return self.shared.plan.is_kept

    def _comes_back_at_once(self) -> bool:
        """Tells whether a connection is needed for the next request, or for none that is due yet."""
        return (self._may_go_on() and self.shared.left > 0 and self.shared.plan.rate is None) or self.owed > 0

    def _version_of(self, head: Head, content: bytes) -> tuple[Version | None, bool | None]:
        """Gives the version of an answer, and whether its content is right; ``None`` if that was not compared."""
        shared = self.shared
        name = name_in(head)
        if name is None or head.status not in _REPEATED:
            return None, None
        version = shared.documents.named(name)
        shared.documents.learn(version, nanoseconds_of(head.text(b"livefeed-at")))
        if head.status == _NOT_MODIFIED:
            return version, None
        if head.field(b"content-encoding") is None:
            shared.documents.keep(version, content)
        if not shared.plan.verifies:
            return version, None
        if version.is_checked and version.content == content:
            is_verified: bool | None = True
        else:
            is_verified = is_right(head, content)
            version.is_checked = bool(is_verified) and version.content == content
        if is_verified is None and version.content is not None and head.field(b"content-encoding") is None:
            # Another server: the same entity tag must stand for the same bytes.
            is_verified = version.content == content
        if is_verified:
            self.figures.verified += 1
        elif is_verified is None:
            self.figures.unverified += 1
        return version, is_verified

    def _ended(self) -> None:
        """Is told that the server has closed the connection."""
        if self._body is not None:
            try:
                self._body.end()
            except AnswerError as error:
                self._fail(str(error))
            else:
                self._complete(0)
        elif self.is_waiting:
            self._fail("closed before the answer")
        else:
            # It may close a connection on which nothing happens.
            self.close()
            if self._comes_back_at_once():
                self.connect()

    def _broken(self, error: OSError) -> None:
        if isinstance(error, (ssl.SSLZeroReturnError, ssl.SSLEOFError)):
            self._ended()
        else:
            self.lost(error_name(error))

    def _fail(self, why: str) -> None:
        self.lost(why)

    def lost(self, error: str) -> None:
        """Watcher API."""
        self._forget_answer()
        self.is_waiting = False
        super(Poller, self).lost(error)

    def _forget_answer(self) -> None:
        self._pending, self._body, self._pieces, self._is_reading = bytearray(), None, [], False


@dataclass(slots=True, eq=False)
class Waiter(Poller):
    """A watcher by long polls: it asks again at once. Its latency is that of the server's news, so none is recorded."""

    asked_ns: int = 0

    @property
    def patience_s(self) -> float:
        """Watcher API."""
        plan = self.shared.plan
        return plan.timeout_s + plan.wait_s

    def go_on(self, now_ns: int) -> None:
        """Poller API."""
        self.asked_ns = _monotonic_ns()
        self._ask(now_ns)

    def _record(self, now_ns: int) -> None:
        """Poller API."""

    def _may_go_on(self) -> bool:
        return True

    def _is_kept(self) -> bool:
        return True

    def _answered(self, status: int, now_ns: int) -> None:
        self.is_waiting = False
        self.awaited_ns = 0
        self.arrive()
        if status != _OK and now_ns - self.asked_ns < self.shared.plan.wait_s * 5e8:
            # It does not wait, or refuses: without a pause, a long poll would be a closed loop.
            if status == _NOT_MODIFIED:
                self.figures.failed("a server that does not wait")
            self.shared.loop.at(now_ns + RETRY_NS, self._ask_again)
        elif self.sock is not None:
            self.go_on(now_ns)

    def _have(self, version: Version | None, tag: bytes | None) -> None:
        is_delivery = self.version is not None and version is not None
        super(Waiter, self)._have(version, tag)
        if is_delivery:
            self.shared.counted()

    def _comes_back_at_once(self) -> bool:
        return True

    def _ask_again(self) -> None:
        if self.sock is not None and self.is_open and not self.is_waiting:
            self.go_on(_monotonic_ns())
