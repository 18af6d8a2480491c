"""The link over real Unix sockets: greetings, refusals, descriptors, reconnects, and its end after errors."""

from __future__ import annotations

import os
import socket
from functools import partial
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs, eventAsText

from livefeed.exceptions import LinkError
from livefeed.workers import link_client
from livefeed.workers.link import (
    FLUSH_S,
    FULL_BYTES,
    PAUSE_BYTES,
    REFUSED,
    STUCK_S,
    Greeting,
    Link,
)
from livefeed.workers.messages import PROTOCOL, Hello, Message, encode, message_of
from tests.helpers.link_ends import LinkTestCase, reactor, until


def open_files() -> int:
    """Gives the number of open descriptors of this process."""
    return len([*Path("/proc/self/fd").iterdir()])


class ErrorTests(LinkTestCase):
    async def test_other_first_messages_end_the_link(self) -> None:
        """Nobody else speaks to the parent."""
        self.serve()
        with socket.socket(socket.AF_UNIX) as sock:
            sock.setblocking(False)
            sock.connect(str(self.path))
            sock.send(encode(Message("heartbeat")))
            with capturedLogs() as events:
                await until(lambda: any("the first message is heartbeat" in eventAsText(each) for each in events))

    async def test_processes_of_other_users_are_refused(self) -> None:
        """The folder is closed to them, and this holds if it is not."""
        self.patch(os, "geteuid", lambda: 4242)
        self.serve()
        with socket.socket(socket.AF_UNIX) as sock, capturedLogs() as events:
            sock.setblocking(False)
            sock.connect(str(self.path))
            await until(lambda: any("is refused on the link: it must be of" in eventAsText(each) for each in events))

    async def test_errors_end_the_link(self) -> None:
        """Bytes that are no message, and a handler that breaks, end this link only: the worker is sent all anew."""
        self.patch(link_client, "RECONNECT_S", 0.01)
        self.serve()
        client = self.connect()
        for number, (broken, data) in enumerate(
            ((None, b"x\n"), (LinkError("no such feed"), b""), (ZeroDivisionError(), b"")), 1
        ):
            await until(lambda: client.link)
            assert client.link is not None
            self.parent.broken = broken
            with capturedLogs() as events:
                if data:
                    transport: Any = client.link.transport
                    transport.write(data)
                else:
                    client.link.send(Message("a"))
                    client.link.send(Message("b"))
                await until(partial(self.has_ended, number))
            self.assertEqual(len([each for each in events if "link" in eventAsText(each)]), 1)
        self.assertEqual([each.type for each in self.parent.messages], ["a", "a"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        await until(lambda: client.link)

    async def test_large_messages_are_refused(self) -> None:
        """The parent limits what it takes from a worker."""
        server = self.serve()
        server.max_payload_bytes = 1000
        client = self.connect()
        await until(lambda: client.link)
        assert client.link is not None
        client.link.send(Message("a", {}, (b"x" * 1001,)))
        await until(lambda: self.parent.ended)
        self.assertEqual(self.parent.messages, [])

    async def test_nothing_large_before_the_hello(self) -> None:
        """A process that has not said hello may send a head, and no payloads."""
        self.serve()
        with socket.socket(socket.AF_UNIX) as sock, capturedLogs() as events:
            sock.setblocking(False)
            sock.connect(str(self.path))
            sock.send(encode(Message("hello", {"protocol": PROTOCOL}, (b"x",))))
            await until(lambda: any("a message hello has more than 0 bytes" in eventAsText(each) for each in events))

    async def test_refusal_instead_of_the_first_message(self) -> None:
        """The reason is told, and the link ends at once. An end that cannot be refused takes it for an error."""
        reasons: list[str] = []
        for refused, told in ((reasons.append, ["there is no place"]), (None, [])):
            reasons.clear()
            greeting = Greeting("welcome", lambda *_: self.fail(), refused)
            link, transport = Link(greeting), StringTransport()
            transport.getHandle = lambda: None  # type: ignore[attr-defined]
            link.makeConnection(transport)
            with capturedLogs() as events:
                link.dataReceived(encode(Message(REFUSED, {"why": "there is no place"})))
            self.assertEqual((reasons, transport.disconnecting, len(events)), (told, True, int(refused is None)))

    async def test_a_flood_after_an_error(self) -> None:
        """Nothing is kept of it, and the log has one line."""
        link = Link(self.worker)
        transport = StringTransport()
        transport.getHandle = lambda: None  # type: ignore[attr-defined]
        link.makeConnection(transport)
        with capturedLogs() as events:
            for _ in range(100):
                link.dataReceived(b"x" * 10_000 + b"\n")
                link.fileDescriptorReceived(os.dup(0))
        self.assertEqual(len(events), 1)
        self.assertLess(len(link._decoder._buffer), 10_001)
        self.assertTrue(transport.disconnecting)

    async def test_messages_without_a_connection(self) -> None:
        """They are lost: after the next greeting everything is sent anew."""
        link = Link(self.worker)
        link.send(Message("a"))
        link.close()
        link.abort()
        self.assertEqual(self.worker.messages, [])


class DescriptorTests(LinkTestCase):
    async def test_descriptors(self) -> None:
        """The receiver has descriptors of its own, and the sender may close its own at once."""
        self.serve()
        client = self.connect()
        await until(lambda: client.link)
        assert self.parent_link is not None
        before = open_files()
        self.worker.takes = True
        pairs = [os.pipe() for _ in range(100)]
        self.parent_link.send(Message("sockets", {"n": 1}, (b"x" * 500_000,), tuple(read for read, _ in pairs)))
        self.parent_link.send(Message("more"))
        for read, _ in pairs:
            os.close(read)
        await until(lambda: len(self.worker.messages) == 2)
        self.assertEqual(len(self.worker.taken), 100)
        for number, (fd, (_, write)) in enumerate(zip(self.worker.taken, pairs, strict=True)):
            self.assertFalse(os.get_inheritable(fd))
            os.write(write, b"%d" % number)
            self.assertEqual(os.read(fd, 10), b"%d" % number)
            os.close(write)
            os.close(fd)
        await until(lambda: open_files() == before)

    async def test_descriptors_that_are_not_taken(self) -> None:
        """They are closed after each message: one that is unknown, one that breaks, and those behind it."""
        self.patch(link_client, "RECONNECT_S", 0.01)
        self.serve()
        client = self.connect()
        for broken in (None, LinkError("no such socket"), ZeroDivisionError()):
            await until(lambda: client.link and client.link.is_connected)
            assert client.link is not None
            before, self.parent.broken = open_files(), broken
            ended = self.parent.ended
            self.parent.messages.clear()
            for _ in range(3):
                client.link.send(Message("song", {}, (), (0, 1, 2)))
            await until(lambda: self.parent.messages and self.parent.messages[-1].type == "song")
            if broken is not None:
                await until(partial(self.has_ended, ended + 1))
                await until(lambda: client.link and client.link.is_connected)
            await until(lambda before=before: open_files() == before)  # type: ignore[misc]
        self.flushLoggedErrors(ZeroDivisionError)

    async def test_too_many_descriptors(self) -> None:
        """A message whose descriptors cannot be copied is not sent at all, and the link goes on."""
        self.serve()
        client = self.connect()
        await until(lambda: client.link)
        assert client.link is not None
        before, dup = open_files(), os.dup
        copies: list[int] = []

        def dup_two(fd: int) -> int:
            if len(copies) == 2:
                raise OSError(24, "Too many open files")
            copies.append(dup(fd))
            return copies[-1]

        self.patch(os, "dup", dup_two)
        with self.assertRaisesRegex(LinkError, "the descriptors of a message a cannot be copied: Too many open files"):
            client.link.send(Message("a", {}, (), (0, 1, 2)))
        self.assertEqual(open_files(), before)
        client.link.send(Message("b"))
        await until(lambda: self.parent.messages)
        self.assertEqual([each.type for each in self.parent.messages], ["b"])

    async def test_a_link_that_ends(self) -> None:
        """It closes the descriptors that were not sent, and those whose message did not arrive."""
        self.serve()
        client = self.connect()
        await until(lambda: client.link)
        assert client.link is not None
        assert self.parent_link is not None
        before = open_files()
        transport: Any = self.parent_link.transport
        read, write = os.pipe()
        transport.sendFileDescriptor(read)
        transport.write(b'{"type":')
        decoder = client.link._decoder
        await until(lambda: decoder._fds)
        self.parent_link.send(Message("a", {}, (), (write,)))
        self.parent_link.abort()
        await until(lambda: self.worker.ended)
        os.close(read)
        os.close(write)
        # The link has two sockets, and the reconnect may have made others.
        client.stopService()
        await until(lambda: client._attempt is None)
        self.assertLessEqual(open_files(), before)


class PauseTests(LinkTestCase):
    async def test_backpressure(self) -> None:
        """The sender knows that the other end does not read, and when it has caught up."""
        self.serve()
        client = self.connect()
        await until(lambda: client.link)
        assert client.link is not None
        assert self.parent_link is not None
        await until(lambda: self.parent.flushes)
        self.assertFalse(self.parent_link.is_paused)
        worker: Any = client.link.transport
        worker.pauseProducing()
        self.parent_link.send(Message("a", {}, (b"x" * 5_000_000,)))
        self.assertTrue(self.parent_link.is_paused)
        flushes = self.parent.flushes
        await deferLater(reactor, 0)
        self.assertTrue(self.parent_link.is_paused)
        self.parent_link.send(message_of("b", Hello("x", "y", 1, 1)))
        self.parent_link.close()
        worker.resumeProducing()
        # What was sent before it was closed still arrives.
        await until(lambda: self.worker.ended)
        self.assertEqual([each.type for each in self.worker.messages], ["a", "b"])
        self.assertLessEqual(flushes, self.parent.flushes)

    def stuck(self, clock: Clock) -> tuple[Link, list[str]]:
        """Gives a link whose other end reads nothing, and the calls of its transport."""
        link, calls = Link(self.parent, clock=clock), []
        transport = StringTransport()
        transport.getHandle = lambda: None  # type: ignore[attr-defined]
        transport.abortConnection = lambda: calls.append("abort")  # type: ignore[method-assign]
        link.makeConnection(transport)
        return link, calls

    def test_an_end_that_never_reads(self) -> None:
        """The parent ends the link after some time, and sooner if it is closed: what is queued is bounded."""
        clock = Clock()
        link, calls = self.stuck(clock)
        link.send(Message("a", {}, (b"x" * PAUSE_BYTES,)))
        self.assertFalse(link.is_full)
        clock.advance(STUCK_S - 1)
        link.resumeProducing()
        self.assertEqual(clock.getDelayedCalls(), [])
        link.send(Message("a", {}, (b"x" * FULL_BYTES,)))
        self.assertTrue(link.is_full)
        with capturedLogs() as events:
            clock.advance(STUCK_S)
        self.assertIn("it has not read all messages for 30 s", eventAsText(events[0]))
        self.assertEqual(calls, ["abort"])
        link, calls = self.stuck(clock)
        link.send(Message("a"))
        link.close()
        clock.advance(FLUSH_S)
        self.assertEqual(calls, ["abort"])

    def test_suspended_parent(self) -> None:
        """The time in which it did not look at the socket does not count."""
        clock = Clock()
        link, calls = self.stuck(clock)
        link.send(Message("a", {}, (b"x" * PAUSE_BYTES,)))
        clock.advance(STUCK_S + 100)
        self.assertEqual(calls, [])
        link.resumeProducing()
        clock.advance(STUCK_S)
        self.assertEqual((calls, clock.getDelayedCalls()), ([], []))

    def test_the_reactor_is_not_needed(self) -> None:
        """In tests, a link can also be made on a transport in memory."""
        self.assertEqual(Link(self.worker).pid, 0)
        self.assertIsNotNone(Clock())
