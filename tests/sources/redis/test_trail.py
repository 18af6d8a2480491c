"""Names that lead elsewhere while the old server still answers."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import DNSLookupError

from livefeed.sources.names import MAX_AGE_S
from livefeed.sources.redis.announcements import ATTEMPT_S, CHECK_S, FIRST_RETRY_S
from livefeed.sources.redis.source import FOLLOW_TIMEOUT_S
from livefeed.sources.redis.trail import LOOK_UP_TIMEOUT_S
from tests.sources.redis.peer import MASTER, OK, REPLICA, Peer, RedisTestCase, array, bulk, strings

OLD, NEW = "10.0.0.1", "10.0.0.2"
TICK_S = 10.0


class MovingTestCase(RedisTestCase):
    """Names that a test moves.

    :ivar leads: the addresses of each name.
    """

    def setUp(self) -> None:
        super().setUp()
        self.leads: dict[str, tuple[str, ...]] = {"host": (OLD,)}
        self.looked_up: list[str] = []
        self.source.login.names.look_up = self.look_up

    def look_up(self, host: str) -> tuple[str, ...]:
        self.looked_up.append(host)
        if host not in self.leads:
            raise DNSLookupError(host)
        return self.leads[host]

    def pull(self, peer: Peer, *replies: bytes) -> None:
        """Pulls the document from a server that is connected to already."""
        fetching = self.fetch()
        self.assertEqual(self.attempts(), [])
        peer.says(*replies, bulk(b"1"))
        self.assertEqual(self.successResultOf(fetching), b"1")

    def pull_for(self, seconds: float, peer: Peer, *replies: bytes) -> None:
        """Pulls each tick, until the time has passed."""
        for _ in range(int(seconds / TICK_S)):
            self.reactor.advance(TICK_S)
            self.pull(peer, *replies)

    def accept_at(self, host: str) -> Peer:
        self.assertEqual([attempt[0] for attempt in self.attempts()], [host])
        return self.accept()


class OneServerTests(MovingTestCase):
    """One server."""

    def moved(self) -> Peer:
        """Gives the old server, when the next pull will find that the name leads elsewhere."""
        peer = self.connected()
        self.leads["host"] = (NEW,)
        self.pull_for(MAX_AGE_S, peer)
        peer.commands()
        return peer

    def test_moved(self) -> None:
        """The new server gives the document of the pull that finds it, and the old one is left."""
        old = self.moved()
        fetching = self.fetch()
        new = self.accept_at(NEW)
        self.assertFalse(old.closed)
        new.says(OK, bulk(b"2"))
        self.assertEqual(self.successResultOf(fetching), b"2")
        self.assertTrue(old.closed)
        self.assertEqual(old.commands(), [])
        self.pull_for(2 * MAX_AGE_S, new)
        self.assertEqual(
            self.lines, ["redis://host:6379/5/key: the name of host:6379 leads elsewhere, and is followed"]
        )

    def test_not_moved(self) -> None:
        """A connection is kept as long as its address is one of the name's, which is looked up once each time."""
        peer = self.connected()
        self.leads["host"] = (NEW, OLD)
        self.looked_up.clear()
        self.pull_for(3 * MAX_AGE_S + TICK_S, peer)
        self.assertEqual(self.looked_up, ["host"] * 2)
        self.assertEqual(self.lines, [])

    def test_new_server_refuses(self) -> None:
        """The old one gives the document in the same pull; it is tried again later, and the log says it once."""
        old = self.moved()
        for replies in ((), (), (b"-LOADING not yet\r\n",), (OK, b"-LOADING not yet\r\n")):
            fetching = self.fetch()
            if replies:
                new = self.accept_at(NEW)
                new.says(*replies)
                self.assertTrue(new.closed)
            else:
                self.refuse()
            old.says(bulk(b"1"))
            self.assertEqual(self.successResultOf(fetching), b"1")
            self.pull_for(MAX_AGE_S, old)
        begin = "redis://host:6379/5/key: the name of host:6379 leads elsewhere, where "
        self.assertEqual(len(self.lines), 2)
        self.assertIn(f"{begin}cannot connect: Connection was refused", self.lines[0])
        self.assertEqual(self.lines[1], f"{begin}Redis says: LOADING not yet: the old connection is kept")
        fetching = self.fetch()
        self.accept_at(NEW).says(OK, bulk(b"2"))
        self.assertEqual(self.successResultOf(fetching), b"2")
        self.assertIn("is followed", self.lines[2])

    def test_new_server_hangs(self) -> None:
        """It is waited for a little; then the old one is asked, in the same pull."""
        old = self.moved()
        fetching = self.fetch()
        new = self.accept_at(NEW)
        new.says(OK)
        self.reactor.advance(FOLLOW_TIMEOUT_S)
        self.assertTrue(new.closed)
        old.says(bulk(b"1"))
        self.assertEqual(self.successResultOf(fetching), b"1")
        self.assertIn("no answer within 0.5 s: the old connection is kept", self.lines[0])

    def test_pull_that_is_given_up(self) -> None:
        """Both connections are closed."""
        old = self.moved()
        fetching = self.fetch()
        new = self.accept_at(NEW)
        fetching.cancel()
        self.failureResultOf(fetching, CancelledError)
        self.assertTrue(old.closed)
        self.assertTrue(new.closed)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_connection_that_was_lost(self) -> None:
        """The new connection leads to the current address of the name, not to an earlier one."""
        old = self.moved()
        self.leads["host"] = ("10.0.0.3",)
        old.is_lost()
        fetching = self.fetch()
        self.accept_at("10.0.0.3").says(OK, bulk(b"1"))
        self.assertEqual(self.successResultOf(fetching), b"1")

    def test_silent_name_server(self) -> None:
        """It delays no pull, and the connection stays."""
        peer = self.connected()
        self.source.login.names.in_thread = lambda *_: Deferred()
        self.pull_for(4 * MAX_AGE_S, peer)

    def test_name_that_is_gone(self) -> None:
        """The connection stays."""
        peer = self.connected()
        del self.leads["host"]
        self.pull_for(4 * MAX_AGE_S, peer)

    def test_rare_pulls(self) -> None:
        """A cached address is too old then: the source waits for the look-up, and the old server gives no document."""
        old = self.connected()
        self.leads["host"] = (NEW,)
        self.reactor.advance(3600)
        fetching = self.fetch()
        self.accept_at(NEW).says(OK, bulk(b"2"))
        self.assertEqual(self.successResultOf(fetching), b"2")
        self.assertTrue(old.closed)

    def test_rare_pulls_of_a_name_that_has_not_moved(self) -> None:
        """The connection is kept; also if a silent name server, or one that knows nothing, has been waited for."""
        peer = self.connected()
        self.reactor.advance(3600)
        self.pull(peer)
        del self.leads["host"]
        self.reactor.advance(3600)
        self.pull(peer)
        self.source.login.names.in_thread = lambda *_: Deferred()
        self.reactor.advance(3600)
        fetching = self.fetch()
        peer.commands()
        self.reactor.advance(LOOK_UP_TIMEOUT_S)
        self.assertEqual([command[0] for command in peer.commands()], [b"GETRANGE"])
        peer.says(bulk(b"1"))
        self.assertEqual(self.successResultOf(fetching), b"1")


