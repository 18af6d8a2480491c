"""Transports in memory that do what real ones do."""

from __future__ import annotations

from typing import Any

from twisted.internet.testing import StringTransport


class Transport(StringTransport):
    """A transport that, like the real ones, minds neither a producer that leaves twice nor what comes after the end.

    :ivar protocol: the protocol that it feeds, which changes with an upgrade.
    :ivar unsent_bytes: the size in bytes of what the kernel has not taken.
    """

    protocol: Any
    unsent_bytes = 0

    def resumeProducing(self) -> None:
        if not self.disconnecting:
            super().resumeProducing()

    def unregisterProducer(self) -> None:
        self.producer = None
