"""Replicas that have lost their master."""

from __future__ import annotations

from livefeed.sources.names import MAX_AGE_S
from livefeed.sources.redis.replication import CHECK_S, INFO_REPLY, RETRY_S
from tests.sources.redis.peer import MASTER, MAX_BYTES, OK, PASSWORD, Peer, RedisTestCase, bulk, strings


def replica(link: bytes, since: bytes = b"", master: bytes = b"10.0.0.9", *, role: bytes = b"slave") -> bytes:
    """Gives the reply of a replica to INFO."""
    lines = [b"# Replication", b"role:" + role, b"master_host:" + master, b"master_port:6379"]
    lines += [b"master_link_status:" + link, b"master_last_io_seconds_ago:-1"]
    if since:
        lines.append(b"master_link_down_since_seconds:" + since)
    return bulk(b"".join(line + b"\r\n" for line in lines))


UP = replica(b"up")
NOPERM = b"-NOPERM this user has no permissions to run the 'info' command\r\n"
UNKNOWN = "whether host:6379 is a replica that has lost its master cannot be known, and is ignored: "


class ReplicationTestCase(RedisTestCase):
    """One server, which says something of its replication."""

    def pull(self, peer: Peer, state: bytes, document: bytes = b"1") -> None:
        """Pulls a document, some time after the last one."""
        peer.state = state
        self.reactor.advance(CHECK_S)
        fetching = self.fetch()
        peer.says(bulk(document))
        self.assertEqual(self.successResultOf(fetching), document)

    def refused(self, peer: Peer, state: bytes) -> str:
        """Gives the error of a pull that gives no document though the server has one."""
        peer.state = state
        self.reactor.advance(CHECK_S)
        fetching = self.fetch()
        peer.says(bulk(b"1"))
        return self.failed(fetching)


class StateTests(ReplicationTestCase):
    """The state that the server reports."""

    def test_no_round_trip_more(self) -> None:
        """The state is asked for in front of the document, without waiting for it."""
        fetching = self.fetch()
        peer = self.accept()
        peer.commands()
        self.assertEqual(peer.asked_for_state, 0)
        peer.says(OK)
        self.assertEqual(peer.asked_for_state, 1)
        self.assertEqual([command[0] for command in peer.commands()], [b"GETRANGE"])
        peer.says(bulk(b"1"))
        self.assertEqual(self.successResultOf(fetching), b"1")

    def test_masters_and_replicas_are_believed(self) -> None:
        """A replica whose link is up is as good as its master."""
        peer = self.connected()
        for state in (UP, replica(b"up", role=b"replica"), bulk(b"role:master\r\n")):
            self.pull(peer, state)
        self.assertEqual(self.lines, [])

    def test_lost_master(self) -> None:
        """It is refused until the link is up; the words stay the same, and the connection, too."""
        peer = self.connected()
        self.pull(peer, UP)
        why = "the replica has lost its master 10.0.0.9:6379: master_link_status is down, for 3 s"
        for since in (b"3", b"4", b"5"):
            self.assertEqual(self.refused(peer, replica(b"down", since)), why)
        self.assertFalse(peer.closed)
        self.pull(peer, UP, b"2")
        self.assertIn("for 7 s", self.refused(peer, replica(b"down", b"7")))
        # It has taken the master's place.
        self.pull(peer, bulk(b"role:master\r\n"), b"3")
        self.assertEqual(self.lines, [])

    def test_lost_master_before_the_first_document(self) -> None:
        """There is none then: how old it is cannot be known."""
        for since in (b"", b"-1", b"x", b"9" * 30):
            self.source.close()
            fetching = self.fetch()
            peer = self.accept()
            peer.state = replica(b"down", since)
            peer.says(OK, bulk(b"1"))
            self.assertIn("master_link_status is down, and was never up", self.failed(fetching))

    def test_names_are_cut(self) -> None:
        """The server's text cannot fill the log, nor break its lines."""
        why = self.refused(self.connected(), replica(b"down", b"1", b"\xff\n" + b"x" * 5000))
        self.assertLess(len(why), 250)
        self.assertNotIn("\n", why)

    def test_not_more_often_than_it_must_be(self) -> None:
        """Pulls that follow one another soon, after announced changes, ask once; all do while the master is lost."""
        peer = self.connected()
        self.assertEqual(peer.asked_for_state, 1)
        for _ in range(10):
            self.reactor.advance(CHECK_S / 10)
            fetching = self.fetch()
            peer.says(bulk(b"1"))
            self.assertEqual(self.successResultOf(fetching), b"1")
        self.assertLessEqual(peer.asked_for_state, 2)
        self.refused(peer, replica(b"down", b"1"))
        peer.state = UP
        fetching = self.fetch()
        peer.says(bulk(b"2"))
        self.assertEqual(self.successResultOf(fetching), b"2")

    def test_state_without_end(self) -> None:
        """It is cut off."""
        peer = self.connected()
        peer.state = None
        self.reactor.advance(CHECK_S)
        fetching = self.fetch()
        peer.says(b"$999999999\r\n" + b"x" * INFO_REPLY)
        peer.says(b"x" * (MAX_BYTES + 2000))
        self.assertTrue(peer.closed)
        self.assertIn("larger than it may be", self.failed(fetching))

    def test_long_state(self) -> None:
        """That of a master with many replicas is read, and then a document that is as large as it may be."""
        slaves = b"".join(b"slave%d:ip=10.0.0.1,port=6379,state=online,offset=1,lag=0\r\n" % n for n in range(900))
        self.pull(self.connected(), bulk(b"role:master\r\n" + slaves), b"x" * MAX_BYTES)


