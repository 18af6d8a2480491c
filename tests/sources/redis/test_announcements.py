"""The second connection, on which changes are told of."""

from __future__ import annotations

from livefeed.sources.redis.announcements import ATTEMPT_S, CHECK_S, FIRST_RETRY_S, LAST_RETRY_S
from tests.sources.redis.peer import MAX_BYTES, OK, PASSWORD, Peer, RedisTestCase, array, bulk, strings

NAME = b"changes"
SUBSCRIBED = array(bulk(b"subscribe"), bulk(NAME), b":1\r\n")


class AnnouncementsTestCase(RedisTestCase):
    url = f"redis://reader:{PASSWORD}@host/7/key?announce=changes"

    def setUp(self) -> None:
        super().setUp()
        self.changes = 0
        self.source.watch(self._changed)

    def _changed(self) -> None:
        self.changes += 1

    def pulled(self) -> Peer:
        """Gives the peer of the first connection, after a good pull."""
        fetching = self.fetch()
        peer = self.accept()
        peer.says(OK, OK, bulk(b"1"))
        self.successResultOf(fetching)
        return peer

    def listening(self) -> Peer:
        """Gives the peer of the second connection, which has been told of nothing yet."""
        self.pulled()
        peer = self.subscribed()
        self.changes = 0
        return peer

    def subscribed(self) -> Peer:
        peer = self.accept()
        peer.says(OK, OK)
        self.assertEqual(peer.commands()[-1], [b"SUBSCRIBE", NAME])
        peer.says(SUBSCRIBED)
        return peer


