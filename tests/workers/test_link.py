"""The link over real Unix sockets: greetings, refusals, descriptors, reconnects, and its end after errors."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs, eventAsText
from twisted.trial.unittest import TestCase

from livefeed.exceptions import LinkError, StartError
from livefeed.workers import link as link_module
from livefeed.workers.link import (
    FLUSH_S,
    FULL_BYTES,
    MAX_RECONNECT_S,
    PAUSE_BYTES,
    RECONNECT_S,
    SETTLED_S,
    STUCK_S,
    Link,
    LinkClient,
    LinkServer,
    link_paths,
)
from livefeed.workers.messages import PROTOCOL, Hello, Message, encode, message_of

if TYPE_CHECKING:
    from collections.abc import Callable

reactor: Any = global_reactor


class Recorder:
    """A receiver that records, and calls functions that wait."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.flushes = 0
        self.ended = 0
        self.broken: Exception | None = None
        self.taken: list[int] = []
        self.takes = False

    def receive(self, link: Link, message: Message) -> None:
        self.messages.append(message)
        if self.takes:
            self.taken += message.take_fds()
        if self.broken is not None:
            raise self.broken
        message.close_fds()

    def flushed(self, link: Link) -> None:
        self.flushes += 1

    def lost(self, link: Link) -> None:
        self.ended += 1


class UNIXClock:
    """A clock in memory, and connections that are only asked for."""

    def __init__(self, clock: Clock) -> None:
        self.seconds, self.callLater = clock.seconds, clock.callLater

    def connectUNIX(self, address: str, factory: object, timeout: float = 30) -> None:
        """IReactorUNIX API."""


def open_files() -> int:
    """Gives the number of open descriptors of this process."""
    return len([*Path("/proc/self/fd").iterdir()])


async def until(found: Callable[[], object]) -> None:
    """Returns as soon as a function gives something true; trial's timeout ends it otherwise."""
    while not found():
        await deferLater(reactor, 0.005)


class LinkTestCase(TestCase):
    timeout = 20

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "link.sock"
        self.hellos: list[Hello] = []
        self.parent = Recorder()
        self.worker = Recorder()
        self.parent_link: Link | None = None
        self.welcomes = 0
        self.refusals: list[object] = []
        self.others: list[Hello] = []
        self.other_links: list[Link] = []
        self.welcome = Message("welcome", {"protocol": PROTOCOL})

    def serve(self, **upgrade: Any) -> LinkServer:
        server = LinkServer(self.path, reactor, self.on_hello, **upgrade)
        server.startService()
        self.addCleanup(self.stop, server)
        return server

    def connect(self, protocol: str = PROTOCOL, generation: int = 0) -> LinkClient:
        hello = Hello(protocol, "1", os.getpid(), 3, generation=generation)
        paths = link_paths(self.path, generation)
        client = LinkClient(paths, reactor, lambda: hello, self.on_welcome, lambda: self.refusals.append(None))
        client.startService()
        self.addCleanup(self.leave, client)
        return client

    def stop(self, server: LinkServer) -> Any:
        return server.stopService() if server.running else None

    async def _leave(self, client: LinkClient) -> None:
        client.stopService()
        await until(lambda: client._attempt is None)
        if self.parent_link is not None:
            self.parent_link.abort()
            await until(lambda: not self.parent_link or not self.parent_link.is_connected)

    def leave(self, client: LinkClient) -> Deferred[None]:
        return Deferred.fromCoroutine(self._leave(client))

    def has_ended(self, times: int) -> bool:
        return self.parent.ended == times

    def on_hello(self, link: Link, hello: Hello) -> None:
        self.hellos.append(hello)
        self.parent_link, link.receiver = link, self.parent
        link.send(self.welcome)

    def on_welcome(self, link: Link, message: Message) -> None:
        self.welcomes += 1
        link.receiver = self.worker


