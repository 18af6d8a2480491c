"""``/feed/a/b/3``: parts of the document that are followed like feeds of their own (RFC 6901).

A client that follows one district is sent something only when that district changes. A part is looked after for as
long as a client follows it, or has asked for it a moment ago. One without followers is brought up to date when it is
asked for.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.logger import Logger

from livefeed.delivery.delivery import Delivery
from livefeed.document.codings import compress_well, is_large
from livefeed.document.history import History
from livefeed.document.pointer import PartReader, PointerError, tokens_of
from livefeed.document.snapshot import Snapshot, make_large
from livefeed.feed.feed import Feed, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from twisted.internet.interfaces import IDelayedCall

    from livefeed.clocks import Moment
    from livefeed.document.snapshot import Sequence

MAX_PARTS = 256
"""The parts that are looked after at a time. When all change in one tick, and are small, that takes 40 ms."""

UNUSED_S = 60
"""Seconds for which a part is kept that no client follows or asks for."""

SLICE_S = 0.005
"""Seconds for which parts are brought up to date in one turn of the reactor; the last one is finished. That makes some
30 small ones, or two levels of 1 MB. Of 256 parts of 60 KB, all at once would take 0.8 s."""

_log = Logger()


class TooManyPartsError(Exception):
    """There is no room for another part."""


@dataclass(slots=True, eq=False)
class _Part:
    """One part that is looked after.

    :ivar peer: the client's address that it counts for.
    :ivar tick: that of the whole at which it was last brought up to date.
    :ivar coded: the version that was last asked for in the codings that take long.
    """

    tokens: tuple[str, ...]
    delivery: Delivery
    used_at: float
    peer: str
    tick: int = -1
    coded: str | None = None


@dataclass(frozen=True, slots=True)
class _Order:
    """A snapshot that is to be made in a thread.

    :ivar coded: whether it is wanted in the codings that take long, too.
    """

    data: bytes
    sequence: Sequence
    confirmed: Moment | None
    coded: bool

    def is_older_than(self, feed: Feed) -> bool:
        """Tells whether a feed was confirmed after this was ordered."""
        if feed.confirmed is None or self.confirmed is None:
            return False
        return feed.confirmed.measured_s > self.confirmed.measured_s

    def make(self, preparation: Callable[[], bytes] | None) -> tuple[Snapshot, bytes | None]:
        """Makes it, and the patch from the version before if one is wanted."""
        snapshot = make_large(self.data, self.sequence)
        if self.coded:
            snapshot.add(compress_well(self.data))
        return snapshot, None if preparation is None else preparation()


@dataclass(eq=False)
class Parts:
    """The parts of a feed's document that somebody is interested in.

    :param whole: how the whole feed is followed.
    :param in_thread: calls a function in a thread.
    """

    # required parameters
    whole: Delivery
    in_thread: Callable[..., Deferred[Any]] = maybeDeferred

    # internal state
    _parts: dict[tuple[str, ...], _Part] = field(default_factory=dict)
    _levels: PartReader | None = None
    _tick: int = 0  # counts what the whole has told
    _due: dict[_Part, None] = field(default_factory=dict)  # to be brought up to date, in this order
    _due_call: IDelayedCall | None = None
    _orders: dict[_Part, _Order] = field(default_factory=dict)  # of each part the last one alone
    _making: tuple[_Part, _Order] | None = None
    _evicted: _Part | None = None  # the one whose followers are being sent away

    def __post_init__(self) -> None:
        self.whole.feed.changed.append(self._follow)

    def __iter__(self) -> Iterator[Delivery]:
        return (part.delivery for part in self._parts.values())

    def find(
        self, segments: Iterable[bytes], peer: str | None = None, *, coded: bool = False, has_waited: bool = False
    ) -> Delivery | None:
        """Gives how a part can be followed, which begins now if nobody has asked for it before.

        :param segments: the path to it, without percent-encoding.
        :param peer: the address under which the client counts that will follow the part; ``None`` if it is only to be
            answered. Where as many parts are followed already as may, that is done without looking after it.
        :param coded: whether the client takes a content coding. Of a large part there is none before the next version,
            or the next request some 50 ms later.
        :param has_waited: whether the client has followed the part until now: it is only answered, and where the part
            has just made room, the room is not taken again.
        :returns: ``None`` if the document has no such part now.
        :raises TooManyPartsError: if there is no room for one to be followed.
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
            self._bring(part)
        if coded or peer is not None:
            self._code(part, coded=coded)
        part.used_at = self.whole.feed.clock.seconds()
        return part.delivery

    def _begin(self, tokens: tuple[str, ...], peer: str | None, *, keep: bool) -> _Part:
        whole = self.whole.feed
        # A part is pushed when it changes, whatever the whole is: that is what it is for.
        feed = Feed(
            "/".join((whole.name, *tokens)),
            clock=whole.clock,
            interval_s=whole.interval_s,
            push="change",
            wall=whole.wall,
            whole=whole,
            history=History(whole.history),
        )
        delivery = Delivery.of(feed, self.whole.answer_handshake, self.whole.full)
        part = _Part(tokens, delivery, whole.clock.seconds(), peer or "")
        if keep and (len(self._parts) < MAX_PARTS or self._make_room(peer)):
            self._parts[tokens] = part
        return part

    def _make_room(self, peer: str | None) -> bool:
        """Lets go of the part that nobody follows, and that was not asked for for longest.

        If all are followed, one makes room of the address that has the most, if that is more than the newcomer then
        has.

        :returns: whether there is room; always if somebody is to follow.
        :raises TooManyPartsError: if there is none for somebody to follow.
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
            # Beginning with the one that the fewest follow, so that few are looked at.
            for part in sorted(theirs, key=lambda part: len(part.delivery.feed.subscriptions)):
                another = next((other for other in part.delivery.peers() if other != greedy), None)
                if another is None:
                    self._forget(part)
                    _log.info(
                        'feed "{feed}": a part makes room, of one address that follows {most}',
                        most=most,
                        feed=self.whole.feed.name,
                    )
                    self._evict(part)
                    return True
                # Nobody is sent away because somebody else, who has many, was there first.
                part.peer = another
        raise TooManyPartsError

    def _evict(self, part: _Part) -> None:
        """Ends what follows a part that is forgotten. Requests that wait for it are answered from what it is now."""
        self._evicted = part
        try:
            part.delivery.evict()
        finally:
            self._evicted = None

    def _forget(self, part: _Part) -> None:
        del self._parts[part.tokens]
        self._due.pop(part, None)
        self._orders.pop(part, None)

    def _follow(self) -> None:
        """Takes note of a tick of the whole."""
        self._tick += 1
        now = self.whole.feed.clock.seconds()
        for part in tuple(self._parts.values()):
            if part.delivery.feed.subscriptions:
                # Those that are still due stay in front.
                self._due.setdefault(part)
            elif now - part.used_at > UNUSED_S:
                self._forget(part)
        if self._due_call is None:
            self._bring_some()

    def _bring_some(self) -> None:
        """Brings parts up to date, and leaves the others to the next turns of the reactor."""
        self._due_call = None
        clock = self.whole.feed.clock
        end = clock.seconds() + SLICE_S
        while self._due:
            part = next(iter(self._due))
            del self._due[part]
            try:
                self._bring(part)
            except Exception:
                # As a pull that failed: those who follow it are told, and the next tick of the whole tries again.
                _log.failure('feed "{feed}": a part broke', feed=part.delivery.feed.name)
                part.delivery.feed.mark_stale()
            if self._due and clock.seconds() > end:
                self._due_call = clock.callLater(0, self._bring_some)
                return

    def _bring(self, part: _Part) -> None:
        """Brings a part up to the newest version of the whole.

        A large one that is followed is made in a thread first. Until then it is as old as it says.
        """
        whole, feed = self.whole.feed, part.delivery.feed
        part.tick = self._tick
        self._due.pop(part, None)
        feed.tick_at = whole.tick_at
        data = self._bytes_of(part.tokens)
        if data is None or whole.snapshot is None:
            # It may come back, to those who wait for it.
            feed.miss()
            return
        is_new = feed.is_missing or feed.snapshot is None or data != feed.snapshot.data
        order = _Order(data, whole.snapshot.sequence, whole.confirmed, coded=False)
        if is_new and feed.subscriptions and is_large(data):
            self._order(part, order)
            return
        if is_new or whole.state is State.LIVE:
            made = Snapshot.bare(data, order.sequence) if is_new and not feed.subscriptions else None
            feed.publish(data, order.sequence, made=made, confirmed=order.confirmed)
        feed.confirmed = whole.confirmed
        if whole.state is not State.LIVE:
            feed.mark_stale()

    def _code(self, part: _Part, *, coded: bool) -> None:
        """Compresses a part that nobody needed compressed so far: at once, or in a thread if it is large."""
        feed = part.delivery.feed
        snapshot = feed.snapshot
        # Once for each version, also where the codings turn out to be no smaller.
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

    def _order(self, part: _Part, order: _Order) -> None:
        """Has a snapshot made in the one thread that makes them, instead of an older one that is not begun yet."""
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
            making = maybeDeferred(order.make, preparation)  # There is no thread, and it is done here.
        making.addCallback(self._made, part, order)
        making.addErrback(
            lambda failure: _log.failure('feed "{feed}": a part broke', failure, feed=part.delivery.feed.name)
        )
        making.addBoth(self._go_on)

    def _go_on(self, result: object) -> None:
        self._making = None
        # Not at once: what is made at once where there is no thread would be made in one turn of the reactor.
        if self._orders:
            self.whole.feed.clock.callLater(0, self._make_next)

    def _made(self, made: tuple[Snapshot, bytes | None], part: _Part, order: _Order) -> None:
        """Takes a snapshot that was made."""
        snapshot, patch = made
        feed = part.delivery.feed
        if self._parts.get(part.tokens) is not part:
            return
        if feed.snapshot is not None and feed.snapshot.version == snapshot.version and not feed.is_missing:
            feed.complete(snapshot)
        elif self._bytes_of(part.tokens) is None:
            return  # It is gone meanwhile.
        elif feed.snapshot is None or (feed.snapshot.sequence < order.sequence and not order.is_older_than(feed)):
            if patch is not None:
                feed.history.prepare(snapshot, patch)
            feed.publish(snapshot.data, order.sequence, made=snapshot, confirmed=order.confirmed)
            # It is still what the whole has, or there is a newer one.
            self._bring(part)

    def _bytes_of(self, tokens: tuple[str, ...]) -> bytes | None:
        """Gives a part as it stands in the document."""
        snapshot = self.whole.feed.snapshot
        if snapshot is None:
            return None
        if self._levels is None or self._levels.data is not snapshot.data:
            self._levels = PartReader(snapshot.data)
        return self._levels.part(tokens)
