"""The tick: every interval, fetch from the source, ask the gate, publish.

Rule: a tick never raises. A LoopingCall stops for good at its first error, and with it the feed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from livefeed.encodings import compress_well
from livefeed.exceptions import PullError, SourceError
from livefeed.gate import check_document

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from livefeed.feed import Feed
    from livefeed.sources import Source

MIN_TIMEOUT_S = 1.0
MAX_TIMEOUT_S = 10.0
REMIND_S = 10.0
"""While a feed is stale, another reason is logged if the last line is so old."""

_log = Logger()


@dataclass(eq=False)
class Poller(Service):
    """Keeps a feed at what its source holds, for as long as the service runs.

    A pull may take one interval, but at least 1 s and at most 10 s. The next tick waits for it, so that pulls never
    overlap. Each change between good and failing is logged once.

    :param delay_s: so long after the start is the first pull.
    :ivar good: how many pulls gave the document since the start.
    :ivar failed: how many failed, or gave what may not be served.
    """

    # required parameters
    feed: Feed
    source: Source
    clock: IReactorTime
    max_bytes: int
    delay_s: float = 0.0
    in_thread: Callable[..., Deferred[Any]] = maybeDeferred

    # internal state
    timeout_s: float = field(init=False)
    good: int = 0
    failed: int = 0
    _loop: LoopingCall = field(init=False)
    _why: str = ""
    _told_at: float = 0.0
    _start_call: IDelayedCall | None = None
    _fetching: Deferred[bytes] | None = None
    _stopped: bool = False
    _outcome: Literal["none yet", "good", "failed"] = "none yet"

    def __post_init__(self) -> None:
        self.timeout_s = min(max(self.feed.interval_s, MIN_TIMEOUT_S), MAX_TIMEOUT_S)
        self._loop = LoopingCall(lambda: Deferred.fromCoroutine(self.tick()))
        self._loop.clock = self.clock

    def startService(self) -> None:
        """IService API."""
        super().startService()
        self._stopped = False
        if self.delay_s:
            self._start_call = self.clock.callLater(self.delay_s, self._begin)
        else:
            self._begin()

    def _begin(self) -> None:
        self._loop.start(self.feed.interval_s, now=True)

    def stopService(self) -> None:
        """IService API."""
        super().stopService()
        self._stopped = True
        if self._start_call is not None and self._start_call.active():
            self._start_call.cancel()
        if self._loop.running:
            self._loop.stop()
        if self._fetching is not None:
            self._fetching.cancel()
        self.source.close()

    async def tick(self) -> None:
        """Pulls once, and publishes what was pulled or marks the feed stale."""
        self.feed.tick_at = self.clock.seconds()
        try:
            data = await self._pull()
            if not self._stopped:
                before = self.feed.snapshot
                self.feed.publish(data)
                self._note_good()
                snapshot = self.feed.snapshot
                if snapshot is not None and snapshot is not before and snapshot.is_large:
                    # Served as it is, and in gzip, until the slow codings are there.
                    self.feed.add_codings(snapshot, await self.in_thread(compress_well, data))
        except PullError as error:
            self._note_failed(str(error))
        except Exception:
            if self._outcome != "failed" and not self._stopped:
                _log.failure("feed {feed}: a tick broke", feed=self.feed.name)
            self._note_failed("an error inside livefeed")

    async def _pull(self) -> bytes:
        self._fetching = Deferred.fromCoroutine(self.source.fetch())
        try:
            data = await self._fetching.addTimeout(self.timeout_s, self.clock, self._too_slow)
        finally:
            self._fetching = None
        if self.feed.snapshot is None or data != self.feed.snapshot.data:
            check_document(data, max_bytes=self.max_bytes)
        return data

    def _too_slow(self, result: bytes | Failure, timeout_s: float) -> bytes:
        """Takes the place of whatever a source makes of being cancelled, since it took too long."""
        if isinstance(result, Failure):
            raise SourceError(f"no answer within {timeout_s:g} s")
        return result

    def _note_good(self) -> None:
        self.good += 1
        if self._outcome != "good":
            self._outcome = "good"
            _log.info("feed {feed} is live: pulled from {source}", feed=self.feed.name, source=self.source)

    def _note_failed(self, why: str) -> None:
        if self._stopped:
            return
        self.failed += 1
        self.feed.mark_stale()
        now = self.clock.seconds()
        if self._outcome != "failed":
            text = "feed {feed} is stale: {source}: {why}"
        elif why != self._why and now - self._told_at >= REMIND_S:
            # Whoever has mended one thing is told what is wrong now.
            text = "feed {feed} is still stale: {source}: {why}"
        else:
            return
        self._outcome, self._why, self._told_at = "failed", why, now
        _log.warn(text, feed=self.feed.name, source=self.source, why=why)