class UnknownTests(ReplicationTestCase):
    """Servers that do not say."""

    def test_documents_are_served(self) -> None:
        """If the state is unknown for any reason, the document is served, and the log says so once."""
        says_nothing = "its answer to INFO does not say so"
        for state, why in (
            (NOPERM, "Redis says: NOPERM this user has no permissions to run the 'info' command"),
            (b"-ERR unknown command " + b"x" * 900 + b"\r\n", "Redis says: unknown command x"),
            (b"+OK\r\n", says_nothing),
            (b":1\r\n", says_nothing),
            (b"$-1\r\n", says_nothing),
            (bulk(b""), says_nothing),
            (strings(b"role", b"master"), says_nothing),
            (bulk(b"role:slave\r\n"), says_nothing),
            (bulk(b"role:sentinel\r\n"), says_nothing),
            (replica(b"perhaps"), says_nothing),
        ):
            self.setUp()
            peer = self.connected()
            for _ in range(3):
                self.pull(peer, state)
            self.assertEqual(len(self.lines), 1, state)
            self.assertTrue(self.lines[0].startswith(UNKNOWN + why), self.lines)
            self.assertLess(len(self.lines[0]), 250)

    def test_asked_again(self) -> None:
        """The state is requested again after some time, and on each new connection: the right may have been given."""
        peer = self.connected()
        self.pull(peer, NOPERM)
        self.pull(peer, NOPERM)
        self.assertEqual(peer.asked_for_state, 2)
        self.reactor.advance(RETRY_S)
        self.pull(peer, NOPERM)
        self.assertEqual(peer.asked_for_state, 3)
        peer.is_lost()
        peer = self.connected()
        self.assertEqual(peer.asked_for_state, 1)
        self.refused(peer, replica(b"down", b"1"))
        self.assertEqual(len(self.lines), 1)

    def test_lost_master_that_is_no_longer_told_of(self) -> None:
        """The document is served again: without the right there is no check."""
        peer = self.connected()
        self.refused(peer, replica(b"down", b"1"))
        self.pull(peer, NOPERM)
        self.assertIn("NOPERM", self.lines[0])

    def test_error_that_repeats_the_password(self) -> None:
        """It is kept out of the log."""
        self.source = self.make_source(f"redis://:{PASSWORD}@host/5/key")
        fetching = self.fetch()
        peer = self.accept()
        peer.state = b"-ERR unknown command, beginning with: '%b'\r\n" % PASSWORD.encode()
        peer.says(OK, OK, bulk(b"1"))
        self.assertEqual(self.successResultOf(fetching), b"1")
        self.assertNotIn(PASSWORD, self.lines[0])
        self.assertIn("unknown command", self.lines[0])