class AddressTests(MovingTestCase):
    """Servers that are not named."""

    url = f"redis://{OLD}/5/key"

    def test_address(self) -> None:
        """There is nothing to look up."""
        peer = self.connected()
        self.pull_for(4 * MAX_AGE_S, peer)
        self.reactor.advance(3600)
        self.pull(peer)
        self.assertEqual(self.looked_up, [])


class SentinelTests(MovingTestCase):
    """The master that sentinels know."""

    url = "redis+sentinel://one,two/main/5/key"

    def setUp(self) -> None:
        super().setUp()
        self.leads |= {"one": ("10.9.0.1",), "two": ("10.9.0.2",)}

    def found_by(self, sentinel: str, master: str) -> Peer:
        """Lets a sentinel name a master."""
        self.accept_at(sentinel).says(strings(master.encode(), b"6379"))
        peer = self.accept_at(self.leads.get(master, (master,))[0])
        peer.says(OK)
        return peer

    def connected_to(self, master: str) -> Peer:
        fetching = self.fetch()
        peer = self.found_by("10.9.0.1", master)
        peer.says(MASTER, bulk(b"1"))
        self.assertEqual(self.successResultOf(fetching), b"1")
        return peer

    def test_sentinel_that_has_moved(self) -> None:
        """The new one is asked first, and the master that it names is followed."""
        old = self.connected_to("10.0.0.7")
        self.leads["one"] = ("10.9.0.8",)
        self.pull_for(MAX_AGE_S, old, MASTER)
        fetching = self.fetch()
        new = self.found_by("10.9.0.8", "10.0.0.8")
        self.assertFalse(old.closed)
        new.says(MASTER, bulk(b"2"))
        self.assertEqual(self.successResultOf(fetching), b"2")
        self.assertTrue(old.closed)
        self.pull_for(2 * MAX_AGE_S, new, MASTER)

    def test_master_that_has_moved(self) -> None:
        """The source follows the master's name if sentinels report names."""
        old = self.connected_to("host")
        self.leads["host"] = (NEW,)
        self.pull_for(MAX_AGE_S, old, MASTER)
        fetching = self.fetch()
        self.found_by("10.9.0.1", "host").says(MASTER, bulk(b"2"))
        self.assertEqual(self.successResultOf(fetching), b"2")
        self.assertTrue(old.closed)

    def test_new_server_is_no_master(self) -> None:
        """The old one is, and is asked on."""
        old = self.connected_to("host")
        self.leads["host"] = (NEW,)
        self.pull_for(MAX_AGE_S, old, MASTER)
        fetching = self.fetch()
        self.found_by("10.9.0.1", "host").says(REPLICA)
        self.found_by("10.9.0.2", "host").says(REPLICA)
        old.says(MASTER, bulk(b"1"))
        self.assertEqual(self.successResultOf(fetching), b"1")
        self.assertFalse(old.closed)

    def test_listener_follows(self) -> None:
        """The connection on which sentinels tell of a new master follows the sentinel's name."""
        self.source.watch(lambda: None)
        self.connected_to("10.0.0.7")
        old = self.accept_at("10.9.0.1")
        old.says(array(bulk(b"subscribe"), bulk(b"+switch-master"), b":1\r\n"))
        self.leads["one"] = ("10.9.0.8",)
        for _ in range(3):
            self.reactor.advance(CHECK_S)
            old.says(array(bulk(b"subscribe"), bulk(b"+switch-master"), b":1\r\n"))
        self.accept_at("10.9.0.8").says(array(bulk(b"subscribe"), bulk(b"+switch-master"), b":1\r\n"))
        self.assertTrue(old.closed)


