"""The content of answers that are read as they come."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.load.answers import AnswerError, head_of
from livefeed.load.bodies import MAX_CHUNK_LINE_BYTES, MAX_TRAILERS, Body

LENGTH = head_of(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
CHUNKED = head_of(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
UNTIL_CLOSE = head_of(b"HTTP/1.0 200 OK\r\n\r\n")


def taken(body: Body, pieces: list[bytes]) -> bytes:
    """Gives the content of received pieces."""
    return b"".join(body.take(piece) for piece in pieces)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """Cuts bytes at places."""
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(ends)]


class BodyTests(SynchronousTestCase):
    def test_length(self) -> None:
        """The content ends after its length, and the rest is kept apart."""
        body = Body(LENGTH, 5)
        self.assertEqual(taken(body, [b"ab", b"cdefg"]), b"abcde")
        self.assertEqual((body.is_done, body.rest), (True, b"fg"))

    def test_no_content(self) -> None:
        """A content of no bytes is there at once."""
        self.assertTrue(Body(head_of(b"HTTP/1.1 304 Not Modified\r\n\r\n"), 10).is_done)

    def test_until_close(self) -> None:
        """Without a length, the end of the connection is that of the content."""
        body = Body(UNTIL_CLOSE, 10)
        self.assertEqual((taken(body, [b"ab", b"c"]), body.is_done), (b"abc", False))
        body.end()
        self.assertTrue(body.is_done)

    def test_cut_off(self) -> None:
        """An end in the middle is an error."""
        for head in (LENGTH, CHUNKED):
            self.assertRaises(AnswerError, Body(head, 10).end)

    def test_too_large(self) -> None:
        """A content is refused by its length at once, or when it becomes too large; a stream has no limit."""
        self.assertRaises(AnswerError, Body, LENGTH, 4)
        for head, data in ((UNTIL_CLOSE, b"abcde"), (CHUNKED, b"5\r\nabcde\r\n")):
            self.assertRaises(AnswerError, Body(head, 4).take, data)
            self.assertEqual(Body(head, None).take(data), b"abcde")

    @given(st.lists(st.binary(min_size=1, max_size=20)), st.lists(st.integers(0, 500)), st.booleans())
    def test_chunks(self, chunks: list[bytes], places: list[int], has_more: bool) -> None:
        """Chunks give the same content wherever they are cut, with extensions, trailers, and bytes behind them."""
        data = b"".join(b"%x ;a=b\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
        data += b"0\r\nTrailer: x\r\n\r\n" if has_more else b"0\n\n"
        body = Body(CHUNKED, 100_000)
        self.assertEqual(taken(body, cut(data, places)), b"".join(chunks))
        self.assertEqual((body.is_done, body.rest), (True, b""))

    def test_bytes_behind_chunks(self) -> None:
        """They are kept apart."""
        body = Body(CHUNKED, 10)
        self.assertEqual(body.take(b"1\r\na\r\n0\r\n\r\nrest"), b"a")
        self.assertEqual(body.rest, b"rest")

    def test_malformed_chunks(self) -> None:
        """Sizes that are none, lines without end, and trailers without end are refused."""
        for data in (
            b"x\r\n",
            b"-1\r\n",
            b"1" * (MAX_CHUNK_LINE_BYTES + 1),
            b"0\r\n" + b"a: b\r\n" * (MAX_TRAILERS + 1),
        ):
            self.assertRaises(AnswerError, Body(CHUNKED, 10).take, data)
