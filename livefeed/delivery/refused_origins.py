"""The origins of pages that have asked for a feed and may not read it: the log names each, since nobody else does.

A browser hides the answer from such a page, and the answer itself is a good one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twisted.logger import Logger

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

MAX_ORIGINS = 20
"""The number of origins that are logged for a feed within :data:`AGAIN_S`. A client may send any origin."""

AGAIN_S = 86_400.0
"""Seconds after which an origin is logged again."""

MAX_ORIGIN_BYTES = 100
"""The length in bytes at which an origin is cut off."""

_log = Logger()


@dataclass(slots=True)
class RefusedOrigins:
    """The origins that the log has.

    :ivar feed: the name of the feed.
    :ivar clock: the clock.
    """

    # required parameters
    feed: str
    clock: IReactorTime

    # internal state
    _logged_at: dict[bytes, float] = field(default_factory=dict)  # the oldest is the first

    def note(self, origin: bytes) -> None:
        """Has the log name an origin, unless it has done so within a day, or has named too many."""
        origin, now = origin[:MAX_ORIGIN_BYTES].lower(), self.clock.seconds()
        if now - self._logged_at.get(origin, float("-inf")) < AGAIN_S:
            return
        oldest = next(iter(self._logged_at), None)
        if oldest is not None and now - self._logged_at[oldest] >= AGAIN_S:
            del self._logged_at[oldest]
        if len(self._logged_at) >= MAX_ORIGINS:
            return
        self._logged_at.pop(origin, None)
        self._logged_at[origin] = now
        text = origin.decode("latin-1")
        _log.info(
            'a page of {origin} asks for feed "{feed}", and allow_origin does not list it',
            origin="".join(each if " " < each <= "~" else ascii(each)[1:-1] for each in text),
            feed=self.feed,
        )
