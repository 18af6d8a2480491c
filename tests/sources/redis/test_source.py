"""The Redis source, against a server in memory that the test controls."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError

from livefeed.exceptions import SourceError
from tests.sources.redis.peer import MAX_BYTES, OK, PASSWORD, RedisTestCase, bulk


class FetchTests(RedisTestCase):
    """The commands of the source, and the documents from the replies."""

    def test_document_is_as_it_is(self) -> None:
        """The bytes are those of the store: not decoded, no number of them converted, line ends and NUL kept."""
        for document in (
            b"1.50",
            b"42",
            b'{"a": "\xc3\xa9"}',
            b"\xff\x00",
            b"a\r\nb\r\n",
            b"\r\n",
            b"$5\r\nhello\r\n",
        ):
            fetching = self.fetch()
            peer = self.accept()
            peer.says(OK, bulk(document))
            self.assertEqual(self.successResultOf(fetching), document)
            self.source.close()

    def test_commands(self) -> None:
        """The database is selected, then no more is asked for than shows that it is too large."""
        fetching = self.fetch()
        peer = self.accept()
        self.assertEqual(peer.commands(), [[b"SELECT", b"5"]])
        self.assertNoResult(fetching)
        peer.says(OK)
        self.assertEqual(peer.commands(), [[b"GETRANGE", b"key", b"0", b"%d" % MAX_BYTES]])
        peer.says(bulk(b"1"))
        self.assertEqual(self.successResultOf(fetching), b"1")

    def test_connection_is_kept(self) -> None:
        """Later pulls are one command each on the same connection."""
        peer = self.connected()
        for document in (b"2", b"3"):
            fetching = self.fetch()
            self.assertEqual([command[0] for command in peer.commands()], [b"GETRANGE"])
            peer.says(bulk(document))
            self.assertEqual(self.successResultOf(fetching), document)
        self.assertEqual(self.reactor.tcpClients, [])

    def test_document_of_one_byte_too_many(self) -> None:
        """A document that is one byte too large comes through, so that the gate refuses it with its own message."""
        peer = self.connected()
        fetching = self.fetch()
        peer.says(bulk(b"x" * (MAX_BYTES + 1)))
        self.assertEqual(len(self.successResultOf(fetching)), MAX_BYTES + 1)

    @settings(deadline=None, max_examples=60)
    @given(st.binary(min_size=1, max_size=300), st.lists(st.integers(1, 310), max_size=6))
    def test_answer_in_pieces(self, document: bytes, cuts: list[int]) -> None:
        """The document is read intact, however TCP cuts the answer."""
        peer = self.connected()
        fetching = self.fetch()
        answer = bulk(document)
        edges = [0, *sorted(cut for cut in set(cuts) if cut < len(answer)), len(answer)]
        for start, end in itertools.pairwise(edges):
            self.assertNoResult(fetching)
            peer.says(answer[start:end])
        self.assertEqual(self.successResultOf(fetching), document)
        self.source.close()

    def test_missing_key(self) -> None:
        """GETRANGE answers an empty string for a key that is not there; that is no document."""
        peer = self.connected()
        fetching = self.fetch()
        peer.says(bulk(b""))
        self.assertEqual(self.failed(fetching), "the key is missing, or holds an empty string")
        fetching = self.fetch()
        peer.says(bulk(b"2"))
        self.assertEqual(self.successResultOf(fetching), b"2")

    def test_key_of_another_type(self) -> None:
        """The words of Redis are passed on."""
        peer = self.connected()
        fetching = self.fetch()
        peer.says(b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n")
        self.assertIn("Redis says: WRONGTYPE Operation against a key", self.failed(fetching))

    def test_long_error_is_cut(self) -> None:
        """The server cannot fill the log."""
        peer = self.connected()
        fetching = self.fetch()
        peer.says(b"-ERR " + b"x" * 900 + b"\r\n")
        self.assertLess(len(self.failed(fetching)), 250)

    def test_first_database_is_not_selected(self) -> None:
        """A connection begins with it, and proxies without SELECT have no other."""
        self.source = self.make_source("redis://host/0/key")
        fetching = self.fetch()
        peer = self.accept()
        self.assertEqual(peer.commands(), [[b"GETRANGE", b"key", b"0", b"%d" % MAX_BYTES]])
        peer.says(bulk(b"1"))
        self.assertEqual(self.successResultOf(fetching), b"1")

    def test_database_that_is_not_there(self) -> None:
        """A refused SELECT fails the pull, and no document is read from another database."""
        fetching = self.fetch()
        peer = self.accept()
        peer.says(b"-ERR DB index is out of range\r\n")
        self.assertIn("DB index is out of range", self.failed(fetching))
        self.assertTrue(peer.closed)
        self.assertNotIn([b"GETRANGE"], [command[:1] for command in peer.commands()])
        self.assert_recovers()


class AuthenticationTests(RedisTestCase):
    """Sources with user and password."""

    url = f"redis://reader:{PASSWORD}@host/7/key"

    def test_authentication_comes_first(self) -> None:
        """AUTH with user and password, then SELECT, each after the other's answer."""
        fetching = self.fetch()
        peer = self.accept()
        self.assertEqual(peer.commands(), [[b"AUTH", b"reader", PASSWORD.encode()]])
        peer.says(OK)
        self.assertEqual(peer.commands(), [[b"SELECT", b"7"]])
        peer.says(OK, bulk(b"1"))
        self.assertEqual(self.successResultOf(fetching), b"1")

    def test_password_without_user(self) -> None:
        """The default user has a password alone."""
        self.source = self.make_source(f"redis://:{PASSWORD}@host/5/key")
        fetching = self.fetch()
        peer = self.accept()
        self.assertEqual(peer.commands(), [[b"AUTH", PASSWORD.encode()]])
        peer.says(OK, OK, bulk(b"1"))
        self.assertEqual(self.successResultOf(fetching), b"1")

    def test_wrong_password(self) -> None:
        """The failure says so without the password; nothing is asked of the server, and the next pull tries again."""
        fetching = self.fetch()
        peer = self.accept()
        peer.commands()
        peer.says(b"-WRONGPASS invalid username-password pair or user is disabled.\r\n")
        failed = self.failed(fetching)
        self.assertIn("WRONGPASS invalid username-password pair", failed)
        self.assertNotIn(PASSWORD, failed)
        self.assertEqual(peer.commands(), [])
        self.assertTrue(peer.closed)
        fetching = self.fetch()
        self.accept().says(OK, OK, bulk(b"1"))
        self.assertEqual(self.successResultOf(fetching), b"1")

    def test_error_that_repeats_the_password(self) -> None:
        """A server that does not know AUTH repeats its arguments: they are kept out of the log."""
        fetching = self.fetch()
        self.accept().says(
            b"-ERR unknown command 'AUTH', with args beginning with: 'reader' '%b' \r\n" % PASSWORD.encode()
        )
        failed = self.failed(fetching)
        self.assertIn("unknown command 'AUTH'", failed)
        self.assertNotIn(PASSWORD, failed)

    def test_names_hold_no_credentials(self) -> None:
        """Neither str(), which is in log lines, nor repr(), which may come into a traceback, shows the password."""
        self.assertEqual(str(self.source), "redis://host:6379/7/key")
        self.assertNotIn(PASSWORD, repr(self.source))