class ClusterTests(MovingTestCase):
    """The node of a cluster that has the key."""

    url = "redis+cluster://one,two/key"
    moved = b"-MOVED 1 %b:6379\r\n"

    def setUp(self) -> None:
        super().setUp()
        self.leads |= {"one": ("10.9.0.1",), "two": ("10.9.0.2",)}

    def connected_to(self, node: str) -> Peer:
        fetching = self.fetch()
        self.accept_at("10.9.0.1").says(self.moved % node.encode())
        peer = self.accept_at(self.leads.get(node, (node,))[0])
        peer.says(bulk(b"1"))
        self.assertEqual(self.successResultOf(fetching), b"1")
        return peer

    def test_seed_that_has_moved(self) -> None:
        """The new one is asked first; it has the key, or says which node has it."""
        old = self.connected_to("10.0.0.7")
        self.leads["one"] = ("10.9.0.8",)
        self.pull_for(MAX_AGE_S, old)
        fetching = self.fetch()
        self.accept_at("10.9.0.8").says(self.moved % b"10.0.0.8")
        new = self.accept_at("10.0.0.8")
        self.assertFalse(old.closed)
        new.says(bulk(b"2"))
        self.assertEqual(self.successResultOf(fetching), b"2")
        self.assertTrue(old.closed)
        self.pull_for(2 * MAX_AGE_S, new)

    def test_node_that_has_moved(self) -> None:
        """Where nodes tell names, that of the one with the key is followed; the others are forgotten."""
        old = self.connected_to("host")
        for node in ("10.0.0.6", "10.0.0.5", "host"):
            fetching = self.fetch()
            old.says(self.moved % node.encode())
            old = self.accept_at(self.leads.get(node, (node,))[0])
            old.says(bulk(b"1"))
            self.assertEqual(self.successResultOf(fetching), b"1")
        self.leads["host"] = (NEW,)
        self.looked_up.clear()
        self.pull_for(MAX_AGE_S, old)
        self.assertEqual(self.looked_up, ["one", "host"])
        fetching = self.fetch()
        self.accept_at("10.9.0.2").says(self.moved % b"host")
        self.accept_at(NEW).says(bulk(b"2"))
        self.assertEqual(self.successResultOf(fetching), b"2")

    def test_new_cluster_does_not_answer(self) -> None:
        """The old node is asked on."""
        old = self.connected_to("10.0.0.7")
        self.leads["one"] = ("10.9.0.8",)
        self.pull_for(MAX_AGE_S, old)
        fetching = self.fetch()
        self.accept_at("10.9.0.8").says(self.moved % b"10.0.0.8")
        self.refuse()
        old.says(bulk(b"1"))
        self.assertEqual(self.successResultOf(fetching), b"1")
        self.assertFalse(old.closed)


