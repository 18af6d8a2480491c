"""One fixed server: its connection is kept, found anew after an end, and left if its name leads elsewhere."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import SourceError
from livefeed.sources.names import MAX_AGE_S, Names
from livefeed.sources.redis.connection import Login, RefusedError, Server
from livefeed.sources.redis.replication import CHECK_S, LostMasterError
from livefeed.sources.redis.servers import OneServer
from tests.sources.redis.peer import OK, PASSWORD, Peer, bulk

LOST_MASTER = bulk(b"role:slave\r\nmaster_host:m\r\nmaster_port:1\r\nmaster_link_status:down\r\n")


class OneServerTestCase(SynchronousTestCase):
    """One server, whose name a test moves.

    :ivar leads: the addresses of its name.
    """

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.leads: tuple[str, ...] = ("10.0.0.1",)
        self.login = Login(self.reactor, Names(maybeDeferred, lambda _: self.leads))
        self.server = OneServer(Server("host", 6379), self.login)
        self.addCleanup(self.server.close)

    def ask(self, *command: object) -> Deferred[Any]:
        return Deferred.fromCoroutine(self.server.ask(*command or ("GET", "k")))

    def moved(self) -> Server | None:
        """Gives the server whose name leads elsewhere."""
        moved: Server | None = self.successResultOf(Deferred.fromCoroutine(self.server.moved()))
        return moved

    def accept(self) -> Peer:
        """Lets the only connection attempt succeed."""
        ((host, port, factory, _, _),) = self.reactor.tcpClients
        self.reactor.tcpClients.clear()
        return Peer(factory, host, port)

    def connected(self) -> Peer:
        """Gives a peer whose first reply has been read."""
        asking = self.ask()
        peer = self.accept()
        peer.says(bulk(b"1"))
        self.assertEqual(self.successResultOf(asking), b"1")
        peer.commands()
        return peer


class AskTests(OneServerTestCase):
    """OneServer.ask and OneServer.close."""

    def test_connection_is_kept(self) -> None:
        """The first command connects, and the next ones use the same connection."""
        peer = self.connected()
        for key in "ab":
            asking = self.ask("GET", key)
            self.assertEqual((self.reactor.tcpClients, peer.commands()), ([], [[b"GET", key.encode()]]))
            peer.says(bulk(b"2"))
            self.assertEqual(self.successResultOf(asking), b"2")

    def test_refusal(self) -> None:
        """It is no end of the connection, which the caller closes if it wants another one."""
        peer = self.connected()
        asking = self.ask()
        peer.says(b"-LOADING not yet\r\n")
        self.failureResultOf(asking, RefusedError)
        self.assertFalse(peer.closed)

    def test_server_that_cannot_be_logged_in_to(self) -> None:
        """The error is that of the login, and the next command connects again."""
        self.server = OneServer(Server("host", 6379), Login(self.reactor, self.login.names, password=PASSWORD))
        for reply in (b"-WRONGPASS no\r\n", OK):
            asking = self.ask()
            peer = self.accept()
            peer.says(reply)
            self.assertEqual(peer.closed, reply != OK)
            if peer.closed:
                self.failureResultOf(asking, RefusedError)
        peer.says(bulk(b"1"))
        self.assertEqual(self.successResultOf(asking), b"1")

    def test_lost_connection(self) -> None:
        """The command that waits fails, and the next one makes another connection."""
        peer = self.connected()
        asking = self.ask()
        peer.is_lost()
        self.failureResultOf(asking, SourceError)
        self.assertEqual(self.reactor.tcpClients, [])
        self.connected()

    def test_connection_lost_between_commands(self) -> None:
        """The next command makes another one, and does not fail."""
        self.connected().is_lost()
        self.connected()

    def test_close(self) -> None:
        """The connection ends, a waiting command fails, and a second call does nothing."""
        peer = self.connected()
        asking = self.ask()
        self.server.close()
        self.assertTrue(peer.closed)
        self.failureResultOf(asking, SourceError)
        self.server.close()
        self.connected()

    def test_allowance(self) -> None:
        """It is that of the reply, up to the last byte while the state of the replication is not asked for."""
        reply = bulk(b"x" * 100)
        peer = self.connected()
        asking = Deferred.fromCoroutine(self.server.ask("GET", "k", allowance=len(reply)))
        peer.says(reply)
        self.assertEqual(self.successResultOf(asking), b"x" * 100)
        asking = Deferred.fromCoroutine(self.server.ask("GET", "k", allowance=len(reply) - 1))
        peer.says(reply)
        self.assertIn("larger than it may be", str(self.failureResultOf(asking, SourceError).value))
        self.assertTrue(peer.closed)


class ReplicationTests(OneServerTestCase):
    """The state of replication, which is asked for with the document."""

    def test_replica_without_its_master(self) -> None:
        """Its document is refused, since it may be old; the connection stays."""
        asking = self.ask()
        peer = self.accept()
        peer.state = LOST_MASTER
        peer.says(bulk(b"1"))
        self.failureResultOf(asking, LostMasterError)
        self.assertFalse(peer.closed)

    def test_server_that_ends_connections_when_it_is_asked(self) -> None:
        """The same command is asked again on another connection, where the question is never asked."""
        asking = self.ask()
        first = self.accept()
        self.assertEqual(first.asked_for_state, 1)
        first.is_lost()
        second = self.accept()
        second.says(bulk(b"1"))
        self.assertEqual(self.successResultOf(asking), b"1")
        self.reactor.advance(CHECK_S)
        asking = self.ask()
        second.says(bulk(b"2"))
        self.assertEqual((self.successResultOf(asking), second.asked_for_state), (b"2", 0))

    def test_second_connection_that_ends(self) -> None:
        """Then the command fails: there is no third one."""
        asking = self.ask()
        self.accept().is_lost()
        self.accept().is_lost()
        self.failureResultOf(asking, SourceError)
        self.assertEqual(self.reactor.tcpClients, [])

    def test_server_that_has_answered_the_question(self) -> None:
        """It is not the question that has ended the connection, so the command is not asked again."""
        peer = self.connected()
        self.reactor.advance(CHECK_S)
        asking = self.ask()
        self.assertEqual(peer.asked_for_state, 2)
        peer.is_lost()
        self.failureResultOf(asking, SourceError)
        self.assertEqual(self.reactor.tcpClients, [])

    def test_closed_while_waiting(self) -> None:
        """The caller has ended the connection, so the command is not asked again."""
        asking = self.ask()
        peer = self.accept()
        self.server.close()
        self.assertTrue(peer.closed)
        self.failureResultOf(asking, SourceError)
        self.assertEqual(self.reactor.tcpClients, [])


class MovedTests(OneServerTestCase):
    """OneServer.moved and OneServer.anew."""

    def test_name_that_leads_elsewhere(self) -> None:
        """It is looked up again once the last look-up is old."""
        self.connected()
        self.leads = ("10.0.0.2",)
        self.assertIsNone(self.moved())
        self.reactor.advance(MAX_AGE_S)
        self.assertEqual(self.moved(), Server("host", 6379))

    def test_name_that_still_leads_there(self) -> None:
        """One of several addresses is enough."""
        self.connected()
        self.leads = ("10.0.0.2", "10.0.0.1")
        self.reactor.advance(MAX_AGE_S)
        self.assertIsNone(self.moved())

    def test_without_a_connection(self) -> None:
        """Neither before the first one nor after its end: the next one looks the name up anyway."""
        self.assertIsNone(self.moved())
        peer = self.connected()
        self.leads = ("10.0.0.2",)
        self.reactor.advance(MAX_AGE_S)
        peer.is_lost()
        self.assertIsNone(self.moved())
        self.server.close()
        self.assertIsNone(self.moved())

    def test_another_connection_is_another_beginning(self) -> None:
        """The address of the last connection counts."""
        peer = self.connected()
        self.leads = ("10.0.0.2",)
        self.reactor.advance(MAX_AGE_S)
        peer.is_lost()
        self.connected()
        self.reactor.advance(MAX_AGE_S)
        self.assertIsNone(self.moved())

    def test_anew(self) -> None:
        """The other object has the same server and login, and a connection of its own."""
        old, peer = self.server, self.connected()
        self.server = old.anew(Server("ignored", 1))
        self.addCleanup(self.server.close)
        self.assertEqual((self.server.server, self.server.login), (old.server, old.login))
        other = self.connected()
        self.server.close()
        self.assertEqual((peer.closed, other.closed), (False, True))
