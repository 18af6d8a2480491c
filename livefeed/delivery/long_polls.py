"""Long polling: requests that are answered at the next version (``Prefer: wait=N``, RFC 7240, 4.3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from livefeed.web.rendering import render_waited

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from twisted.internet.interfaces import IDelayedCall

    from livefeed.document.snapshot import Snapshot
    from livefeed.feed.feed import Feed
    from livefeed.feed.subscription import Subscription
    from livefeed.transport.answer import Answer, Select
    from livefeed.transport.interfaces import WaitingRoom
    from livefeed.web.interfaces import Admission, RequestChannel, RequestSite
    from livefeed.web.reconnect_slots import ReconnectSlots
    from livefeed.web.request import Request


@dataclass(eq=False)
class LongPolls:
    """The requests for a feed that wait for its next version.

    :ivar waiting: the requests that have a twisted.web request each. Each leads those that are equal to it.
    :ivar shared: the groups of requests that wait together with one of these.
    :ivar sharing: the number of requests in these groups.
    :ivar slots: the reconnect slots of the clients that are released; ``None`` until :meth:`release`.
    """

    # required parameters
    feed: Feed

    # internal state
    waiting: dict[_Waiting, None] = field(default_factory=dict)
    shared: dict[_Shared, None] = field(default_factory=dict)
    sharing: int = 0
    slots: ReconnectSlots | None = None

    def addresses(self) -> Iterator[Any]:
        """Gives the addresses of all clients whose requests wait, as Twisted's addresses."""
        for waiting in self.waiting:
            yield waiting.address
        for shared in self.shared:
            yield from shared.addresses()

    def count(self) -> int:
        """Gives the number of requests that wait."""
        return len(self.waiting) + self.sharing

    def hold(
        self,
        request: Request,
        wait_s: int,
        answer: Callable[[Request], object],
        may_join: Callable[[], bool],
        select: Select,
    ) -> None:
        """Lets a request wait.

        :param wait_s: the limit of the wait in seconds.
        :param answer: answers the request, at the next version or at the limit.
        :param may_join: tells whether an equal request would also wait, if it arrived now.
        :param select: gives the parts of the keyed fields that equal requests have in common.
        """
        snapshot = self.feed.snapshot
        assert snapshot is not None
        waiting = _Waiting(self, request, answer)
        self.waiting[waiting] = None
        if request.permit is not None:
            waiting.admission = request.permit.begin(waiting.expire)
        waiting.timeout = self.feed.clock.callLater(wait_s, waiting.end)
        version = snapshot.version
        waiting.subscription = self.feed.subscribe(waiting, repeats=False, have=version, expire=waiting.end)
        waiting.shared = _Shared(
            self, request.channel.site, request.isSecure(), version, may_join, select, float(wait_s), leads=True
        )
        request.waits_for = waiting.shared
        request.hurry = waiting.end
        request.notifyFinish().addErrback(waiting.leave)

    def answer_all(self) -> None:
        """Answers all requests now. Others may be held after that."""
        for waiting in tuple(self.waiting):
            waiting.end()
        for shared in tuple(self.shared):
            shared.release()

    def release(self, slots: ReconnectSlots) -> None:
        """Answers all requests now and closes their connections. No request may be held after that.

        :param slots: the reconnect slots.
        """
        self.slots = slots
        for waiting in tuple(self.waiting):
            waiting.end()
            slots.add()
        for shared in tuple(self.shared):
            shared.release()