class TroubleTests(RedisTestCase):
    """Connections that fail, and peers that are not to be believed."""

    def test_refused_connection(self) -> None:
        """The failure says that it was connecting that failed; the next pull tries again."""
        fetching = self.fetch()
        self.refuse()
        self.assertIn("cannot connect: Connection was refused", self.failed(fetching))
        self.assert_recovers()

    def test_connection_lost_while_waiting(self) -> None:
        """A pull whose connection is lost fails at once, at any point of the answer."""
        for part in (b"", b"$", b"$500\r\n", b"$500\r\nhalf of it", b"$4\r\nfull\r"):
            peer = self.connected()
            fetching = self.fetch()
            peer.says(part)
            peer.is_lost()
            self.assertEqual(self.failed(fetching), "the connection was lost", part)
            self.assert_recovers()
            self.source.close()

    def test_connection_lost_between_pulls(self) -> None:
        """A server that was restarted costs no failed pull: the next one connects anew."""
        self.connected().is_lost()
        self.assert_recovers()

    def test_peer_that_is_not_redis(self) -> None:
        """A peer that does not speak RESP is cut off at once, before the timeout, and its bytes are no document."""
        for garbage in (
            b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
            b"220 mail.example ESMTP\r\n",
            b"\xff\xfe\xfd\r\n",
            b"$many\r\n",
            b":many\r\n",
            b"*many\r\n",
            b"$-7\r\n",
            b"*-7\r\n",
            b"x" * 20_000,
        ):
            peer = self.connected()
            fetching = self.fetch()
            peer.says(garbage)
            self.failureResultOf(fetching, SourceError)
            self.assertTrue(peer.closed, garbage)
            self.assert_recovers()
            self.source.close()

    def test_answer_that_is_no_string(self) -> None:
        """A status, a number, nothing, and a list are answers of Redis, but not to GETRANGE."""
        for answer in (b"+OK\r\n", b":5\r\n", b"$-1\r\n", b"*-1\r\n", b"*1\r\n$1\r\n1\r\n"):
            peer = self.connected()
            fetching = self.fetch()
            peer.says(answer)
            self.assertEqual(self.failed(fetching), "the answer is not a string", answer)
            self.assertTrue(peer.closed)
            self.assert_recovers()
            self.source.close()

    def test_peer_that_sends_too_much(self) -> None:
        """A peer that keeps on sending is cut off before it has filled the memory."""
        for start in (b"$999999999\r\n", b"*1000000\r\n", b"-ERR "):
            peer = self.connected()
            fetching = self.fetch()
            peer.says(start)
            sent = 0
            while not peer.closed:
                peer.says(b":1\r\n" * 100 if start.startswith(b"*") else b"x" * 400)
                sent += 400
                self.assertLess(sent, 3 * MAX_BYTES)
            self.assertEqual(self.failed(fetching), "the answer is larger than it may be (--max-bytes)")
            self.assert_recovers()
            self.source.close()

    def test_allowance_is_for_each_answer(self) -> None:
        """Many answers on one connection are not taken for one that is too long."""
        peer = self.connected()
        for _ in range(10):
            fetching = self.fetch()
            peer.says(bulk(b"x" * MAX_BYTES))
            self.assertEqual(len(self.successResultOf(fetching)), MAX_BYTES)

    def test_cancelled_while_waiting(self) -> None:
        """After a pull that was given up the connection is not used again: its answer may still come."""
        peer = self.connected()
        fetching = self.fetch()
        fetching.cancel()
        self.failureResultOf(fetching, CancelledError)
        self.assertTrue(peer.closed)
        self.assert_recovers()

    def test_cancelled_while_connecting(self) -> None:
        """An attempt that was given up is ended, and the next pull makes another."""
        fetching = self.fetch()
        (connector,) = self.reactor.connectors
        fetching.cancel()
        self.failureResultOf(fetching)
        assert connector.stoppedConnecting
        self.reactor.tcpClients.clear()
        self.assert_recovers()

    def test_closing(self) -> None:
        """Closing cuts the connection; doing so twice, or before the first pull, is no error."""
        self.source.close()
        peer = self.connected()
        self.source.close()
        self.source.close()
        self.assertTrue(peer.closed)

    def test_closing_ends_a_pull(self) -> None:
        """A pull under way fails when the source is closed."""
        self.connected()
        fetching = self.fetch()
        self.source.close()
        self.assertEqual(self.failed(fetching), "the connection was lost")
