"""Long-polling: requests that are answered at the next version (``Prefer: wait=N``, RFC 7240, 4.3)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IDelayedCall

    from livefeed.feed import Feed, Subscription
    from livefeed.snapshot import Snapshot
    from livefeed.web.site import Request

MAX_WAIT_S = 55
"""Less than the 60 s after which most proxies give up on an answer."""

_WAIT = re.compile(rb'[ \t]*wait[ \t]*=[ \t]*(?:([0-9]{1,18})|"([0-9]{1,18})")[ \t]*(?:;|\Z)', re.IGNORECASE)
_NAME = re.compile(rb"[ \t]*wait[ \t]*(?:[=;]|\Z)", re.IGNORECASE)
# What stands between commas; those in quoted strings are part of it (RFC 9110, 5.6.4). One that is never closed goes on
# to the end: to look for another beginning within it would take quadratic time.
_MEMBER = re.compile(rb'(?:"(?>[^"\\]|\\.)*+(?:"|\\?\Z)|[^,"])+')


def preferred_wait_s(prefer: bytes | None) -> int | None:
    """Gives how long a client would like to wait: whole seconds, :data:`MAX_WAIT_S` at most; ``None`` if not said.

    :param prefer: the field ``Prefer``, its lines joined with commas; ``None`` if it was not sent. Of several waits the
        first counts (RFC 7240, 2), even if it is malformed; other preferences are ignored.
    """
    for preference in _MEMBER.findall(prefer or b""):
        if _NAME.match(preference):
            match = _WAIT.match(preference)
            return None if match is None else min(int(match[1] or match[2]), MAX_WAIT_S)
    return None


@dataclass(eq=False)
class LongPolls:
    """The requests for a feed that wait.

    :ivar waiting: these.
    """

    # required parameters
    feed: Feed

    # internal state
    waiting: dict[_Waiting, None] = field(default_factory=dict)

    def hold(self, request: Request, wait_s: int, answer: Callable[[Request], object]) -> None:
        """Lets a request wait.

        :param wait_s: for so long at most.
        :param answer: answers it: at the next version, or when the time is over.
        """
        assert self.feed.snapshot is not None
        waiting = _Waiting(self, request, answer)
        self.waiting[waiting] = None
        waiting.timeout = self.feed.clock.callLater(wait_s, waiting.end)
        version = self.feed.snapshot.version
        waiting.subscription = self.feed.subscribe(waiting, repeats=False, have=version, expire=waiting.end)
        request.hurry = waiting.end
        request.notifyFinish().addErrback(waiting.leave)

    def release(self) -> None:
        """Answers everybody now."""
        for waiting in tuple(self.waiting):
            waiting.end()


@dataclass(slots=True, eq=False)
class _Waiting:
    """One request that waits."""

    # required parameters
    _all: LongPolls
    _request: Request
    _answer: Callable[[Request], object]

    # internal state
    timeout: IDelayedCall | None = None
    subscription: Subscription | None = None

    def send(self, snapshot: Snapshot) -> None:
        """Subscriber API."""
        self.end()

    def end(self) -> None:
        """Answers the request."""
        self.leave()
        self._answer(self._request)

    def leave(self, reason: object = None) -> None:
        """Lets go of the request: it is being answered, or its client has left."""
        self._all.waiting.pop(self, None)
        self._request.__dict__.pop("hurry", None)
        if self.subscription is not None:
            self.subscription.cancel()
        if self.timeout is not None and self.timeout.active():
            self.timeout.cancel()