class GreetingTests(LinkTestCase):
    async def test_hello_and_welcome(self) -> None:
        """Both ends know each other's process, by the kernel, and messages go both ways."""
        self.serve()
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        client = self.connect()
        await until(lambda: client.link)
        assert client.link is not None
        assert self.parent_link is not None
        self.assertEqual((client.link.pid, self.parent_link.pid), (os.getpid(), os.getpid()))
        self.assertEqual(self.hellos[0].index, 3)
        payload = os.urandom(300_000)
        self.parent_link.send(Message("a", {"n": 1}, (payload, b"")))
        client.link.send(Message("b"))
        await until(lambda: self.worker.messages and self.parent.messages)
        self.assertEqual(self.worker.messages, [Message("a", {"n": 1}, (payload, b""))])
        self.assertEqual(self.parent.messages, [Message("b")])

    async def test_another_protocol_is_refused_in_words(self) -> None:
        """A worker of another release learns the reason, and logs it once, however often it tries."""
        self.serve()
        self.patch(link_module, "RECONNECT_S", 0.0)
        with capturedLogs() as events:
            self.connect("livefeed.link.v0")
            refused = "the parent refuses this worker: it speaks livefeed.link.v0"
            found = lambda text: [each for each in map(eventAsText, events) if text in each]  # noqa: E731
            await until(lambda: len(found("is refused on the link: it speaks livefeed.link.v0")) > 2)
            await until(lambda: found(refused))
        self.assertEqual(len(found(refused)), 1)
        self.assertEqual((self.hellos, self.welcomes), ([], 0))

    async def test_a_parent_of_another_protocol(self) -> None:
        """The worker does not follow a parent that it might misunderstand."""
        self.welcome = Message("welcome", {"protocol": "livefeed.link.v9"})
        self.serve()
        with capturedLogs() as events:
            client = self.connect()
            await until(lambda: any("the parent speaks livefeed.link.v9" in eventAsText(each) for each in events))
        self.assertIsNone(client.link)

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

    async def test_silence_ends_the_link(self) -> None:
        """A connection that says nothing costs the parent a descriptor for a limited time."""
        self.patch(link_module, "HELLO_S", 0.05)
        self.serve()
        with socket.socket(socket.AF_UNIX) as sock:
            sock.setblocking(False)
            sock.connect(str(self.path))

            def ended() -> bool:
                try:
                    return sock.recv(1) == b""
                except BlockingIOError:
                    return False
                except ConnectionResetError:
                    return True

            await until(ended)

    def test_a_socket_that_cannot_be_made(self) -> None:
        """The start ends with the path; a file that is no socket is left alone."""
        self.path.write_text("x")
        with self.assertRaisesRegex(StartError, f"{self.path}: the link to the workers: "):
            LinkServer(self.path, reactor, self.on_hello).startService()
        self.assertEqual(self.path.read_text(), "x")


class ReconnectTests(LinkTestCase):
    async def test_the_worker_connects_again(self) -> None:
        """It tries for as long as it lives: before there is a parent, and with each one after the first."""
        self.patch(link_module, "RECONNECT_S", 0.01)
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


class GenerationTests(LinkTestCase):
    async def test_a_parent_that_waits(self) -> None:
        """Workers of its generation find it, and all others find the earlier parent until it takes over."""
        self.patch(link_module, "RECONNECT_S", 0.01)
        before, after = self.serve(), self.serve(generation=1, is_published=False)
        after.on_hello = self.on_other_hello
        self.connect(generation=1)
        await until(lambda: self.others)
        self.connect()
        await until(lambda: self.hellos)
        self.assertEqual([each.generation for each in (*self.others, *self.hellos)], [1, 0])
        after.publish()
        await before.stopService()
        assert self.parent_link is not None
        self.parent_link.abort()
        await until(lambda: len(self.others) == 2)
        self.assertEqual(self.others[1].generation, 0)
        await after.stopService()
        self.assertEqual([*self.path.parent.iterdir()], [])
        for link in self.other_links:
            link.abort()

    def on_other_hello(self, link: Link, hello: Hello) -> None:
        self.others.append(hello)
        self.other_links.append(link)
        link.receiver = self.parent
        link.send(self.welcome)

    async def test_left_by_a_parent_that_was_killed(self) -> None:
        """Both names are made anew."""
        self.path.symlink_to("link-3.sock")
        self.path.with_name("link-0.sock.new").symlink_to("link-0.sock")
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(self.path.with_name("link-0.sock")))
        self.serve()
        self.connect()
        await until(lambda: self.welcomes)

    async def test_refused(self) -> None:
        """The worker is told each time, and looks for another parent."""
        self.patch(link_module, "RECONNECT_S", 0.01)
        server = self.serve()
        server.on_hello = self.refuse
        self.connect()
        await until(lambda: len(self.refusals) == 2)

    @staticmethod
    def refuse(link: Link, hello: Hello) -> None:
        link.send(Message("refused", {"why": "there is no place"}))
        link.close()


class ErrorTests(LinkTestCase):
    async def test_errors_end_the_link(self) -> None:
        """Bytes that are no message, and a handler that breaks, end this link only: the worker is sent all anew."""
        self.patch(link_module, "RECONNECT_S", 0.01)
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

    async def test_many_strangers(self) -> None:
        """The connections that have not said hello are limited, which is logged once, and workers come in again."""
        self.patch(link_module, "MAX_STRANGERS", 3)
        self.serve()
        with capturedLogs() as events:
            strangers = [socket.socket(socket.AF_UNIX) for _ in range(6)]
            for sock in strangers:
                sock.connect(str(self.path))
            await until(lambda: self.has_closed(strangers[5]))
            self.assertEqual([self.has_closed(sock) for sock in strangers], [False] * 3 + [True] * 3)
            for sock in strangers:
                sock.close()
        self.assertEqual(len([each for each in events if "have not said hello" in eventAsText(each)]), 1)
        client = self.connect()
        await until(lambda: client.link)

    @staticmethod
    def has_closed(sock: socket.socket) -> bool:
        """Tells whether the other end has closed a connection on which it says nothing."""
        sock.setblocking(False)
        try:
            return not sock.recv(1)
        except BlockingIOError:
            return False

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
        self.patch(link_module, "RECONNECT_S", 0.01)
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
