"""The versions that a process has seen."""

from __future__ import annotations

import base64
import hashlib
import time

from twisted.trial.unittest import SynchronousTestCase

from livefeed.client.items import version_of
from livefeed.load import documents
from livefeed.load.answers import Head, head_of
from livefeed.load.documents import (
    MAX_COMPARED,
    MAX_VERSIONS,
    Documents,
    is_right,
    name_in,
    nanoseconds_of,
    time_in,
)
from livefeed.load.figures import Figures

FIRST = b'{"n": 1}'
AT_NS = 1_764_464_400_250 * 1_000_000
AT = "2025-11-30T01:00:00.250Z"


def head(*lines: str) -> Head:
    """Gives the head of a 200."""
    return head_of("".join(f"{line}\r\n" for line in ("HTTP/1.1 200 OK", *lines, "")).encode())


class DocumentTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(time, "time_ns", lambda: AT_NS + 5_000_000)
        self.documents = Documents()
        self.figures = Figures()

    def test_equal_contents(self) -> None:
        """A version is hashed once, as long as it is among the newest, and is the one that the server names."""
        version = self.documents.of(FIRST)
        self.assertEqual(version.name, version_of(FIRST))
        hashed: list[bytes] = []

        def counted(content: bytes) -> str:
            hashed.append(content)
            return version_of(content)

        self.patch(documents, "version_of", counted)
        self.assertIs(self.documents.of(b'{"n": 1}'), version)
        self.assertEqual(hashed, [])
        for number in range(MAX_COMPARED):
            self.documents.of(b"%d" % number)
        self.assertIs(self.documents.of(FIRST), version)
        self.assertIs(self.documents.named(version_of(FIRST)), version)
        self.assertEqual(hashed, [b"0", b"1", b"2", b"3", FIRST])

    def test_forgetting(self) -> None:
        """The oldest versions are forgotten."""
        first = self.documents.named("0")
        for number in range(1, MAX_VERSIONS + 1):
            self.documents.named(str(number))
        self.assertIsNot(self.documents.named("0"), first)

    def test_delays(self) -> None:
        """They count from the earliest time of a version, whether it was known at the delivery or comes later."""
        version = self.documents.of(FIRST)
        self.documents.delivered(version, self.figures)
        self.assertEqual((self.figures.deliveries, self.figures.delay.count), (1, 0))
        self.documents.learn(version, None)
        self.documents.learn(version, AT_NS)
        self.documents.learn(version, AT_NS + 1_000_000_000)
        self.documents.delivered(version, self.figures)
        self.assertEqual((self.figures.deliveries, self.figures.delay.count), (2, 2))
        self.assertEqual(self.figures.delay.longest_ns, 5_000_000)

    def test_waiting_deliveries_are_bounded(self) -> None:
        """A version whose time never comes fills no memory."""
        self.patch(documents, "MAX_WAITING", 2)
        version = self.documents.of(FIRST)
        for _ in range(3):
            self.documents.delivered(version, self.figures)
        self.assertEqual((len(version.waiting), self.figures.deliveries), (2, 3))

    def test_other_clocks(self) -> None:
        """A server whose clock is ahead is not taken for a fast one."""
        apart = Documents(clock_offset_ns=2_000_000)
        version = apart.named("a")
        apart.learn(version, AT_NS)
        apart.delivered(version, self.figures)
        self.assertEqual(self.figures.delay.longest_ns, 7_000_000)

    def test_times_in_documents(self) -> None:
        """A pointer leads to the time of servers that name none."""
        version = Documents(time_pointer="/a/0").of(b'{"a": [%d]}' % (AT_NS // 1_000_000))
        self.assertEqual(version.at_ns, AT_NS)

    def test_verified_by_name(self) -> None:
        """A content is right if the server names its hash, before or later; the others are counted at the end."""
        named = self.documents.named(version_of(FIRST))
        self.documents.verify(named, self.figures)
        self.assertEqual(self.figures.verified, 1)
        for content in (b"2", b"3"):
            self.documents.verify(self.documents.of(content), self.figures)
        self.documents.named(version_of(b"2"))
        self.assertEqual((self.figures.verified, self.figures.unverified), (2, 0))
        self.documents.close()
        self.documents.close()
        self.assertEqual((self.figures.verified, self.figures.unverified), (2, 1))

    def test_forgotten_before_named(self) -> None:
        """A version that is forgotten, and more deliveries than are remembered, count as not compared."""
        self.patch(documents, "MAX_WAITING", 1)
        version = self.documents.of(FIRST)
        self.documents.verify(version, self.figures)
        self.documents.verify(version, self.figures)
        self.assertEqual(self.figures.unverified, 1)
        for number in range(MAX_VERSIONS):
            self.documents.named(str(number))
        self.assertEqual(self.figures.unverified, 2)


class AnswerTests(SynchronousTestCase):
    def test_names(self) -> None:
        """The version of a feed comes before the entity tag."""
        self.assertEqual(name_in(head("ETag: x", "Livefeed-Version: y")), "y")
        self.assertEqual(name_in(head("ETag: x")), "x")
        self.assertIsNone(name_in(head()))

    def test_right_contents(self) -> None:
        """The digest of the content counts, then the version, which is also in the tag of a feed."""
        version = version_of(FIRST)
        digest = base64.b64encode(hashlib.sha256(FIRST).digest()).decode()
        for lines, wanted in (
            ((f"Repr-Digest: sha-256=:{digest}:", "Content-Encoding: gzip"), True),
            ((f"Repr-Digest: sha-256=:{digest.swapcase()}:", f"Livefeed-Version: {version}"), False),
            ((f"Livefeed-Version: {version}",), True),
            ((f"Livefeed-Version: {version[::-1]}",), False),
            ((f'ETag: W/"{version}"',), True),
            ((f'ETag: "{version}-gzip"', "Content-Encoding: gzip"), None),
            (('ETag: "other"',), None),
            ((), None),
        ):
            with self.subTest(lines):
                self.assertEqual(is_right(head(*lines), FIRST), wanted)

    def test_times(self) -> None:
        """Times as RFC 3339 has them, with or without an offset, and seconds and milliseconds since 1970."""
        for value in (AT, "2025-11-30T01:00:00.250", "2025-11-30T02:00:00.250+01:00", AT_NS / 1e9, AT_NS // 1_000_000):
            self.assertEqual(nanoseconds_of(value), AT_NS, value)
        others: tuple[object, ...] = ("soon", True, None, [], float("inf"), float("nan"))
        for other in others:
            self.assertIsNone(nanoseconds_of(other), other)

    def test_pointers(self) -> None:
        """A pointer that leads nowhere, and a document that is none, have no time."""
        self.assertEqual(time_in(b'{"a/b": ["x", "%s"]}' % AT.encode(), "/a~1b/1"), AT_NS)
        self.assertEqual(time_in(b"12", ""), 12_000_000_000)
        for content in (b"{}", b"[]", b"no", b'{"a": 1}', b"[" * 100_000):
            self.assertIsNone(time_in(content, "/a/b"))
