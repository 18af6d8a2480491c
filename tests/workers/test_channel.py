"""The channel between two parents, with real pairs of sockets, and the offer that is read from it."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import ConfigurationError, LinkError
from livefeed.process.program import CHANNEL
from livefeed.workers import channel
from livefeed.workers.channel import Inheritance, open_channel
from livefeed.workers.messages import Decoder, Message, message_of
from livefeed.workers.succession import FAILED, OFFER, PROTOCOL, FailedFacts, Offer, OfferedSockets
from tests.helpers.succession import send_message


class ChannelTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.addCleanup(self.ours.close)
        self.addCleanup(self.theirs.close)
        self.listening = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        for sock in self.listening:
            self.addCleanup(sock.close)

    def offer(self, **changes: Any) -> Message:
        """Gives an offer with two sockets of one endpoint, and the operator's."""
        facts = {
            "protocol": PROTOCOL,
            "livefeed": "1.0",
            "pid": 4711,
            "generation": 2,
            "runtime_dir": "/run/livefeed/default",
            "listen": [OfferedSockets("tls:8443", [0, 1])],
            "admin": [OfferedSockets("", [0])],
        }
        fds = [sock.fileno() for sock in self.listening]
        return message_of(OFFER, Offer(**{**facts, **changes}), [b"the key"], fds)

    def send(self, message: Message) -> None:
        send_message(self.theirs, message)

    def take(self) -> Inheritance | None:
        """Takes the channel out of an environment."""
        environment = {CHANNEL: str(os.dup(self.ours.fileno())), "HOME": "/root"}
        try:
            return Inheritance.take(environment)
        finally:
            self.assertEqual(environment, {"HOME": "/root"})

    def taken(self, message: Message) -> Inheritance:
        self.send(message)
        inheritance = self.take()
        assert inheritance is not None
        self.addCleanup(inheritance.sock.close)
        self.addCleanup(inheritance.close_rest)
        return inheritance

    def why_failed(self) -> str:
        """Gives the reason that the old parent was told."""
        self.theirs.settimeout(5)
        (message,) = Decoder().feed(self.theirs.recv(65_536))
        self.assertEqual(message.type, FAILED)
        return message.read(FailedFacts).why


class OfferTests(ChannelTestCase):
    def test_no_upgrade(self) -> None:
        """Without the variable, the process is a first parent."""
        self.assertIsNone(Inheritance.take({}))

    def test_sockets(self) -> None:
        """Each endpoint takes its own sockets, once; the rest is closed."""
        inheritance = self.taken(self.offer())
        self.assertEqual((inheritance.offer.generation, inheritance.ticket_key), (2, b"the key"))
        self.assertIsNone(inheritance.listening("tls:9443"))
        found = inheritance.listening("tls:8443")
        assert found is not None
        offered, sockets = found
        self.assertEqual((offered.is_shared, [*sockets]), (False, [0, 1]))
        names = [sock.getsockname() for sock in sockets.values()]
        self.assertEqual(names, [sock.getsockname() for sock in self.listening[:2]])
        self.assertIsNone(inheritance.listening("tls:8443"))
        inheritance.close_rest()
        self.assertIsNone(inheritance.operating(""))
        for sock in sockets.values():
            sock.close()

    def test_operators_socket(self) -> None:
        """It has an empty description, and no worker inherits it."""
        sock = self.taken(self.offer()).operating("")
        assert sock is not None
        self.assertEqual(sock.getsockname(), self.listening[2].getsockname())
        self.assertFalse(sock.get_inheritable())
        sock.close()

    def test_other_protocol(self) -> None:
        """A program that is too different needs a restart, and the old parent is told so."""
        self.send(self.offer(protocol="livefeed.upgrade.v9"))
        error = self.assertRaises(ConfigurationError, self.take)
        self.assertIn("speaks livefeed.upgrade.v9", str(error))
        self.assertIn("a restart is needed", self.why_failed())

    def test_wrong_offers(self) -> None:
        """Sockets without their endpoints, and offers that lack something, are refused in words."""
        self.send(self.offer(admin=[]))
        self.assertRaises(ConfigurationError, self.take)
        self.assertIn("its sockets do not belong to its endpoints", self.why_failed())
        self.send(Message(OFFER, {"protocol": PROTOCOL}))
        self.assertRaises(ConfigurationError, self.take)
        self.assertIn("a message offer cannot be read", self.why_failed())

    def test_silent_parent(self) -> None:
        """It is waited for, but not for ever."""
        self.patch(channel, "OFFER_S", 0.01)
        self.assertRaises(ConfigurationError, self.take)
        self.assertIn("has not arrived within", self.why_failed())

    def test_parent_that_has_gone(self) -> None:
        """There is nobody to tell."""
        self.theirs.close()
        self.assertIn("the channel has ended", str(self.assertRaises(ConfigurationError, self.take)))

    def test_variable_of_an_operator(self) -> None:
        """The variable is no setting."""
        for text in ("", "soon", "-1", "999999", "9" * 40):
            error = self.assertRaises(ConfigurationError, Inheritance.take, {CHANNEL: text})
            self.assertIn("must not be set otherwise", str(error))
        with Path(os.devnull).open() as file:
            self.assertRaises(ConfigurationError, Inheritance.take, {CHANNEL: str(file.fileno())})

    def test_failure(self) -> None:
        """The reason is told without the reactor. An old parent that does not read it does not matter."""
        inheritance = self.taken(self.offer())
        inheritance.fail("--listen: it does not work")
        self.assertEqual(self.why_failed(), "--listen: it does not work")
        self.theirs.close()
        inheritance.fail("--listen: it does not work")


class LinkTests(ChannelTestCase):
    def test_connection(self) -> None:
        """The reactor carries the messages, on a socket that does not block."""
        adopted: list[tuple[int, int, Any]] = []
        reactor: Any = MemoryReactorClock()
        reactor.adoptStreamConnection = lambda *arguments: adopted.append(arguments)
        link = open_channel(reactor, self.ours, object())  # type: ignore[arg-type]
        ((_, family, factory),) = adopted
        self.assertEqual(family, socket.AF_UNIX)
        self.assertIs(factory.buildProtocol(None), link)
        self.assertEqual(self.ours.fileno(), -1)
        self.assertRaises(LinkError, Decoder().feed, b"no message\n")
