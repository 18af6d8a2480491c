"""``/feed/a/b/3``: parts of the document that are followed like feeds of their own (RFC 6901).

Whoever watches one district is only told when that district changes. A part is looked after for as long as somebody
follows it, or has asked for it a moment ago.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twisted.logger import Logger

from livefeed.feed import Feed, State
from livefeed.history import History
from livefeed.pointer import Levels, PointerError, tokens_of
from livefeed.web.ways import Ways

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_PARTS = 256
"""So many parts are looked after at a time. When all change in one tick, that takes 40 ms."""

UNUSED_S = 60
"""So long a part is kept that nobody follows and nobody asks for."""

_log = Logger()


class TooManyPartsError(Exception):
    """So many parts are looked after already that there is no room for another."""


@dataclass(slots=True, eq=False)
class _Part:
    """One part that is looked after."""

    tokens: tuple[str, ...]
    ways: Ways
    used_at: float


@dataclass(eq=False)
class Parts:
    """The parts of a feed's document that somebody is interested in.

    :param whole: how the whole feed is followed.
    """

    # required parameters
    whole: Ways

    # internal state
    _parts: dict[tuple[str, ...], _Part] = field(default_factory=dict)
    _levels: Levels | None = None

    def __post_init__(self) -> None:
        self.whole.feed.changed.append(self._follow)

    def __iter__(self) -> Iterator[Ways]:
        return (part.ways for part in self._parts.values())

    def find(self, segments: Iterable[bytes]) -> Ways | None:
        """Gives how a part can be followed, which begins now if nobody has asked for it before.

        :param segments: the path to it, without percent-encoding.
        :returns: ``None`` if the document has no such part now.
        :raises TooManyPartsError: if too many are looked after already.
        """
        try:
            # A slash that was percent-encoded belongs to a name.
            tokens = tokens_of("/".join(segment.decode().replace("/", "~1") for segment in segments))
            if self._bytes_of(tokens) is None:
                return None
        except (UnicodeDecodeError, PointerError):
            return None
        part = self._parts.get(tokens)
        if part is None:
            part = self._begin(tokens)
            self._bring(part)
        part.used_at = self.whole.feed.clock.seconds()
        return part.ways

    def _begin(self, tokens: tuple[str, ...]) -> _Part:
        if len(self._parts) >= MAX_PARTS:
            self._make_room()
        whole = self.whole.feed
        # A part is pushed when it changes, whatever the whole is: that is what it is for.
        feed = Feed(
            "/".join((whole.name, *tokens)),
            clock=whole.clock,
            interval_s=whole.interval_s,
            push="change",
            whole=whole,
            history=History(whole.history),
        )
        part = _Part(tokens, Ways.of(feed, self.whole.upgrade, self.whole.full), whole.clock.seconds())
        self._parts[tokens] = part
        return part

    def _make_room(self) -> None:
        """Lets go of the part that nobody follows, and that was not asked for for longest.

        :raises TooManyPartsError: if all are followed.
        """
        idle = [part for part in self._parts.values() if not part.ways.feed.subscriptions]
        if not idle:
            raise TooManyPartsError
        del self._parts[min(idle, key=lambda part: part.used_at).tokens]

    def _follow(self) -> None:
        """Takes note of a tick of the whole."""
        now = self.whole.feed.clock.seconds()
        for part in tuple(self._parts.values()):
            if not part.ways.feed.subscriptions and now - part.used_at > UNUSED_S:
                del self._parts[part.tokens]
                continue
            try:
                self._bring(part)
            except Exception:
                _log.failure("feed {feed}: a part broke", feed=part.ways.feed.name)

    def _bring(self, part: _Part) -> None:
        """Brings a part up to the newest version of the whole."""
        whole, feed = self.whole.feed, part.ways.feed
        feed.tick_at = whole.tick_at
        data = self._bytes_of(part.tokens)
        if data is None or whole.snapshot is None:
            # It may come back, to those who wait for it.
            feed.snapshot = None
            return
        if feed.snapshot is None or whole.state is State.LIVE:
            feed.publish(data, whole.snapshot.sequence)
        feed.confirmed_at = whole.confirmed_at
        if whole.state is not State.LIVE:
            feed.mark_stale()

    def _bytes_of(self, tokens: tuple[str, ...]) -> bytes | None:
        """Gives a part as it stands in the document."""
        snapshot = self.whole.feed.snapshot
        if snapshot is None:
            return None
        if self._levels is None or self._levels.data is not snapshot.data:
            self._levels = Levels(snapshot.data)
        return self._levels.part(tokens)
