"""The parent's end of the link: greetings, refusals, crowds, and the names of its socket."""

from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING

from twisted.logger import capturedLogs, eventAsText

from livefeed.exceptions import StartError
from livefeed.workers import link_client, link_server
from livefeed.workers.link_server import LinkServer
from livefeed.workers.messages import Hello, Message
from tests.helpers.link_ends import LinkTestCase, reactor, until

if TYPE_CHECKING:
    from livefeed.workers.link import Link


class GreetingTests(LinkTestCase):
    async def test_another_protocol_is_refused_in_words(self) -> None:
        """A worker of another release learns the reason, and logs it once, however often it tries."""
        self.serve()
        self.patch(link_client, "RECONNECT_S", 0.0)
        with capturedLogs() as events:
            self.connect("livefeed.link.v0")
            refused = "the parent refuses this worker: it speaks livefeed.link.v0"
            found = lambda text: [each for each in map(eventAsText, events) if text in each]  # noqa: E731
            await until(lambda: len(found("is refused on the link: it speaks livefeed.link.v0")) > 2)
            await until(lambda: found(refused))
        self.assertEqual(len(found(refused)), 1)
        self.assertEqual((self.hellos, self.welcomes), ([], 0))

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

    async def test_silence_ends_the_link(self) -> None:
        """A connection that says nothing costs the parent a descriptor for a limited time."""
        self.patch(link_server, "HELLO_S", 0.05)
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

    @staticmethod
    def has_closed(sock: socket.socket) -> bool:
        """Tells whether the other end has closed a connection on which it says nothing."""
        sock.setblocking(False)
        try:
            return not sock.recv(1)
        except BlockingIOError:
            return False

    async def test_many_strangers(self) -> None:
        """The connections that have not said hello are limited, which is logged once, and workers come in again."""
        self.patch(link_server, "MAX_STRANGERS", 3)
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


class GenerationTests(LinkTestCase):
    async def test_a_parent_that_waits(self) -> None:
        """Workers of its generation find it, and all others find the earlier parent until it takes over."""
        self.patch(link_client, "RECONNECT_S", 0.01)
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
