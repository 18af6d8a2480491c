"""Files of earlier releases are read up to their end or their damage."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.history import VERSIONS
from livefeed.document.snapshot import Sequence, version_of
from livefeed.document.stored_version import NewerFormatError, StoredVersion
from livefeed.storage import earlier_journal
from livefeed.storage.earlier_journal import is_earlier, read_earlier
from tests.helpers.earlier_records import earlier_record


def version(number: int, size: int = 20) -> StoredVersion:
    """Gives a version with line feeds in it."""
    return StoredVersion(b'{\n"number": %d}' % number + b"\n" * size, Sequence(1700, number), 1_700_000_000.25 + number)


class EarlierTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        self.path = folder / "feed.versions"

    def read(self, data: bytes, max_bytes: int = 1000) -> tuple[list[StoredVersion], bool]:
        self.path.write_bytes(data)
        return read_earlier(self.path, max_bytes)

    def test_formats_are_told_apart(self) -> None:
        """By the first byte: a later record begins with a hash."""
        self.assertFalse(is_earlier(self.path))
        for data, expected in ((b"", False), (earlier_record(version(1)), True), (b"0a1b", False)):
            self.path.write_bytes(data)
            self.assertIs(is_earlier(self.path), expected)

    def test_first_release(self) -> None:
        """It has no boot, and no number of a format."""
        head = b'{"version":"%b","epoch":1700,"number":1,"at":1700000001.25,"bytes":2}\n' % version_of(b"[]").encode()
        self.assertEqual(
            self.read(head + b"[]\n"), ([StoredVersion(b"[]", Sequence(1700, 1), 1_700_000_001.25, "", 0.0)], True)
        )

    def test_versions(self) -> None:
        """The last ones are read; those that are too large are passed over."""
        versions = [version(number) for number in range(1, VERSIONS + 20)]
        data = b"".join(map(earlier_record, versions))
        self.assertEqual(self.read(data), (versions[-VERSIONS - 1 :], True))
        versions = [version(1), version(2, 900), version(3)]
        self.assertEqual(self.read(b"".join(map(earlier_record, versions)), 500), ([versions[0], versions[2]], True))

    def test_cut_anywhere(self) -> None:
        """Complete records are read. What a killed process leaves is no damage."""
        first, second = earlier_record(version(1)), earlier_record(version(2))
        for size in range(len(first) + len(second)):
            found, is_whole = self.read((first + second)[:size])
            self.assertEqual((found, is_whole), ([version(1)] if size >= len(first) else [], True))

    def test_damage(self) -> None:
        """The versions before it are read."""
        first = earlier_record(version(1))
        negative = earlier_record(replace(version(2), at=-1.0))
        empty = b'{"version":"%b","epoch":1700,"number":1,"at":1700000001.25,"bytes":0}\n\n' % version_of(b"").encode()
        for more in (
            *(b"garbage", b"garbage\n", b"\0" * 20, first[:-1] + b"x", first.replace(b"number", b"n\xffmber")),
            *(negative, empty, first.replace(b'"number": 1', b'"number": 2')),
            # Another format, which has a hash in front of each head.
            b'{"version":"","format":2}\n',
        ):
            self.assertEqual(self.read(first + more), ([version(1)], False), more)

    def test_length_that_cannot_be(self) -> None:
        """A length that no file had is not waited for."""
        self.patch(earlier_journal, "MAX_BYTES", 50)
        large = earlier_record(version(1, 200))
        self.assertEqual(self.read(large, 100), ([], False))

    def test_newer_format(self) -> None:
        """It is no damage, at any place, and whatever else the head has."""
        first = earlier_record(version(1))
        for more in (b'{"version":"","format":3}\n', b'{"version":"","format":3,"more":"' + b"x" * 1000):
            self.assertRaises(NewerFormatError, self.read, first + more)