@dataclass(slots=True, eq=False)
class _Waiting:
    """One request that waits, with a request of twisted.web."""

    # required parameters
    _all: LongPolls
    _request: Request
    _answer: Callable[[Request], object]

    # internal state
    timeout: IDelayedCall | None = None
    subscription: Subscription | None = None
    shared: _Shared | None = None
    admission: Admission | None = None  # of a protected feed
    _channel: RequestChannel | None = field(init=False)  # None once the request is answered or its client has left

    def __post_init__(self) -> None:
        self._channel = self._request.channel

    @property
    def address(self) -> Any:
        """The address of the client, as Twisted's address."""
        return self._request.getClientAddress()

    def send(self, snapshot: Snapshot) -> None:
        """Subscriber API."""
        self.end()

    def drop(self) -> None:
        """Subscriber API."""
        channel = self._channel
        self.leave()
        if channel is not None:
            channel.forceAbortClient()

    def end(self) -> None:
        """Answers the request."""
        self._stop_waiting()
        if self._all.slots is not None:
            self._request.channel.end_with_answer()
        self._answer(self._request)
        self._channel = None

    def expire(self, _delay_ms: int) -> None:
        """Answers the request, whose token has ended."""
        self.admission = None
        self.end()

    def leave(self, reason: object = None) -> None:
        """Stops waiting without an answer, because the client has left."""
        self._channel = None
        self._stop_waiting()

    def _stop_waiting(self) -> None:
        self._all.waiting.pop(self, None)
        self._request.__dict__.pop("hurry", None)
        self._request.__dict__.pop("waits_for", None)
        admission, self.admission = self.admission, None
        if admission is not None:
            admission.leave()
        # These refer to this object, and through it to the request. Without the next lines, they would be a cycle of
        # 7 KB that is old when it is released, and the collector does not examine old objects.
        subscription, self.subscription = self.subscription, None
        if subscription is not None:
            subscription.cancel()
        timeout, self.timeout = self.timeout, None
        if timeout is not None and timeout.active():
            timeout.cancel()
        shared, self.shared = self.shared, None
        if shared is not None:
            shared.leads = False
            if shared.room is not None:
                shared.room.close_if_over()


@dataclass(slots=True, eq=False)
class _Shared:
    """The host of requests that are equal to a leading one, for the rooms of the fast transport.

    :ivar select: gives the parts of the keyed fields that equal requests have in common.
    :ivar wait_s: the limit of the wait in seconds.
    :ivar leads: whether the leading request still waits.
    :ivar room: the room with the equal requests; ``None`` while no request can join.
    """

    # required parameters
    _all: LongPolls
    _site: RequestSite
    _secure: bool
    _version: str
    _may_join: Callable[[], bool]
    select: Select
    wait_s: float
    leads: bool

    # internal state
    room: WaitingRoom | None = None
    _count: int = 0
    _subscription: Subscription | None = None

    def send(self, snapshot: Snapshot) -> None:
        """Subscriber API."""
        if self.room is not None:
            self.room.answer_all()

    def drop(self) -> None:
        """Subscriber API."""
        if self.room is not None:
            self.room.abort_all()

    def addresses(self) -> Iterator[Any]:
        """Gives the addresses of the clients in the room, as Twisted's addresses."""
        if self.room is not None:
            for connection in self.room.members:
                yield connection.getPeer()

    def expire(self) -> None:
        """Answers all requests, because the document has expired."""
        if self.room is not None:
            self.room.answer_all()

    def release(self) -> None:
        """Answers all requests now."""
        if self.room is not None:
            self.room.answer_at_once()

    def admit(self) -> bool:
        """Host API."""
        if not self._may_join():
            return False
        if self._subscription is None:
            self._subscription = self._all.feed.subscribe(self, repeats=False, have=self._version, expire=self.expire)
            self._all.shared[self] = None
        self._count += 1
        self._all.sharing += 1
        return True

    def let_go(self, count: int) -> None:
        """Host API."""
        self._count -= count
        self._all.sharing -= count
        slots = self._all.slots
        if slots is not None:
            before_s = slots.retry_after_s()
            slots.add(count)
            if slots.retry_after_s() != before_s:
                self._site.forget_answers()  # the next answers have another Retry-After
        if not self._count and self._subscription is not None:
            subscription, self._subscription = self._subscription, None
            subscription.cancel()
            del self._all.shared[self]

    def render(self, head: bytes) -> Answer | None:
        """Host API."""
        return render_waited(self._site, head, secure=self._secure, last=self._all.slots is not None)

    def close(self) -> None:
        """Host API."""
        self.room = None
