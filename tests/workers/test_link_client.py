"""A worker's end of the link: it connects again, looks for other parents, and follows none of another protocol."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, eventAsText

from livefeed.workers import link_client
from livefeed.workers.link_client import MAX_RECONNECT_S, RECONNECT_S, SETTLED_S, LinkClient
from livefeed.workers.messages import PROTOCOL, Hello, Message
from tests.helpers.link_ends import LinkTestCase, until

if TYPE_CHECKING:
    from livefeed.workers.link import Link


class UNIXClock:
    """A clock in memory, and connections that are only asked for."""

    def __init__(self, clock: Clock) -> None:
        self.seconds, self.callLater = clock.seconds, clock.callLater

    def connectUNIX(self, address: str, factory: object, timeout: float = 30) -> None:
        """IReactorUNIX API."""


class ReconnectTests(LinkTestCase):
    async def test_the_worker_connects_again(self) -> None:
        """It tries for as long as it lives: before there is a parent, and with each one after the first."""
        self.patch(link_client, "RECONNECT_S", 0.01)
        client = self.connect()
        server = self.serve()
        await until(lambda: self.welcomes)
        assert self.parent_link is not None
        await server.stopService()
        self.parent_link.abort()
        await until(lambda: client.link is None)
        self.assertEqual(self.worker.ended, 1)
        # What a parent leaves behind that was killed.
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(self.path))
        self.serve()
        await until(lambda: self.welcomes == 2)
        self.assertIsNotNone(client.link)

    async def test_links_that_end_soon(self) -> None:
        """They are made ever more rarely, one after the other: each costs the parent the pictures of all feeds."""
        clock = Clock()
        client = LinkClient([self.path], UNIXClock(clock), lambda: Hello(PROTOCOL, "1", 1, 0), self.on_welcome)  # type: ignore[arg-type]
        client.startService()
        pauses = []
        for lived_s in (0.1, 0.1, 0.1, 0.1, 0.1, SETTLED_S, 0.1):
            client._build()
            clock.advance(lived_s)
            client._note_ended()
            assert client._retry is not None
            pauses.append(round(client._retry.getTime() - clock.seconds(), 3))
            clock.advance(MAX_RECONNECT_S)
        self.assertEqual(pauses, [0.2, 0.4, 0.8, 1.0, 1.0, 0.2, 0.2])
        client._note_ended()
        assert client._retry is not None
        self.assertEqual(round(client._retry.getTime() - clock.seconds(), 3), RECONNECT_S)

    async def test_the_end_of_the_service(self) -> None:
        """Nothing is left of it, connected or not."""
        client = self.connect()
        client.stopService()
        await until(lambda: client._attempt is None)
        self.assertIsNone(client._retry)
        unconnected = self.connect()
        await until(lambda: unconnected._retry)
        unconnected.stopService()
        self.assertIsNone(unconnected._retry)


class RefusalTests(LinkTestCase):
    async def test_refused(self) -> None:
        """The worker is told each time, and looks for another parent."""
        self.patch(link_client, "RECONNECT_S", 0.01)
        server = self.serve()
        server.on_hello = self.refuse
        self.connect()
        await until(lambda: len(self.refusals) == 2)

    @staticmethod
    def refuse(link: Link, hello: Hello) -> None:
        link.send(Message("refused", {"why": "there is no place"}))
        link.close()

    async def test_a_parent_of_another_protocol(self) -> None:
        """The worker does not follow a parent that it might misunderstand."""
        self.welcome = Message("welcome", {"protocol": "livefeed.link.v9"})
        self.serve()
        with capturedLogs() as events:
            client = self.connect()
            await until(lambda: any("the parent speaks livefeed.link.v9" in eventAsText(each) for each in events))
        self.assertIsNone(client.link)
