"""Connections without TLS that are written the same data."""

from __future__ import annotations

from typing import Any

from livefeed.transport.groups import ConnectionGroup, DirectGroup
from livefeed.transport.sockets import send_to_all
from tests.helpers.connection_contracts import GroupContract


class GroupTests(GroupContract):
    """Groups of connections without TLS."""

    __test__ = True

    def test_write_that_breaks_in_the_middle(self) -> None:
        """Which have been written to is not known: all are ended, and none stays that is sent nothing any more."""

        def send_one(socks: list[Any], data: bytes, size: int) -> list[int]:
            send_to_all(socks[:1], data, size)
            raise MemoryError

        group: DirectGroup[Any] = DirectGroup(list, send_one)
        clients = []
        for _ in range(2):
            self.connect()
            group.add(self.connection)
            clients.append(self.client)
        for piece in (b"1", b"2"):
            group.write(piece)
        for client in clients:
            self.turn_until(lambda client=client: client.ended, client)
        self.assertEqual([client.received for client in clients], [b"12", b"1"])
        self.assertEqual(len(self.flushLoggedErrors(MemoryError)), 2)

    def test_writing_nothing(self) -> None:
        """No connection is written to."""
        group = self.connection_class.make_group()
        group.add(self.connection)
        for piece in (b"1", b"", b"2"):
            group.write(piece)
        self.receive(2)
        self.assertEqual(self.client.received, b"12")

    def test_connection_in_two_groups(self) -> None:
        """It is written to by its handle in one of them, and gets the data of both."""
        groups = [self.connection_class.make_group() for _ in range(2)]
        for group in groups:
            group.add(self.connection)
        for number in range(3):
            for group in groups:
                group.write(b"%d" % number)
        for group in groups:
            group.discard(self.connection)
            group.write(b"x")
        self.receive(6)
        self.assertEqual(self.client.received, b"001122")

    def test_other_group(self) -> None:
        """A connection is taken aside by its own group alone."""
        group: ConnectionGroup[Any] = ConnectionGroup()
        group.add(self.connection)
        group.write(b"1")
        group.discard(self.connection)
        group.write(b"2")
        self.receive(1)
        self.assertEqual(self.client.received, b"1")
