"""Reading replies out of bytes."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.sources.redis.replies import MAX_DEPTH, MAX_LINE, ErrorReply, NotRedisError, Reply, ReplyReader
from tests.sources.redis.peer import array, bulk

if TYPE_CHECKING:
    from collections.abc import Iterable

VALUES: st.SearchStrategy[Reply] = st.recursive(
    st.none()
    | st.binary(max_size=20)
    | st.integers(-(10**18), 10**18)
    | st.text(alphabet="aé $*:+-", max_size=9)
    | st.builds(ErrorReply, st.text(alphabet="aé $*:+-", max_size=9)),
    lambda values: st.lists(values, max_size=4),
    max_leaves=12,
).filter(lambda value: depth(value) <= MAX_DEPTH)


def depth(reply: Reply) -> int:
    return 1 + max(map(depth, reply), default=0) if isinstance(reply, list) else 0


def written(reply: Reply) -> bytes:
    """Gives a reply as a server writes it."""
    match reply:
        case None:
            return b"$-1\r\n"
        case bytes():
            return bulk(reply)
        case str():
            return b"+%b\r\n" % reply.encode()
        case int():
            return b":%d\r\n" % reply
        case ErrorReply():
            return b"-%b\r\n" % reply.text.encode()
        case list():
            return array(*map(written, reply))


def read(chunks: Iterable[bytes]) -> list[Reply]:
    reader = ReplyReader()
    return [reply for chunk in chunks for reply in reader.feed(chunk)]


class ReplyReaderTests(SynchronousTestCase):
    """ReplyReader."""

    @settings(deadline=None)
    @given(st.lists(VALUES, min_size=1, max_size=4), st.lists(st.integers(1, 400), max_size=12))
    def test_replies_in_pieces(self, replies: list[Reply], cuts: list[int]) -> None:
        """Any replies, cut anywhere by TCP, are read as the server wrote them."""
        data = b"".join(map(written, replies))
        edges = [0, *sorted(cut for cut in set(cuts) if cut < len(data)), len(data)]
        self.assertEqual(read(data[start:end] for start, end in itertools.pairwise(edges)), replies)

    def test_byte_by_byte(self) -> None:
        """Replies are understood even if each byte comes by itself."""
        reply: Reply = [b"master", 3129659, [[b"127.0.0.1", b"9001", b"\r\n"], None], "OK", ErrorReply("NO x")]
        data = written(reply)
        self.assertEqual(read(data[index : index + 1] for index in range(len(data))), [reply])

    def test_errors_lose_their_prefix(self) -> None:
        """ERR says nothing; other prefixes do."""
        self.assertEqual(read([b"-ERR no\r\n-MOVED 1 a:2\r\n"]), [ErrorReply("no"), ErrorReply("MOVED 1 a:2")])

    def test_lists_of_nothing(self) -> None:
        """There are lists that are empty, and lists that are not there."""
        self.assertEqual(read([b"*0\r\n*-1\r\n*1\r\n*0\r\n"]), [[], None, [[]]])

    def test_what_is_not_redis(self) -> None:
        """Each is known as soon as it can be."""
        for garbage in (
            b"\r\n",
            b"HTTP/1.1 400 Bad Request\r\n",
            b"\0",
            b"$x\r\n",
            b"$-2\r\n",
            b"$1_0\r\n",
            b"*-2\r\n",
            b"*99999999999\r\n",
            b":1.5\r\n",
            b"$2\r\nabcd",
            b"*1\r\n" * (MAX_DEPTH + 1),
            b"+" + b"x" * (MAX_LINE + 2),
            b"%1\r\n+a\r\n:1\r\n",
        ):
            with self.assertRaises(NotRedisError, msg=repr(garbage[:30])):
                read([garbage])

    def test_large_lists_take_time_in_proportion(self) -> None:
        """A hundred thousand elements in pieces of a network's size are no more work than their bytes."""
        data = array(*[bulk(b"%d" % number) for number in range(100_000)])
        (reply,) = read(data[start : start + 1400] for start in range(0, len(data), 1400))
        assert isinstance(reply, list)
        self.assertEqual(len(reply), 100_000)
