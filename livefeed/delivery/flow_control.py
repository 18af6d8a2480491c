"""The base of all subscribers' connections: the pace of the reader, whatever protocol the connection speaks."""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.interfaces import IPushProducer
from twisted.protocols.policies import ProtocolWrapper
from zope.interface import implementer

from livefeed.delivery.transports import unsent_bytes


class Following(Protocol):
    """The requirements on what a connection follows: one subscription, or several."""

    def pause(self) -> None:
        """Takes note that the subscriber can take nothing more for now."""

    def resume(self) -> None:
        """Takes note that the subscriber can take more, and delivers what is owed."""

    def cancel(self) -> None:
        """Ends it. A second call has no effect."""


@implementer(IPushProducer)
class PausableSubscriber:
    """A protocol whose subscription is paused for as long as its transport is full."""

    transport: Any

    _subscription: Following | None = None
    _paused = False
    _unsent = 0  # bytes that the transport still held at the last heartbeat while it was full
    # Heartbeats since the last sign of life. Below 0: heartbeats that were skipped in a row.
    _silent = 0

    def pauseProducing(self) -> None:
        """IPushProducer API."""
        self._paused = True
        if self._subscription is not None:
            self._subscription.pause()

    def resumeProducing(self) -> None:
        """IPushProducer API."""
        self._paused = False
        self._silent = min(self._silent, 0)
        below: Any = self.transport.transport if isinstance(self.transport, ProtocolWrapper) else None
        if below is not None and below.disconnecting:
            # TLS, or another layer, has ended, and the socket below waits for its producer to unregister.
            self.transport.unregisterProducer()
        elif self._subscription is not None:
            self._subscription.resume()

    def drop(self) -> None:
        """Subscriber and Member API. Aborts the connection: its state after an error is unknown."""
        self.transport.abortConnection()

    def stopProducing(self) -> None:
        """IPushProducer API."""

    def _leave_transport(self) -> None:
        """Unregisters from a lost transport: Twisted's TLS keeps its producer for ever, and the producer keeps TLS."""
        self.transport.unregisterProducer()

    def _note_progress(self) -> None:
        """Counts it as a sign of life if a full transport has sent something since the last heartbeat.

        Nothing else counts for a full transport: a client that sends but never reads would keep the version that it was
        sent in memory.
        """
        unsent, self._unsent = self._unsent, unsent_bytes(self.transport)
        if self._unsent < unsent:
            self._silent = 0

    def _unsubscribe(self) -> None:
        if self._subscription is not None:
            self._subscription.cancel()
            self._subscription = None