class FatalTests(ReplicationTestCase):
    """Proxies that end the connection at a command that they do not know."""

    def ended(self) -> Peer:
        peer = self.accept()
        peer.state = None
        peer.says(OK)
        self.assertEqual(peer.asked_for_state, 1)
        peer.is_lost()
        return peer

    def test_connection_that_is_ended(self) -> None:
        """Another one is made in the same pull, without that question, and the log says so; pulls go on as before."""
        for _ in range(2):
            fetching = self.fetch()
            self.ended()
            peer = self.accept()
            peer.says(OK, bulk(b"1"))
            self.assertEqual(self.successResultOf(fetching), b"1")
            for _ in range(3):
                self.reactor.advance(RETRY_S)
                fetching = self.fetch()
                peer.says(bulk(b"1"))
                self.assertEqual(self.successResultOf(fetching), b"1")
            self.assertEqual(peer.asked_for_state, 0)
            peer.is_lost()
        self.assertEqual(self.lines, [f"{UNKNOWN}it ends the connection when it is asked"])

    def test_server_that_dies(self) -> None:
        """It is no such proxy: it is asked when it is back."""
        fetching = self.fetch()
        self.ended()
        self.refuse()
        self.assertIn("refused", self.failed(fetching))
        for _ in range(2):
            fetching = self.fetch()
            self.refuse()
            self.failed(fetching)
            self.assertEqual(self.attempts(), [])
        self.assertEqual(self.connected().asked_for_state, 1)
        self.assertEqual(self.lines, [])

    def test_closing(self) -> None:
        """A source that is closed in its first pull makes no other connection."""
        fetching = self.fetch()
        self.accept().says(OK)
        self.source.close()
        self.assertEqual(self.failed(fetching), "the connection was lost")
        self.assertEqual(self.attempts(), [])


class OtherServersTests(RedisTestCase):
    """Servers that are not asked."""

    def test_sentinels_and_clusters(self) -> None:
        """Neither reads from replicas: a master says its role, and a replica in a cluster sends livefeed on."""
        self.source = self.make_source("redis+sentinel://10.9.0.1/main/5/key")
        fetching = self.fetch()
        self.accept().says(strings(b"10.0.0.1", b"6379"))
        peer = self.accept()
        peer.says(OK, MASTER, bulk(b"1"))
        self.assertEqual(self.successResultOf(fetching), b"1")
        self.assertEqual(peer.asked_for_state, 0)
        self.source = self.make_source("redis+cluster://10.9.0.1/key")
        fetching = self.fetch()
        peer = self.accept()
        peer.says(bulk(b"1"))
        self.assertEqual(self.successResultOf(fetching), b"1")
        self.assertEqual(peer.asked_for_state, 0)


class MovedTests(ReplicationTestCase):
    """A name that leads elsewhere."""

    def setUp(self) -> None:
        super().setUp()
        self.addresses = {"host": ("10.0.0.1",)}
        self.source.login.names.look_up = self.addresses.__getitem__
        self.old = self.connected()
        self.addresses["host"] = ("10.0.0.2",)

    def test_to_a_replica_that_has_lost_its_master(self) -> None:
        """The old server is asked on."""
        self.reactor.advance(MAX_AGE_S)
        fetching = self.fetch()
        new = self.accept()
        new.state = replica(b"down", b"1")
        new.says(OK, bulk(b"2"))
        self.assertTrue(new.closed)
        self.old.says(bulk(b"1"))
        self.assertEqual(self.successResultOf(fetching), b"1")
        self.assertIn("leads elsewhere, where the replica has lost its master 10.0.0.9:6379", self.lines[0])

    def test_from_a_replica_that_has_lost_its_master(self) -> None:
        """The new server is followed."""
        self.refused(self.old, replica(b"down", b"1"))
        self.reactor.advance(MAX_AGE_S)
        fetching = self.fetch()
        new = self.accept()
        new.state = UP
        new.says(OK, bulk(b"2"))
        self.assertEqual(self.successResultOf(fetching), b"2")
        self.assertTrue(self.old.closed)
