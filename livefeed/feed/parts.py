"""Parts of a feed's document: the values at JSON Pointers (RFC 6901), each followed as a feed of its own.

A client that follows one district is only sent something when that district changes. A part is kept for as long as a
client follows it or has requested it a moment ago. A part without followers is updated when it is requested.

Rule: this file knows no transport. A function makes the delivery of each part, which is only asked for the addresses of
its clients, and to disconnect them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, TypeVar

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger

from livefeed.document.codings import compress_well, is_large
from livefeed.document.history import History
from livefeed.document.pointer import PartReader, PointerError, pointer_of, tokens_of
from livefeed.document.snapshot import Snapshot, make_large
from livefeed.feed.feed import Feed
from livefeed.feed.state import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from twisted.internet.interfaces import IDelayedCall

    from livefeed.clocks import Moment
    from livefeed.document.history import Deltas
    from livefeed.document.snapshot import Sequence

MAX_PARTS = 256
"""The largest number of parts that are kept. If all change in one tick, and are small, an update takes 40 ms."""

UNUSED_S = 60
"""Seconds for which a part is kept after the last request, if no client follows it."""

SLICE_S = 0.005
"""Seconds for which parts are updated in one turn of the reactor. The last one is finished.

That is enough for some 30 small parts, or two levels of 1 MB. To update 256 parts of 60 KB in one turn would take 0.8
s.
"""

_log = Logger()


class TooManyPartsError(Exception):
    """There is no room for another part."""


class PartDelivery(Protocol):
    """The requirements of parts on the delivery of one part, which has all ways to follow it."""

    @property
    def feed(self) -> Feed:
        """The part's feed."""

    def peers(self) -> Iterator[str]:
        """Gives the address of each client that follows the part, as it counts for limits."""

    def evict(self) -> None:
        """Disconnects all clients that follow the part, to make room for another part."""


_D = TypeVar("_D", bound=PartDelivery)


@dataclass(slots=True, eq=False)
class _Part(Generic[_D]):
    """One part.

    :ivar tokens: the path to it.
    :ivar delivery: the delivery of the part.
    :ivar used_at: when it was last requested, by the clock.
    :ivar peer: the client's address that it counts for.
    :ivar tick: the tick of the whole at which it was last updated.
    :ivar coded: the version that was last requested in the slow codings.
    """

    tokens: tuple[str, ...]
    delivery: _D
    used_at: float
    peer: str
    tick: int = -1
    coded: str | None = None


@dataclass(frozen=True, slots=True)
class _Order:
    """A snapshot that is to be made in a thread.

    :ivar data: the part's bytes.
    :ivar sequence: the sequence of the whole.
    :ivar confirmed: when the whole was confirmed.
    :ivar coded: whether it is also to be made in the slow codings.
    """

    data: bytes
    sequence: Sequence
    confirmed: Moment | None
    coded: bool

    def is_older_than(self, feed: Feed) -> bool:
        """Tells whether a feed was confirmed after this order was placed."""
        if feed.confirmed is None or self.confirmed is None:
            return False
        return feed.confirmed.measured_s > self.confirmed.measured_s

    def make(self, preparation: Callable[[], Deltas] | None) -> tuple[Snapshot, Deltas]:
        """Makes the snapshot, and the deltas from the version before if there is a function for them."""
        snapshot = make_large(self.data, self.sequence)
        if self.coded:
            snapshot.add(compress_well(self.data))
        return snapshot, {} if preparation is None else preparation()


def _refuse_delivery(_: Feed) -> NoReturn:
    """Takes the place of :attr:`Parts.make_delivery`, which refers to the object that has the parts."""
    raise TooManyPartsError


