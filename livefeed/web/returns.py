"""When the clients come back whose event streams and waiting requests livefeed ends: one after another.

Rule: clients that come back in one slot are told the same, so that a message is rendered once for each slot.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from livefeed.web.refusals import MAX_RETRY_S, RETRY_S, RETURNS_PER_S

SLOT_S = 0.02
"""The length of a slot in seconds, as that of the WebSockets, whose slots are others (``websocket.SLOTS``): eight
clients share it, of the 400 that come back in a second. More would be a storm: to begin a stream with a full TLS
handshake took 3 ms of a busy processor, where the same without TLS took 0.9 ms."""

SLOTS = round((MAX_RETRY_S - RETRY_S[0]) / SLOT_S)
"""Slots until the longest time that a client is told to wait. Further clients begin with the first slot again."""

_PER_SLOT = round(RETURNS_PER_S * SLOT_S)


@dataclass(eq=False)
class Returns:
    """Gives each client a slot; the first comes after a restart, and all clients share the slots evenly."""

    # internal state
    _count: int = 0

    def add(self, count: int = 1) -> None:
        """Takes the places of clients that were told when to come back.

        :param count: the number of these clients.
        """
        self._count += count

    def retry_ms(self) -> int:
        """Gives the milliseconds that the next client waits: from 6000 to 59,980, a multiple of 20."""
        slot = self._count // _PER_SLOT % SLOTS
        return round(1000 * (RETRY_S[0] + slot * SLOT_S))

    def retry_after_s(self) -> int:
        """Gives the same in whole seconds, rounded up, for ``Retry-After`` (RFC 9110, 10.2.3)."""
        return math.ceil(self.retry_ms() / 1000)
