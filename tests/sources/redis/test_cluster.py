"""The node of a cluster that has the key."""

from __future__ import annotations

from twisted.internet.defer import CancelledError

from livefeed.sources.redis.cluster import MAX_REDIRECTIONS, SEED_TIMEOUT_S
from tests.sources.redis.peer import OK, PASSWORD, Peer, RedisTestCase, bulk

READ = b"GETRANGE"


class ClusterTests(RedisTestCase):
    """Cluster."""

    url = f"redis+cluster://:{PASSWORD}@10.9.0.1,10.9.0.2:7000,10.9.0.3/key"

    def node(self, host: str, port: int = 6379) -> Peer:
        """Gives the node that is being connected to, once it is this one."""
        self.assertEqual(self.attempts(), [(host, port)])
        peer = self.accept()
        self.assertEqual(peer.commands(), [[b"AUTH", PASSWORD.encode()]])
        peer.says(OK)
        return peer

    def connected(self) -> Peer:
        fetching = self.fetch()
        self.node("10.9.0.1").says(b"-MOVED 9189 10.0.0.3:7003\r\n")
        peer = self.node("10.0.0.3", 7003)
        self.assertEqual([command[0] for command in peer.commands()], [READ])
        peer.says(bulk(b"1"))
        self.assertEqual(self.successResultOf(fetching), b"1")
        return peer

    def test_moved(self) -> None:
        """The node that has the key is followed, and asked first from then on; the wrong one is left."""
        fetching = self.fetch()
        wrong = self.node("10.9.0.1")
        wrong.says(b"-MOVED 9189 10.0.0.3:7003\r\n")
        self.assertTrue(wrong.closed)
        peer = self.node("10.0.0.3", 7003)
        peer.says(bulk(b"1"))
        self.assertEqual(self.successResultOf(fetching), b"1")
        peer.commands()
        fetching = self.fetch()
        self.assertEqual([command[0] for command in peer.commands()], [READ])
        peer.says(bulk(b"2"))
        self.assertEqual(self.successResultOf(fetching), b"2")

    def test_moved_without_a_host(self) -> None:
        """It is the same host, with another port; an IPv6 address has no brackets."""
        fetching = self.fetch()
        self.node("10.9.0.1").says(b"-MOVED 9189 :7003\r\n")
        self.node("10.9.0.1", 7003).says(b"-MOVED 9189 fe80::1:7004\r\n")
        self.node("fe80::1", 7004).says(bulk(b"1"))
        self.assertEqual(self.successResultOf(fetching), b"1")

    def test_ask(self) -> None:
        """While the key is on its way, the other node is asked this once; the slot is still this one's."""
        peer = self.connected()
        peer.commands()
        fetching = self.fetch()
        peer.says(b"-ASK 9189 10.0.0.4:7004\r\n")
        other = self.node("10.0.0.4", 7004)
        self.assertEqual(other.commands(), [[b"ASKING"]])
        other.says(OK)
        self.assertEqual([command[0] for command in other.commands()], [READ])
        other.says(bulk(b"2"))
        self.assertEqual(self.successResultOf(fetching), b"2")
        self.assertTrue(other.closed)
        peer.commands()
        fetching = self.fetch()
        self.assertEqual([command[0] for command in peer.commands()], [READ])
        peer.says(bulk(b"3"))
        self.assertEqual(self.successResultOf(fetching), b"3")

    def test_seed_that_is_gone(self) -> None:
        """Another is asked; one that hangs is waited for a little; the next time it is not the first."""
        fetching = self.fetch()
        self.refuse()
        hanging = self.accept()
        self.reactor.advance(SEED_TIMEOUT_S)
        self.assertTrue(hanging.closed)
        self.node("10.9.0.3").says(bulk(b"1"))
        self.assertEqual(self.successResultOf(fetching), b"1")

    def test_all_seeds_are_gone(self) -> None:
        """The node that had the key last is asked then; and if it is gone too, that is said."""
        self.connected().is_lost()
        fetching = self.fetch()
        for _ in range(3):
            self.refuse()
        self.node("10.0.0.3", 7003).says(bulk(b"2"))
        self.assertEqual(self.successResultOf(fetching), b"2")
        self.source.close()
        fetching = self.fetch()
        for _ in range(4):
            self.refuse()
        self.assertIn("the node 10.0.0.3:7003: cannot connect: Connection was refused", self.failed(fetching))

    def test_nodes_that_send_each_other_the_question(self) -> None:
        """There is an end to it."""
        fetching = self.fetch()
        self.node("10.9.0.1").says(b"-MOVED 1 10.0.0.9:1\r\n")
        for port in range(1, MAX_REDIRECTIONS):
            self.node("10.0.0.9", port).says(b"-MOVED 1 10.0.0.9:%d\r\n" % (port + 1))
        self.accept().says(OK)
        self.assertIn("sent the question on 5 times", self.failed(fetching))

    def test_cluster_that_is_down(self) -> None:
        """Errors of the node are passed on, as are malformed redirections."""
        for said in (b"CLUSTERDOWN The cluster is down", b"MOVED 1 host", b"MOVED 1 ?:0", b"MOVED 1 a:99999"):
            fetching = self.fetch()
            self.accept().says(OK, b"-%b\r\n" % said)
            self.assertEqual(self.failed(fetching), f"Redis says: {said.decode()}")

    def test_pull_that_is_given_up(self) -> None:
        """The next one begins with another node, and nothing is left open."""
        fetching = self.fetch()
        peer = self.node("10.9.0.1")
        fetching.cancel()
        self.failureResultOf(fetching, CancelledError)
        self.assertTrue(peer.closed)
        fetching = self.fetch()
        self.node("10.9.0.2", 7000).says(b"-ASK 9189 10.0.0.4:7004\r\n")
        other = self.node("10.0.0.4", 7004)
        fetching.cancel()
        self.failureResultOf(fetching, CancelledError)
        self.assertTrue(other.closed)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
