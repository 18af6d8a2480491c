"""The heads of answers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.load.answers import MAX_HEAD_BYTES, AnswerError, head_of, read_head

WHOLE = b'HTTP/1.1 200 OK\r\nContent-Length:  12 \r\nETag: "a"\r\n\r\n'


class HeadTests(SynchronousTestCase):
    def test_head(self) -> None:
        """Status, length and fields are found, whatever the case of names, and the content stays."""
        data = bytearray(WHOLE + b"content")
        head = read_head(data)
        assert head is not None
        self.assertEqual((head.status, head.length, head.is_chunked, head.is_last), (200, 12, False, False))
        self.assertEqual((head.field(b"etag"), head.text(b"ETAG"), head.text(b"tag")), (b'"a"', '"a"', None))
        self.assertEqual((head.data, bytes(data)), (WHOLE, b"content"))

    def test_ends_of_connections(self) -> None:
        """HTTP/1.1 keeps connections unless the answer says otherwise, and HTTP/1.0 ends them."""
        for text, is_last in (
            (b"HTTP/1.1 200 OK\r\nConnection: keep-alive, Close\r\n\r\n", True),
            (b"HTTP/1.1 200 OK\r\nConnection: upgrade\r\n\r\n", False),
            (b"HTTP/1.0 200 OK\r\n\r\n", True),
            (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", False),
        ):
            self.assertEqual(head_of(text).is_last, is_last, text)

    def test_contents(self) -> None:
        """Chunks come before a length, and 204 and 304 have no content, whatever they say."""
        for text, length, is_chunked in (
            (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", None, True),
            (b"HTTP/1.1 200 OK\r\n\r\n", None, False),
            (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", 0, False),
            (b"HTTP/1.1 204\r\nTransfer-Encoding: chunked\r\n\r\n", 0, False),
        ):
            head = head_of(text)
            self.assertEqual((head.length, head.is_chunked), (length, is_chunked), text)

    def test_interim_answers(self) -> None:
        """They are dropped, but not without end; 101 is none."""
        hint = b"HTTP/1.1 103 Early Hints\r\n\r\n"
        head = read_head(bytearray(hint + hint + WHOLE))
        assert head is not None
        self.assertEqual(head.status, 200)
        self.assertIsNone(read_head(bytearray(hint)))
        switching = read_head(bytearray(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"))
        assert switching is not None
        self.assertEqual(switching.status, 101)
        self.assertRaises(AnswerError, read_head, bytearray(hint * 8))

    def test_no_answers(self) -> None:
        """Another protocol is noticed at once, and a head without end at its limit."""
        for data in (b"SSH-2.0-OpenSSH\r\n", b"HTTP/2 200\r\n\r\n", b"HTTP/1.1 999 \r\n\r\n"):
            self.assertRaises(AnswerError, read_head, bytearray(data))
        endless = bytearray(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * MAX_HEAD_BYTES)
        self.assertRaises(AnswerError, read_head, endless)

    @given(st.integers(0, len(WHOLE) - 1))
    def test_pieces(self, size: int) -> None:
        """Any beginning of a head needs more bytes, and loses none."""
        data = bytearray(WHOLE[:size])
        self.assertIsNone(read_head(data))
        self.assertEqual(bytes(data), WHOLE[:size])

    @given(st.binary(max_size=200))
    def test_any_bytes(self, data: bytes) -> None:
        """Whatever comes is a head, needs more, or is refused."""
        try:
            head = read_head(bytearray(data))
        except AnswerError:
            return
        self.assertTrue(head is None or 100 <= head.status <= 599)
