"""The capabilities of transports."""

from __future__ import annotations

from typing import Any

from twisted.internet.tcp import Server
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.trial.unittest import SynchronousTestCase

from livefeed.delivery.transports import group_maker, unsent_bytes
from livefeed.transport.connection import Connection
from livefeed.transport.groups import ConnectionGroup
from livefeed.transport.tls_connection import TLSConnection
from tests.helpers.transports import Grouped, Transport, Wrapping


def unconnected(kind: type[Any]) -> Any:
    """Gives a transport that was never initialised: its class alone counts."""
    return object.__new__(kind)


class GroupTests(SynchronousTestCase):
    def test_fast_transport_has_groups(self) -> None:
        """One kind of group for each class, so that equal audiences are one."""
        for kind in (Connection, TLSConnection):
            make = group_maker(unconnected(kind))
            assert make is not None
            self.assertIs(make, group_maker(unconnected(kind)))
            self.assertIsInstance(make(), ConnectionGroup)
        self.assertIsNotNone(group_maker(Grouped()))

    def test_other_transports_have_none(self) -> None:
        """Each of their connections is written to by itself."""
        for transport in (Transport(), StringTransport(), unconnected(Server), unconnected(TLSMemoryBIOProtocol)):
            self.assertIsNone(group_maker(transport))

    def test_wrapper_does_not_have_those_of_the_transport_below(self) -> None:
        """A method that the wrapper only passes on is ignored, or documents would be written past TLS."""
        wrapping: Any = Wrapping()
        self.assertIsNotNone(wrapping.make_group)
        self.assertIsNone(group_maker(wrapping))


class UnsentTests(SynchronousTestCase):
    def test_transport_tells(self) -> None:
        """A wrapped transport has the property, too."""

        class Wrapper:
            def __getattr__(self, name: str) -> Any:
                return getattr(transport, name)

        transport = Transport()
        transport.unsent_bytes = 5
        self.assertEqual((unsent_bytes(transport), unsent_bytes(Wrapper())), (5, 5))

    def test_transport_that_does_not_tell(self) -> None:
        """A transport without the attribute counts as empty."""
        self.assertEqual(unsent_bytes(StringTransport()), 0)