@dataclass(eq=False)
class Parts(Generic[_D]):
    """The parts of a feed's document that clients follow or have requested.

    :param whole: the feed of the whole document.
    :param make_delivery: makes the delivery of a part, for its feed.
    :param in_thread: calls a function in a thread.
    """

    # required parameters
    whole: Feed
    make_delivery: Callable[[Feed], _D]
    in_thread: Callable[..., Deferred[Any]] = maybeDeferred

    # internal state
    _parts: dict[tuple[str, ...], _Part[_D]] = field(default_factory=dict)
    _reader: PartReader | None = None
    _tick: int = 0  # the number of notifications of the whole
    _due: dict[_Part[_D], None] = field(default_factory=dict)  # the parts to be updated, in this order
    _due_call: IDelayedCall | None = None
    _orders: dict[_Part[_D], _Order] = field(default_factory=dict)  # only the last order of each part
    _making: tuple[_Part[_D], _Order] | None = None  # the order that a thread is working on
    _evicted: _Part[_D] | None = None  # the part whose followers are being disconnected

    def __post_init__(self) -> None:
        self.whole.observe(self._note_tick)

    def __iter__(self) -> Iterator[_D]:
        return (part.delivery for part in self._parts.values())

    def close(self) -> None:
        """Forgets all parts, updates none any more, and has room for no others.

        The whole refers to this object as its observer, and this object to the whole: without this method, only the
        garbage collector would free a feed that is removed, with its versions.
        """
        self.whole.unobserve(self._note_tick)
        if self._due_call is not None:
            self._due_call.cancel()
            self._due_call = None
        for part in tuple(self._parts.values()):
            self._forget(part)
        self._reader = None
        self.make_delivery = _refuse_delivery

    def find(
        self, segments: Iterable[bytes], peer: str | None = None, *, coded: bool = False, has_waited: bool = False
    ) -> _D | None:
        """Gives the delivery of a part, which is up to date. A part that is not kept yet is from now on.

        :param segments: the path to the part, without percent-encoding.
        :param peer: the address of the client that is going to follow the part; ``None`` if the client only requests
            it. If there is no room, the part of such a client is not kept.
        :param coded: whether the client accepts a content coding. A large part has one from its next version on, or
            from some 50 ms after this request on.
        :param has_waited: whether the client has followed the part until now, and is only answered. If the part has
            just made room for another one, it does not take that room again.
        :returns: ``None`` if the document has no such part now.
        :raises TooManyPartsError: if there is no room for a part that is going to be followed.
        """
        try:
            # A slash that was percent-encoded belongs to a name.
            tokens = tokens_of("/".join(segment.decode().replace("/", "~1") for segment in segments))
            if self._bytes_of(tokens) is None:
                return None
        except (UnicodeDecodeError, PointerError):
            return None
        if has_waited and self._evicted is not None and self._evicted.tokens == tokens:
            return self._evicted.delivery
        part = self._parts.get(tokens) or self._begin(tokens, peer, keep=not has_waited)
        if part.tick != self._tick:
            self._update(part)
        if coded or peer is not None:
            self._code(part, coded=coded)
        part.used_at = self.whole.clock.seconds()
        return part.delivery

    def _begin(self, tokens: tuple[str, ...], peer: str | None, *, keep: bool) -> _Part[_D]:
        whole = self.whole
        # A part is only pushed when it changes, however the whole is pushed: clients follow it for that.
        feed = Feed(
            "/".join((whole.name, *tokens)),
            clock=whole.clock,
            interval_s=whole.interval_s,
            push="change",
            wall=whole.wall,
            whole=whole,
            pointer=pointer_of(tokens),
            history=History(whole.history),
        )
        part = _Part(tokens, self.make_delivery(feed), whole.clock.seconds(), peer or "")
        if keep and (len(self._parts) < MAX_PARTS or self._make_room(peer)):
            self._parts[tokens] = part
        return part

    def _make_room(self, peer: str | None) -> bool:
        """Forgets the part that no client follows and whose last request is the oldest.

        If all parts are followed, one of the address with the most parts makes room, provided that this address has
        more parts than the new client will have.

        :param peer: the address of the client that is going to follow the new part; ``None`` if it only requests it.
        :returns: whether there is room; always true for a client that is going to follow.
        :raises TooManyPartsError: if there is no room for such a client.
        """
        idle = [part for part in self._parts.values() if not part.delivery.feed.subscriptions]
        if idle:
            self._forget(min(idle, key=lambda part: part.used_at))
            return True
        if peer is None:
            return False
        counts = Counter(part.peer for part in self._parts.values())
        ((greedy, most),) = counts.most_common(1)
        if most > counts[peer] + 1:
            theirs = [part for part in self._parts.values() if part.peer == greedy]
            # Beginning with the part that has the fewest followers, so that few addresses are compared.
            for part in sorted(theirs, key=lambda part: len(part.delivery.feed.subscriptions)):
                another = next((other for other in part.delivery.peers() if other != greedy), None)
                if another is None:
                    self._forget(part)
                    _log.info(
                        'feed "{feed}": a part makes room, of one address that follows {most}',
                        most=most,
                        feed=self.whole.name,
                    )
                    self._evict(part)
                    return True
                # A client is not disconnected because a client with many parts was the first to follow this one.
                part.peer = another
        raise TooManyPartsError

    def _evict(self, part: _Part[_D]) -> None:
        """Disconnects the followers of a forgotten part. Requests that wait for it are answered with its version."""
        self._evicted = part
        try:
            part.delivery.evict()
        finally:
            self._evicted = None

    def _forget(self, part: _Part[_D]) -> None:
        del self._parts[part.tokens]
        self._due.pop(part, None)
        self._orders.pop(part, None)

    def _note_tick(self) -> None:
        """Begins to update the parts that are followed, and forgets the unused ones."""
        self._tick += 1
        now = self.whole.clock.seconds()
        for part in tuple(self._parts.values()):
            if part.delivery.feed.subscriptions:
                # Parts that are still due stay in front.
                self._due.setdefault(part)
            elif now - part.used_at > UNUSED_S:
                self._forget(part)
        if self._due_call is None:
            self._update_some()

    def _update_some(self) -> None:
        """Updates parts for :data:`SLICE_S`, and leaves the others to the next turns of the reactor."""
        self._due_call = None
        clock = self.whole.clock
        end = clock.seconds() + SLICE_S
        while self._due:
            part = next(iter(self._due))
            del self._due[part]
            try:
                self._update(part)
            except Exception:
                # This is like a failed pull: followers are sent the state, and the next tick of the whole tries again.
                _log.failure('feed "{feed}": a part broke', feed=part.delivery.feed.name)
                part.delivery.feed.mark_stale()
            if self._due and clock.seconds() > end:
                self._due_call = clock.callLater(0, self._update_some)
                return

    def _update(self, part: _Part[_D]) -> None:
        """Updates a part to the newest version of the whole.

        The snapshot of a large part with followers is made in a thread. Until then, the part's age says how old it is.
        """
        whole, feed = self.whole, part.delivery.feed
        part.tick = self._tick
        self._due.pop(part, None)
        feed.begin_tick()
        data = self._bytes_of(part.tokens)
        if data is None or whole.snapshot is None:
            # It may come back while clients still follow it.
            feed.mark_missing()
            return
        is_new = feed.is_missing or feed.snapshot is None or data != feed.snapshot.data
        order = _Order(data, whole.snapshot.sequence, whole.confirmed, coded=False)
        if is_new and feed.subscriptions and is_large(data):
            self._order(part, order)
            return
        if is_new or whole.freshness is State.LIVE:
            snapshot = feed.snapshot
            if is_new or snapshot is None:
                # A part without followers is compressed when a client asks for that.
                make = Snapshot.of if feed.subscriptions else Snapshot.bare
                snapshot = make(data, order.sequence)
            feed.publish(snapshot, confirmed=order.confirmed)
        feed.confirm_as_whole()
        if whole.freshness is not State.LIVE:
            feed.mark_stale()

    def _code(self, part: _Part[_D], *, coded: bool) -> None:
        """Compresses a part that no client needed compressed so far: now, or in a thread if it is large."""
        feed = part.delivery.feed
        snapshot = feed.snapshot
        # Once for each version, even if the codings turn out not to be smaller.
        coded = coded and snapshot is not None and part.coded != snapshot.version
        if snapshot is None or not (coded or snapshot.is_bare()):
            return
        if coded:
            part.coded = snapshot.version
        if not is_large(snapshot.data):
            if snapshot.is_bare():
                feed.complete(Snapshot.of(snapshot.data, snapshot.sequence))
        elif self._parts.get(part.tokens) is part:
            self._order(part, _Order(snapshot.data, snapshot.sequence, feed.confirmed, coded))

    def _order(self, part: _Part[_D], order: _Order) -> None:
        """Has a snapshot made in the only thread that makes them. It replaces an older order of the part."""
        waiting = self._orders.get(part)
        if waiting is not None and waiting.sequence == order.sequence and waiting.coded >= order.coded:
            return
        if self._making is not None:
            making, made = self._making
            if making is part and made.data == order.data and made.coded >= order.coded:
                return
        self._orders[part] = order
        if self._making is None:
            self._make_next()

    def _make_next(self) -> None:
        if not self._orders:
            return
        part = next(iter(self._orders))
        order = self._orders.pop(part)
        self._making = part, order
        preparation = part.delivery.feed.history.preparation(order.data)
        try:
            making = self.in_thread(order.make, preparation)
        except OSError:
            making = maybeDeferred(order.make, preparation)  # There is no thread, and this one does it.
        making.addCallback(self._made, part, order)
        making.addErrback(
            lambda failure: _log.failure('feed "{feed}": a part broke', failure, feed=part.delivery.feed.name)
        )
        making.addBoth(self._go_on)

    def _go_on(self, result: object) -> None:
        self._making = None
        # Not now: without threads, all snapshots would be made in one turn of the reactor.
        if self._orders:
            self.whole.clock.callLater(0, self._make_next)

    def _made(self, made: tuple[Snapshot, Deltas], part: _Part[_D], order: _Order) -> None:
        """Publishes a snapshot that was made, unless it is outdated."""
        snapshot, deltas = made
        feed = part.delivery.feed
        if self._parts.get(part.tokens) is not part:
            return
        if feed.snapshot is not None and feed.snapshot.version == snapshot.version and not feed.is_missing:
            feed.complete(snapshot)
        elif self._bytes_of(part.tokens) is None:
            return  # The document has lost the part meanwhile.
        elif feed.snapshot is None or (feed.snapshot.sequence < order.sequence and not order.is_older_than(feed)):
            feed.publish(snapshot, deltas=deltas, confirmed=order.confirmed)
            # The whole may have a newer version by now.
            self._update(part)

    def _bytes_of(self, tokens: tuple[str, ...]) -> bytes | None:
        """Gives the bytes of a part in the newest version of the whole; ``None`` if it has no such part."""
        snapshot = self.whole.snapshot
        if snapshot is None:
            return None
        if self._reader is None or self._reader.data is not snapshot.data:
            self._reader = PartReader(snapshot.data)
        return self._reader.part(tokens)
