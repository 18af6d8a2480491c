"""The master that sentinels know."""

from __future__ import annotations

from twisted.internet.defer import CancelledError

from livefeed.sources.redis.sentinel import SENTINEL_TIMEOUT_S
from tests.sources.redis.peer import MASTER, OK, PASSWORD, REPLICA, Peer, RedisTestCase, array, bulk, strings

FIRST, SECOND, THIRD = ("10.9.0.1", 26379), ("10.9.0.2", 7000), ("10.9.0.3", 26379)
NODE, OTHER = ("10.0.0.1", 6379), ("10.0.0.2", 6380)
ASKED = [b"SENTINEL", b"get-master-addr-by-name", b"main"]


class SentinelTestCase(RedisTestCase):
    url = f"redis+sentinel://reader:{PASSWORD}@10.9.0.1,10.9.0.2:7000,10.9.0.3/main/3/key"

    def asked(self, sentinel: tuple[str, int]) -> Peer:
        """Gives the sentinel that is being asked, once it is this one."""
        self.assertEqual(self.attempts(), [sentinel])
        peer = self.accept()
        self.assertEqual(peer.commands(), [ASKED])
        return peer

    def says(self, sentinel: tuple[str, int], node: tuple[str, int]) -> None:
        """Lets a sentinel name a master."""
        peer = self.asked(sentinel)
        peer.says(strings(node[0].encode(), b"%d" % node[1]))
        self.assertTrue(peer.closed)

    def is_master(self, node: tuple[str, int], document: bytes = b"1") -> Peer:
        """Lets a server be the master."""
        self.assertEqual(self.attempts(), [node])
        peer = self.accept()
        self.assertEqual(peer.commands(), [[b"AUTH", b"reader", PASSWORD.encode()]])
        peer.says(OK, OK, MASTER, bulk(document))
        self.assertEqual([command[0] for command in peer.commands()], [b"SELECT", b"ROLE", b"GETRANGE"])
        return peer

    def connected(self) -> Peer:
        fetching = self.fetch()
        self.says(FIRST, NODE)
        peer = self.is_master(NODE)
        self.assertEqual(self.successResultOf(fetching), b"1")
        return peer


class FindTests(SentinelTestCase):
    """Finding the master."""

    def test_first_sentinel_is_asked(self) -> None:
        """It names the master, which is asked for its role, and then for the document; user and password are its."""
        self.connected()
        self.assertEqual(self.attempts(), [])

    def test_role_is_asked_at_each_pull(self) -> None:
        """The check costs one command more while the server is the master."""
        peer = self.connected()
        fetching = self.fetch()
        peer.says(MASTER, bulk(b"2"))
        self.assertEqual([command[0] for command in peer.commands()], [b"ROLE", b"GETRANGE"])
        self.assertEqual(self.successResultOf(fetching), b"2")

    def test_master_that_has_become_a_replica(self) -> None:
        """It is left at once, in the same pull, and no document of it is served."""
        peer = self.connected()
        fetching = self.fetch()
        peer.says(REPLICA)
        self.assertTrue(peer.closed)
        self.says(FIRST, OTHER)
        self.is_master(OTHER, b"2")
        self.assertEqual(self.successResultOf(fetching), b"2")

    def test_sentinels_that_know_nothing(self) -> None:
        """One that is away, knows no such master, answers nonsense, or knows an old one, is passed over."""
        fetching = self.fetch()
        self.refuse()
        self.asked(SECOND).says(b"*-1\r\n")
        self.says(THIRD, NODE)
        peer = self.accept()
        peer.says(OK, OK, REPLICA)
        self.assertTrue(peer.closed)
        self.assertIn("the master 10.0.0.1:6379, says 10.9.0.3:26379: it is not a master", self.failed(fetching))
        fetching = self.fetch()
        for sentinel, reply in ((FIRST, strings(b"a")), (SECOND, strings(b"a", b"x")), (THIRD, b"+OK\r\n")):
            self.asked(sentinel).says(reply)
        self.assertIn("the sentinel 10.9.0.3:26379: the answer is not an address", self.failed(fetching))
        fetching = self.fetch()
        for sentinel in (FIRST, SECOND, THIRD):
            self.asked(sentinel).says(b"*-1\r\n")
        self.assertIn("it knows no master of this name", self.failed(fetching))
        self.connected()

    def test_sentinel_that_hangs(self) -> None:
        """The next one is asked soon; and the next time it is asked first."""
        fetching = self.fetch()
        peer = self.asked(FIRST)
        self.reactor.advance(SENTINEL_TIMEOUT_S)
        self.assertTrue(peer.closed)
        self.says(SECOND, NODE)
        self.is_master(NODE).is_lost()
        self.assertEqual(self.successResultOf(fetching), b"1")
        fetching = self.fetch()
        self.says(SECOND, NODE)
        self.is_master(NODE)
        self.assertEqual(self.successResultOf(fetching), b"1")

    def test_pull_that_is_given_up(self) -> None:
        """The next one begins with another sentinel, and nothing is left open."""
        fetching = self.fetch()
        peer = self.asked(FIRST)
        fetching.cancel()
        self.failureResultOf(fetching, CancelledError)
        self.assertTrue(peer.closed)
        fetching = self.fetch()
        self.says(SECOND, NODE)
        peer = self.accept()
        peer.says(OK, OK)
        fetching.cancel()
        self.failureResultOf(fetching, CancelledError)
        self.assertTrue(peer.closed)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_wrong_password(self) -> None:
        """It is told which server refuses it, without the password."""
        fetching = self.fetch()
        for sentinel in (FIRST, SECOND, THIRD):
            self.says(sentinel, NODE)
            self.accept().says(b"-WRONGPASS invalid %b\r\n" % PASSWORD.encode())
        failed = self.failed(fetching)
        self.assertIn("the master 10.0.0.1:6379, says 10.9.0.3:26379: Redis says: WRONGPASS invalid ***", failed)