class MessageTests(AnnouncementsTestCase):
    """Messages on an established connection."""

    def test_nothing_before_the_first_good_pull(self) -> None:
        """Whether there is a server at all is found out by pulling."""
        self.assertEqual(self.attempts(), [])

    def test_each_message_is_a_change(self) -> None:
        """The source tells of it, also of several at once and in pieces; the log tells once where from."""
        peer = self.listening()
        message = strings(b"message", NAME, b"anything")
        peer.says(message)
        self.assertEqual(self.changes, 1)
        peer.says(message + message + message[:9], message[9:])
        self.assertEqual(self.changes, 4)
        self.assertEqual(self.lines, ["changes are announced by host:6379 on changes"])

    def test_being_there_is_a_change(self) -> None:
        """Each new subscription counts as a change, as announcements before it may have been missed."""
        self.pulled()
        self.subscribed()
        self.assertEqual(self.changes, 1)

    def test_pulls_are_not_disturbed(self) -> None:
        """Pulls have their own connection, and continue if this one fails."""
        first = self.pulled()
        second = self.accept()
        second.says(b"-WRONGPASS no\r\n")
        first.commands()
        fetching = self.fetch()
        self.assertEqual([command[0] for command in first.commands()], [b"GETRANGE"])
        first.says(bulk(b"2"))
        self.assertEqual(self.successResultOf(fetching), b"2")

    def test_silence_is_looked_into(self) -> None:
        """The source subscribes again now and then; a connection whose server does not answer is closed."""
        peer = self.listening()
        peer.commands()
        for _ in range(3):
            self.reactor.advance(CHECK_S)
            self.assertEqual(peer.commands(), [[b"SUBSCRIBE", NAME]])
            peer.says(SUBSCRIBED)
        self.assertEqual(self.changes, 0)
        self.reactor.advance(CHECK_S)
        self.assertFalse(peer.closed)
        self.reactor.advance(CHECK_S)
        self.assertTrue(peer.closed)
        self.reactor.advance(FIRST_RETRY_S)
        self.subscribed()
        self.assertEqual(self.changes, 1)

    def test_closing(self) -> None:
        """Closing the source ends this connection, an attempt at it, and the plan of one."""
        peer = self.listening()
        self.source.close()
        self.assertTrue(peer.closed)
        self.pulled()
        attempt = self.reactor.connectors[-1]
        self.source.close()
        assert attempt.stoppedConnecting
        self.reactor.tcpClients.clear()
        self.pulled()
        self.refuse()
        self.source.close()
        self.reactor.advance(60)
        self.assertEqual(self.attempts(), [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class TroubleTests(AnnouncementsTestCase):
    """Connections that fail, or that cannot be trusted."""

    def test_lost_and_found(self) -> None:
        """The source reconnects by itself, reports a change, and logs the loss and the return."""
        peer = self.listening()
        peer.is_lost()
        self.reactor.advance(FIRST_RETRY_S)
        self.subscribed()
        self.assertEqual(self.changes, 1)
        lost = (
            "changes are not announced by host:6379 on changes: the connection was lost; they are seen at ticks alone"
        )
        self.assertEqual(self.lines[1:], [lost, "changes are announced by host:6379 on changes"])

    def test_attempts_become_rare(self) -> None:
        """They are doubled in distance up to a limit, never begin at once, and are logged once."""
        self.pulled()
        self.refuse()
        self.reactor.advance(FIRST_RETRY_S * 0.4)
        self.assertEqual(self.attempts(), [])
        attempts = 0
        for _ in range(600):
            self.reactor.advance(0.1)
            if self.attempts():
                self.refuse()
                attempts += 1
        self.assertLess(attempts, 5 + 70 / (LAST_RETRY_S / 2))
        self.assertGreater(attempts, 60 / LAST_RETRY_S)
        self.assertEqual(len(self.lines), 1)
        self.assertIn("cannot connect: Connection was refused", self.lines[0])

    def test_connection_that_is_lost_again_and_again(self) -> None:
        """It is made ever more rarely too, until one has lasted."""
        self.pulled()
        times = 0
        for _ in range(600):
            if self.attempts():
                self.subscribed().is_lost()
                times += 1
            self.reactor.advance(0.1)
        self.assertLess(times, 6 + 60 / (LAST_RETRY_S / 2))
        if self.attempts():
            # It has just begun, and its time would be over.
            self.subscribed().is_lost()
        self.reactor.advance(LAST_RETRY_S)
        peer = self.subscribed()
        self.reactor.advance(CHECK_S)
        peer.is_lost()
        self.reactor.advance(FIRST_RETRY_S)
        self.subscribed()

    def test_good_pulls_do_not_make_attempts_frequent(self) -> None:
        """A server that refuses every subscription is not asked again at each good pull."""
        peer = self.pulled()
        attempts = 0
        for _ in range(600):
            while self.attempts():
                self.accept().says(OK, OK, b"-NOPERM no\r\n")
                attempts += 1
            fetching = self.fetch()
            peer.says(bulk(b"1"))
            self.successResultOf(fetching)
            self.reactor.advance(0.1)
        self.assertLess(attempts, 5 + 60 / (LAST_RETRY_S / 2))

    def test_server_that_is_back(self) -> None:
        """The source subscribes again at once when a pull succeeds after a failed one."""
        first = self.pulled()
        self.refuse()
        for _ in range(6):
            self.reactor.advance(LAST_RETRY_S)
            self.refuse()
        self.assertEqual(self.attempts(), [])
        first.is_lost()
        fetching = self.fetch()
        self.refuse()
        self.failed(fetching)
        self.pulled()
        self.subscribed()
        self.assertEqual(self.changes, 1)

    def test_refused_channel(self) -> None:
        """The refusal of a channel is logged once, without the password; the source tries again later."""
        self.pulled()
        peer = self.accept()
        peer.says(OK, OK, b"-NOPERM this user has no permissions to access %b\r\n" % PASSWORD.encode())
        self.assertTrue(peer.closed)
        self.assertIn("Redis says: NOPERM this user has no permissions", self.lines[0])
        self.assertNotIn(PASSWORD, self.lines[0])

    def test_hanging_attempt(self) -> None:
        """An attempt that comes to nothing is given up."""
        self.pulled()
        peer = self.accept()
        self.reactor.advance(ATTEMPT_S)
        self.assertTrue(peer.closed)
        self.assertIn("no answer within 5 s", self.lines[0])
        self.reactor.advance(FIRST_RETRY_S)
        self.subscribed()

    def test_message_that_is_too_large(self) -> None:
        """A message of the size of a document is read; a larger one ends the connection before it is all there."""
        peer = self.listening()
        peer.says(strings(b"message", NAME, b"x" * MAX_BYTES))
        peer.says(strings(b"message", NAME, b"x" * MAX_BYTES))
        self.assertEqual(self.changes, 2)
        self.assertFalse(peer.closed)
        peer.says(b"*3\r\n$7\r\nmessage\r\n$7\r\nchanges\r\n$99999999\r\n", b"x" * (MAX_BYTES + 1024))
        self.assertTrue(peer.closed)
        self.assertIn("larger than it may be", self.lines[-1])

    def test_garbage(self) -> None:
        """Bytes that are not RESP, or no expected message, end the connection."""
        for garbage in (b"HTTP/1.1 200 OK\r\n", b"+OK\r\n", strings(b"pong", b""), b"*3\r\n*0\r\n*0\r\n*0\r\n"):
            peer = self.listening()
            peer.says(garbage)
            self.assertTrue(peer.closed, garbage)
            self.source.close()


class KeyspaceTests(AnnouncementsTestCase):
    """Events of the key."""

    url = "redis://host/7/key?announce=keyspace&type=hash"
    warning = "notify-keyspace-events must have K and h in it"

    def pulled(self) -> Peer:
        fetching = self.fetch()
        peer = self.accept()
        peer.says(OK, strings(b"a", b"1"))
        self.successResultOf(fetching)
        return peer

    def subscribed_with(self, reply: bytes) -> Peer:
        peer = self.accept()
        peer.says(OK)
        self.assertEqual(peer.commands()[-1], [b"CONFIG", b"GET", b"notify-keyspace-events"])
        peer.says(reply)
        self.assertEqual(peer.commands(), [[b"SUBSCRIBE", b"__keyspace@7__:key"]])
        peer.says(array(bulk(b"subscribe"), bulk(b"__keyspace@7__:key"), b":1\r\n"))
        self.assertEqual(self.changes, 1)
        return peer

    def test_server_that_tells(self) -> None:
        """The key's channel is listened to."""
        for flags in (b"AK", b"Kh", b"AKE", b"g$Khx"):
            self.setUp()
            self.pulled()
            peer = self.subscribed_with(strings(b"notify-keyspace-events", flags))
            peer.says(strings(b"message", b"__keyspace@7__:key", b"hset"))
            self.assertEqual(self.changes, 2)
            self.assertEqual(len(self.lines), 1)

    def test_server_that_does_not_tell(self) -> None:
        """That is said, once; and it is listened all the same, since it may be set later."""
        for flags in (b"", b"AE", b"K$", b"Eh"):
            self.setUp()
            self.pulled()
            peer = self.subscribed_with(strings(b"notify-keyspace-events", flags))
            self.assertIn(self.warning, self.lines[0])
            listened = "listening to host:6379 on __keyspace@7__:key, in case notify-keyspace-events is set later"
            self.assertEqual(self.lines[1:], [listened])
            peer.is_lost()
            self.reactor.advance(FIRST_RETRY_S)
            peer = self.accept()
            peer.says(OK)
            self.assertEqual(peer.commands()[-1][0], b"SUBSCRIBE")
            self.assertEqual(sum(self.warning in line for line in self.lines), 1)

    def test_server_that_does_not_let_itself_be_asked(self) -> None:
        """That is said, and it is listened all the same."""
        self.pulled()
        self.subscribed_with(b"-NOPERM this user has no permissions to run the 'config|get' command\r\n")
        self.assertIn("whether host:6379 announces changes cannot be known: Redis says: NOPERM", self.lines[0])
