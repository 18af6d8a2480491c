"""The requests of a worker for the keys of tokens: the parent alone fetches them.

Rule: tokens with made-up names of keys cause one message in a long time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from livefeed.auth.fetching import RETRY_S
from livefeed.workers.messages import message_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.internet.interfaces import IReactorTime

    from livefeed.workers.messages import Message

KEYS = "keys"
"""The type of the message."""

SOON_S = 3.0
"""Seconds after a request in which other keys may come."""


class KeysWanted(msgspec.Struct, frozen=True):
    """``keys``: a token names a key that is not known.

    :ivar url: the URL of the keys.
    """

    url: str


@dataclass(eq=False)
class KeyRequests:
    """Asks the parent.

    :ivar clock: measures the time.
    :ivar send: sends a message to the parent, if there is one.
    """

    # required parameters
    clock: IReactorTime
    send: Callable[[Message], None]

    # internal state
    _asked: dict[str, float] = field(default_factory=dict)  # by URL

    def want(self, url: str) -> bool:
        """Asks for the keys of a URL, unless that was done a short time ago, and tells whether others may come soon."""
        now = self.clock.seconds()
        passed_s = now - self._asked.get(url, -RETRY_S)
        if passed_s < RETRY_S:
            return passed_s < SOON_S
        self._asked[url] = now
        self.send(message_of(KEYS, KeysWanted(url)))
        return True