class AnnouncementTests(MovingTestCase):
    """The connection on which changes are announced."""

    url = "redis://host/5/key?announce=changes"
    subscribed = array(bulk(b"subscribe"), bulk(b"changes"), b":1\r\n")

    def setUp(self) -> None:
        super().setUp()
        self.changes = 0
        self.source.watch(self._changed)

    def _changed(self) -> None:
        self.changes += 1

    def moved(self) -> Peer:
        """Gives the old connection, when another one is being made."""
        self.connected()
        peer = self.accept_at(OLD)
        peer.says(OK, self.subscribed)
        self.leads["host"] = (NEW,)
        for _ in range(3):
            self.reactor.advance(CHECK_S)
            peer.says(self.subscribed)
        self.changes = 0
        self.lines.clear()
        return peer

    def test_moved(self) -> None:
        """The source subscribes at the new server, reports a change for missed messages, and leaves the old server."""
        old = self.moved()
        new = self.accept_at(NEW)
        new.says(OK)
        self.assertFalse(old.closed)
        new.says(self.subscribed)
        self.assertTrue(old.closed)
        self.assertEqual(self.changes, 1)
        self.assertEqual(self.lines, [])
        new.says(strings(b"message", b"changes", b""))
        self.assertEqual(self.changes, 2)
        for _ in range(6):
            self.reactor.advance(CHECK_S)
            new.says(self.subscribed)
        self.assertEqual(self.attempts(), [])
        self.assertFalse(new.closed)

    def test_new_server_does_not_tell(self) -> None:
        """The old one is listened to, without a word, and the new one tried again later."""
        old = self.moved()
        self.refuse()
        old.says(strings(b"message", b"changes", b""))
        self.assertEqual(self.changes, 1)
        for _ in range(3):
            self.assertEqual(self.attempts(), [])
            self.reactor.advance(CHECK_S)
            old.says(self.subscribed)
        self.accept_at(NEW)
        self.reactor.advance(ATTEMPT_S)
        self.assertFalse(old.closed)
        self.assertEqual(self.lines, [])

    def test_both_are_lost(self) -> None:
        """The attempt decides, when the old connection ends meanwhile; the log says so, and others follow."""
        self.moved().is_lost()
        self.assertEqual(self.lines, [])
        self.refuse()
        self.assertIn("changes are not announced by host:6379", self.lines[0])
        self.reactor.advance(FIRST_RETRY_S)
        self.accept_at(NEW).says(OK, self.subscribed)
        self.assertEqual(self.changes, 1)

    def test_old_one_is_lost(self) -> None:
        """The new one takes its place."""
        self.moved().is_lost()
        self.reactor.advance(FIRST_RETRY_S)
        self.accept_at(NEW).says(OK, self.subscribed)
        self.assertEqual(self.changes, 1)
        self.assertEqual(self.lines, [])

    def test_closing(self) -> None:
        """Both are ended."""
        old = self.moved()
        new = self.accept_at(NEW)
        self.source.close()
        self.assertTrue(old.closed)
        self.assertTrue(new.closed)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
