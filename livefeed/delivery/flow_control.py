"""The base of all subscribers' connections: the pace of their reader, whatever protocol they speak."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

if TYPE_CHECKING:
    from livefeed.feed.subscription import Subscription


@implementer(IPushProducer)
class PausableSubscriber:
    """A protocol whose subscription is paused for as long as its transport is full."""

    transport: Any

    _subscription: Subscription | None = None
    _paused = False
    _unsent = 0  # how much had not been taken when it was last asked
    _silent = 0  # so many times in a row it was asked for a sign of life, and there was none; below 0, was not asked

    def pauseProducing(self) -> None:
        """IPushProducer API."""
        self._paused = True
        if self._subscription is not None:
            self._subscription.pause()

    def resumeProducing(self) -> None:
        """IPushProducer API."""
        self._paused = False
        self._silent = min(self._silent, 0)
        if getattr(getattr(self.transport, "transport", None), "disconnecting", False):
            # Twisted's TLS has ended, and the socket below it waits for its producer to leave.
            self.transport.unregisterProducer()
        elif self._subscription is not None:
            self._subscription.resume()

    def drop(self) -> None:
        """Subscriber and Member API. Cuts the connection: what it would be sent from now on cannot be known."""
        self.transport.abortConnection()

    def stopProducing(self) -> None:
        """IPushProducer API."""

    def _leave_transport(self) -> None:
        """Takes note that the connection is lost. Twisted's TLS keeps its producer for ever, and that keeps it."""
        self.transport.unregisterProducer()

    def _note_progress(self) -> None:
        """Counts a paused reader that has taken something since it was last asked, if slowly, as one that is there.

        Nothing else counts: one that sends and never reads would keep the version that it was sent in memory.
        """
        unsent, self._unsent = self._unsent, getattr(self.transport, "unsent_bytes", 0)
        if self._unsent < unsent:
            self._silent = 0

    def _unsubscribe(self) -> None:
        if self._subscription is not None:
            self._subscription.cancel()
            self._subscription = None