class PasswordTests(RedisTestCase):
    """Sentinels with a password of their own."""

    url = "redis+sentinel://:master@one/main/5/key?sentinel-user=watch&sentinel-password=s%26cret"

    def test_sentinel_password(self) -> None:
        """Each is given its own, and neither is told the other's."""
        fetching = self.fetch()
        peer = self.accept()
        self.assertEqual(peer.commands(), [[b"AUTH", b"watch", b"s&cret"]])
        peer.says(OK)
        self.assertEqual(peer.commands(), [ASKED])
        peer.says(strings(b"10.0.0.1", b"6379"))
        peer = self.accept()
        self.assertEqual(peer.commands(), [[b"AUTH", b"master"]])
        peer.says(OK, OK, MASTER, bulk(b"1"))
        self.assertEqual(self.successResultOf(fetching), b"1")
        self.assertNotIn("cret", repr(self.source))


class SwitchTests(SentinelTestCase):
    """Announcements of the sentinels."""

    def setUp(self) -> None:
        super().setUp()
        self.changes = 0
        self.source.watch(self._changed)

    def _changed(self) -> None:
        self.changes += 1

    def test_switch(self) -> None:
        """When another master has taken over, the old one is left at once, and the new one pulled."""
        master = self.connected()
        self.assertEqual(self.attempts(), [FIRST])
        listener = self.accept()
        self.assertEqual(listener.commands(), [[b"SUBSCRIBE", b"+switch-master"]])
        listener.says(array(bulk(b"subscribe"), bulk(b"+switch-master"), b":1\r\n"))
        self.changes = 0
        listener.says(strings(b"message", b"+switch-master", b"another 10.0.0.1 6379 10.0.0.2 6380"))
        self.assertEqual(self.changes, 0)
        self.assertFalse(master.closed)
        listener.says(strings(b"message", b"+switch-master", b"main 10.0.0.1 6379 10.0.0.2 6380"))
        self.assertEqual(self.changes, 1)
        self.assertTrue(master.closed)
        fetching = self.fetch()
        self.says(FIRST, OTHER)
        self.is_master(OTHER, b"2")
        self.assertEqual(self.successResultOf(fetching), b"2")
        self.assertEqual(self.attempts(), [])
