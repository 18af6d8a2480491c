"""Answers that are recognised without being parsed."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.load.answers import head_of
from livefeed.load.documents import Version
from livefeed.load.layout import Layout

DATA = b'HTTP/1.1 200 OK\r\nDate: 1\r\nContent-Length: 2\r\nETag: "a"\r\n\r\n'


class LayoutTests(SynchronousTestCase):
    def test_fits(self) -> None:
        """An answer with other times fits; one with another status, length, tag or end of the head does not."""
        layout = Layout.of(head_of(DATA), b"{}", None, is_verified=None)
        for other, fits in (
            (DATA.replace(b"Date: 1", b"Date: 2"), True),
            (DATA.replace(b"200 OK", b"500 NO"), False),
            (DATA.replace(b"Length: 2", b"Length: 3"), False),
            (DATA.replace(b'"a"', b'"b"'), False),
            (DATA.replace(b"Date: 1", b"D\r\n\r\n: "), False),
        ):
            self.assertEqual(layout.fits(bytearray(other + b"{}"), len(other) + 2), fits, other)

    def test_facts(self) -> None:
        """Status, tag and version are those of the answer, and the content is kept where it is compared."""
        version = Version("a")
        for is_verified, content in ((None, b""), (True, b"{}")):
            layout = Layout.of(head_of(DATA), b"{}", version, is_verified=is_verified)
            self.assertEqual((layout.head, layout.status, layout.tag), (DATA, 200, b'"a"'))
            self.assertIs(layout.version, version)
            self.assertEqual((layout.content, layout.is_verified), (content, bool(is_verified)))

    def test_no_length(self) -> None:
        """A 304 has neither a length nor, from some servers, a tag."""
        data = b"HTTP/1.1 304 Not Modified\r\n\r\n"
        layout = Layout.of(head_of(data), b"", None, is_verified=None)
        self.assertTrue(layout.fits(bytearray(data), len(data)))
