"""Wrong tokens of each address, which are counted so that nobody tries tokens out.

Rule: a right token is always served: other users and proxies of the same address must not lock its owner out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

MAX_FAILURES = 5
"""Wrong tokens from one address within a second, after which the next ones are told to come back."""

MAX_ADDRESSES = 1024
"""Addresses whose wrong tokens are counted within a second. When there are more, the others are told to come back."""

WINDOW_S = 1.0
"""Seconds for which wrong tokens are counted."""


@dataclass(slots=True)
class Failures:
    """Counts wrong tokens.

    :ivar clock: measures their rate.
    """

    # required parameters
    clock: IReactorTime

    # internal state
    _counts: dict[str, int] = field(default_factory=dict)  # in the present window, by address
    _window_at: float = 0.0  # when it began, by the clock

    def is_one_too_many(self, address: str) -> bool:
        """Counts a wrong token, and tells whether there were too many before it.

        :param address: the text under which it is counted, by ``transport/addresses.py``.
        """
        now = self.clock.seconds()
        if now - self._window_at >= WINDOW_S:
            self._window_at = now
            self._counts.clear()
        count = self._counts.get(address, 0)
        if count >= MAX_FAILURES or (not count and len(self._counts) >= MAX_ADDRESSES):
            return True
        self._counts[address] = count + 1
        return False
