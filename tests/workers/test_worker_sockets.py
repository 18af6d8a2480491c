"""The messages of the parent that change the sockets of a worker, with real sockets."""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet.endpoints import serverFromString

from livefeed.exceptions import LinkError
from livefeed.workers.inherited_sockets import InheritedPort, InheritedReactor
from livefeed.workers.messages import Message
from livefeed.workers.worker_sockets import WorkerSockets
from tests.helpers.driven import DrivenReactor, make_pool, turn_until
from tests.helpers.socket_groups import LOCAL, SocketsTestCase, duplicate, open_files


class Reply:
    """A link that keeps the messages that it is given, with descriptors of their own, as the real one does."""

    def __init__(self) -> None:
        self.sent: list[Message] = []

    def send(self, message: Message) -> None:
        self.sent.append(Message(message.type, message.facts, (), tuple(map(os.dup, message.fds))))


class MessageTests(SocketsTestCase):
    """Messages of the parent that change the sockets of a worker."""

    def setUp(self) -> None:
        super().setUp()
        self.reactor = DrivenReactor()
        self.addCleanup(self.reactor.close)
        listening = make_pool(self.reactor)
        self.owned = self.group(LOCAL, 2)
        sockets = {0: duplicate(self.owned.sockets[0])}
        port: Any = self.successResultOf(
            serverFromString(InheritedReactor(listening, sockets), "tcp:1").listen(self.factory)
        )
        self.addCleanup(port.stopListening)
        self.port: InheritedPort = port
        self.worker = WorkerSockets(0, [LOCAL], [port], self.factory)
        self.reply = Reply()

    def duplicate(self, sock: socket.socket) -> socket.socket:
        return socket.socket(fileno=os.dup(sock.fileno()))

    def receive(self, kind: str, facts: dict[str, Any], *fds: int) -> bool:
        return self.worker.receive(self.reply, Message(kind, facts, (), fds))

    def test_adopt_and_release(self) -> None:
        """The sockets of another worker are accepted on until it can do so itself."""
        fd = os.dup(self.owned.sockets[1].fileno())
        self.assertTrue(self.receive("adopt", {"owner": 1, "listen": [0]}, fd))
        self.assertEqual(sorted(self.port.ports), [0, 1])
        self.assertTrue(self.receive("release", {"owner": 1}))
        self.assertEqual(sorted(self.port.ports), [0])
        self.assertRaises(OSError, os.fstat, fd)

    def test_canary(self) -> None:
        """A socket becomes a connection of its endpoint."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        self.assertTrue(self.receive("canary", {"listener": 0}, theirs.detach()))
        ours.send(b"question")
        turn_until(self.reactor, lambda: bool(self.factory.made and self.factory.made[0].received))

    def test_report_to_a_new_parent(self) -> None:
        """All sockets are passed on, also those that are meant for other workers."""
        self.receive("adopt", {"owner": 1, "listen": [0]}, os.dup(self.owned.sockets[1].fileno()))
        self.assertTrue(self.receive("sockets", {}))
        (sent,) = self.reply.sent
        self.assertEqual([*map(list, sent.facts["listen"])], [[LOCAL, 0], [LOCAL, 1]])
        passed = [socket.socket(fileno=fd) for fd in sent.fds]
        names = [sock.getsockname() for sock in passed]
        self.assertEqual(names, [sock.getsockname() for sock in self.owned.sockets.values()])
        for sock in passed:
            sock.close()

    def test_impossible_messages(self) -> None:
        """They end the link, and their descriptors are left for the link to close, or closed."""
        for kind, facts, count in (
            ("adopt", {"owner": "x", "listen": [0]}, 1),
            ("adopt", {"owner": 1, "listen": [0]}, 1),
            ("canary", {}, 1),
            ("canary", {"listener": 0}, 1),
            ("adopt", {"owner": 1, "listen": [1]}, 1),
            ("adopt", {"owner": 1, "listen": [0, 0]}, 1),
            ("canary", {"listener": 1}, 1),
            ("canary", {"listener": -1}, 1),
            ("canary", {"listener": 0}, 0),
        ):
            before = open_files()
            message = Message(kind, facts, (), tuple(os.open("/dev/null", os.O_RDONLY) for _ in range(count)))
            self.assertRaises(LinkError, self.worker.receive, self.reply, message)
            message.close_fds()
            self.assertEqual(open_files(), before)

    def test_other_messages(self) -> None:
        """They are for somebody else."""
        self.assertFalse(self.receive("feed", {}))
