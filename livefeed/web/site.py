"""The factory of HTTP connections: it makes their channels, counts their answers and forgets answers in time."""

from __future__ import annotations

import time
from collections import Counter, deque
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.logger import Logger
from twisted.web import server
from zope.interface import implementer

from livefeed.tls.options import PROTOCOLS
from livefeed.transport.interfaces import IPlainListener, IReplayed, IUpgrading
from livefeed.web.channel import Channel
from livefeed.web.head_checks import MAX_HEAD_BYTES
from livefeed.web.last_answers import LastAnswers
from livefeed.web.plain_http import answer_to_plain_http
from livefeed.web.prepared import NothingPrepared, PreparedAnswers
from livefeed.web.reconnect_slots import RefusalSlots
from livefeed.web.replay import Replay
from livefeed.web.request import Request, label
from livefeed.web.time_limits import HEAD_TIMEOUT_S
from livefeed.web.upgrades import Upgrades

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime
    from twisted.web.resource import IResource

    from livefeed.web.upgrades import Begun

IDLE_TIMEOUT_S = 75
"""Seconds after which an idle connection is closed, as in nginx. Browsers and balancers keep connections for less time,
so they close first."""

TURN_S = 0.01
"""Seconds per turn of the reactor that are spent on clients with many pipelined requests."""

FORGET_S = 0.25
"""Seconds for which an answer may be repeated. Livefeed-Next can be too large by as much. One second is a multiple of
it."""

_log = Logger()


