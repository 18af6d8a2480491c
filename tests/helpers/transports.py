"""Transports in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.testing import StringTransport

from livefeed.transport.groups import ConnectionGroup


class Transport(StringTransport):
    """A transport that, like real ones, tolerates a producer that unregisters twice, and calls after the end."""

    protocol: Any
    unsent_bytes = 0

    def resumeProducing(self) -> None:
        if not self.disconnecting:
            super().resumeProducing()

    def unregisterProducer(self) -> None:
        self.producer = None


class Grouped(Transport):
    """A transport of which many can be written to together."""

    write_or_end = Transport.write
    make_group: Any = staticmethod(ConnectionGroup)


class Wrapping(Transport):
    """A transport that wraps another, as Twisted's TLS does, and passes other attributes on to it."""

    def write_below(self) -> Any:
        raise AssertionError("written below the wrapper, where everybody can read it")

    def __getattr__(self, name: str) -> Any:
        if name == "make_group":
            return self.write_below
        raise AttributeError(name)


class PausingClient:
    """The base of clients in memory that can stop reading.

    :ivar transport: the server's, whose producer is the protocol.
    """

    transport: Transport

    def pause(self) -> None:
        """The client stops reading, and the transport's buffer is full."""
        assert self.transport.producer is not None
        self.transport.producer.pauseProducing()

    def resume(self) -> None:
        """The transport's buffer is empty again."""
        assert self.transport.producer is not None
        self.transport.producer.resumeProducing()