@implementer(IReplayed, IUpgrading, IPlainListener)
class Site(server.Site):
    """Makes a :class:`Channel` for each connection, and counts the answers.

    :ivar channels: the connections that speak HTTP now. A connection that is handed over to another protocol leaves.
    :ivar head_timeout_s: the time in seconds that the head of a request may take.
    :ivar max_head_bytes: the limit of a head in bytes. It must not be smaller than one read of a connection, because
        replay does not check it.
    :ivar refusal_slots: the reconnect slots of the clients whose event streams are refused.
    :ivar replays: the answers that may be repeated, without TLS (``False``) and with TLS (``True``).
    :ivar upgrades: the paths at which handshakes of WebSockets are accepted without a channel; ``None`` where each
        needs one.
    :ivar prepared: the prepared answers of documents. There are none while the site does not listen, since no timer
        would forget them in time.
    :ivar make_prepared: makes their store.
    :ivar wall: gives the time of ``Date``, in seconds since 1970.
    """

    protocol = Channel  # type: ignore[assignment]
    requestFactory = Request  # type: ignore[assignment]
    noisy = False
    wall: Callable[[], float] = staticmethod(time.time)
    make_prepared: Callable[[], PreparedAnswers] = PreparedAnswers

    def __init__(
        self,
        resource: IResource,
        *,
        reactor: IReactorTime,
        head_timeout_s: float = HEAD_TIMEOUT_S,
        max_head_bytes: int = MAX_HEAD_BYTES,
        idle_timeout_s: float = IDLE_TIMEOUT_S,
    ) -> None:
        super().__init__(resource, reactor=reactor, timeout=idle_timeout_s, parsePOSTFormSubmission=False)
        self.channels: set[Channel] = set()
        self.head_timeout_s = head_timeout_s
        self.max_head_bytes = max_head_bytes
        self.refusal_slots = RefusalSlots(reactor)
        self.replays: dict[bool, Any] = {False: Replay(), True: Replay()}
        self.upgrades: Upgrades | None = Upgrades()
        self.prepared: PreparedAnswers = NothingPrepared()
        self._counts: Counter[Any] = Counter()
        self._resting: deque[Channel] = deque()
        self._clearing: IDelayedCall | None = None
        self._forgets = False  # whether it runs

    def configure(self, *, head_timeout_s: float, max_head_bytes: int, idle_timeout_s: float) -> None:
        """Takes other limits, which count from the next request of each connection on."""
        self.head_timeout_s, self.max_head_bytes, self.timeOut = head_timeout_s, max_head_bytes, idle_timeout_s

    def startFactory(self) -> None:
        """Factory API. Opens no access log: a log line is for a change of state."""
        self._forgets = True
        self.prepared = self.make_prepared()
        for store in (*self.replays.values(), self.prepared):
            store.used = self._clear_later

    def stopFactory(self) -> None:
        """Factory API."""
        self._forgets = False
        if self._clearing is not None:
            self._clearing.cancel()
            self._clearing = None
        self.prepared = NothingPrepared()

    def plain_answer(self, rest: bytes) -> bytes:
        """IPlainListener API."""
        return answer_to_plain_http(rest)

    def upgrade(self, head: bytes, secure: bool) -> Begun | None:
        """IUpgrading API. Counts the answer to a handshake that is accepted."""
        begun = None if self.upgrades is None else self.upgrades.accept(head)
        if begun is not None:
            self._counts[label(101, is_secure=secure)] += 1
        return begun

    def rest(self, channel: Channel) -> None:
        """Continues a channel with pipelined requests after all other connections had a turn."""
        self._resting.append(channel)
        if len(self._resting) == 1:
            self.reactor.callLater(0, self._go_on)

    def _go_on(self) -> None:
        end = self.reactor.seconds() + TURN_S
        for _ in range(len(self._resting)):
            # It stays first meanwhile, so that a channel that rests again does not schedule a second call.
            channel = self._resting[0]
            try:
                channel.go_on()
            except Exception:
                _log.failure("going on with requests broke")
                channel.forceAbortClient()
            self._resting.popleft()
            if self.reactor.seconds() > end:
                break
        if self._resting:
            self.reactor.callLater(0, self._go_on)

    def log(self, request: Request) -> None:  # type: ignore[override]
        """HTTPFactory API. Counts an answer."""
        if request.channel.has_waited:
            # The answer is for several requests. They are counted when it is written to them.
            request.channel.answered = request.label()
            return
        self._counts[request.label()] += 1

    def handed_over(self, request: Request) -> Callable[[], object] | None:
        """ChannelSite API. Counts the answer."""
        self.log(request)
        return None

    def count_refusal(self, channel: Channel, status: int, size: int) -> None:
        """ChannelSite API."""
        self._counts[label(status, is_secure=channel.isSecure())] += 1

    def _clear_later(self) -> None:
        """Has the answers be forgotten once they are out of date. While there are none, the process can sleep."""
        if self._clearing is not None or not self._forgets:
            return
        # At each full second, because Date changes then, and in between for Livefeed-Next. The wall clock is read each
        # time, because it may have been set.
        self._clearing = self.reactor.callLater(FORGET_S - self.wall() % FORGET_S, self._clear)

    def _clear(self) -> None:
        self._clearing = None
        if not all(store.is_empty for store in (*self.replays.values(), self.prepared)):
            self._clear_later()
        self.forget_answers()

    def forget_answers(self) -> None:
        """Forgets all answers, so that they are rendered again.

        Called at a new version, at a new state, and after :data:`FORGET_S`.
        """
        for replay in self.replays.values():
            replay.clear()
        self.prepared.clear()
        if self.upgrades is not None:
            self.upgrades.clear()

    def announce_returns(self, take_s: Callable[[], int]) -> None:
        """Ends each connection with its next answer, which says when the client comes back.

        Connections that have looked up their stores of answers must do so again.

        :param take_s: gives the delay of the next client in whole seconds, and takes its place.
        """
        self.replays = {
            secure: LastAnswers(replay, take_s) if isinstance(replay, Replay) else replay
            for secure, replay in self.replays.items()
        }
        self.upgrades = None
        self.protocol = partial(_make_last, self.protocol, take_s)  # type: ignore[assignment]
        for channel in self.channels:
            channel.announce_return(take_s)

    def counts(self) -> Counter[tuple[int, str, str]]:
        """Gives the number of answers, replayed or not, by status, scheme and content coding."""
        counts: Counter[Any] = self._counts + self.replays[False].counts() + self.replays[True].counts()
        return counts

    def acceptableProtocols(self) -> list[bytes]:
        """IProtocolNegotiationFactory API."""
        return [*PROTOCOLS]


def _make_last(make: Callable[[], Channel], take_s: Callable[[], int]) -> Channel:
    """Makes the channel of a connection that ends with its next answer."""
    channel = make()
    channel.announce_return(take_s)
    return channel
