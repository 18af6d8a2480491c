"""The newest documents are kept, whole, in a file of bounded size."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Self

from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.recording import Facts
from livefeed.document.snapshot import Sequence
from livefeed.storage.recording import Recording
from livefeed.storage.ring import GROWTH, Kept, Ring, interval_s


def document(number: int, size: int = 20) -> Kept:
    facts = Facts(Sequence(1700, number), 1_700_000_000.25 + number, "boot", 5.0 + number, rule="votes")
    return Kept(b'{"number": %d}' % number + b" " * size, facts)


class _Full:
    """A file on a disk with little room.

    :ivar room: the number of bytes.
    """

    def __init__(self, file: Any, room: int) -> None:
        self.file, self.room = file, room

    def write(self, data: bytes) -> int:
        if not self.room:
            raise OSError(28, os.strerror(28))
        written: int = self.file.write(data[: self.room])
        self.room -= written
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


class RingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = self.folder / "feed.versions"

    def ring(self, max_documents: int = 5, max_bytes: int = 1000, *documents: Kept) -> Ring:
        ring = Ring(self.path, max_documents, max_bytes, "feed")
        self.addCleanup(ring.close)
        ring.fill(documents)
        return ring

    def found(self) -> list[Kept]:
        kept, is_whole = Ring(self.path, 1000, 10**6).read(10_000)
        self.assertTrue(is_whole)
        return kept

    def test_missing_file(self) -> None:
        """It has no documents, and is made when it is filled, for its owner only."""
        ring = Ring(self.path, 5, 1000)
        self.assertEqual((ring.read(100), ring.is_open), (([], True), False))
        ring.append(document(1))
        self.assertFalse(self.path.exists())
        ring = self.ring()
        self.assertTrue(ring.is_open)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        ring.close()
        ring.close()

    def test_documents_come_back(self) -> None:
        """With their facts, over several processes, as a recording with the right times."""
        first = self.ring()
        first.append(document(1))
        first.append(document(3))
        self.assertEqual(self.found(), [document(1), document(3)])
        again = self.ring(5, 1000, *self.found())
        again.append(document(4))
        self.assertEqual(self.found(), [document(1), document(3), document(4)])
        with Recording(self.path) as recording:
            self.assertEqual(recording.scan().beginning.feed, "feed")
            entries = [entry for entry in recording.entries() if entry.data is not None]
        self.assertEqual([entry.at - 1_700_000_000.25 for entry in entries], [1, 3, 4])

    def test_bounds(self) -> None:
        """Neither the number of documents nor their bytes grow."""
        ring = self.ring(10, 1000)
        for number in range(200):
            ring.append(document(number, 300))
            self.assertLessEqual(self.path.stat().st_size, (GROWTH + 2) * 1700)
            self.assertEqual(self.found()[-1], document(number, 300))
        self.assertEqual(list(ring.kept), [document(number, 300) for number in range(196, 200)])
        ring = self.ring(3, 10**6, *(document(number) for number in range(9)))
        self.assertEqual(self.found(), [document(number) for number in range(6, 9)])

    def test_large_and_damaged(self) -> None:
        """A document that is too large is passed over; damage ends the read."""
        self.ring(5, 10_000, document(1), document(2, 900), document(3))
        ring = Ring(self.path, 5, 10_000)
        self.assertEqual(ring.read(500), ([document(1), document(3)], True))
        whole = self.path.read_bytes()
        self.path.write_bytes(whole.replace(b'{"number": 3}', b'{"number": 4}'))
        self.assertEqual(ring.read(5000), ([document(1), document(2, 900)], False))

    def test_full_disk(self) -> None:
        """What is written stays, and what comes when there is room again is written."""
        ring = self.ring()
        ring.append(document(1))
        file: Any = ring._file
        ring._file = _Full(file, 0)  # type: ignore[assignment]
        self.assertRaises(OSError, ring.append, document(2))
        self.assertEqual(self.found(), [document(1)])
        ring._file = file
        ring.append(document(3))
        self.assertEqual(self.found(), [document(1), document(3)])
        ring._file = _Full(file, 30)  # type: ignore[assignment]
        ring.append(document(4))
        ring.append(document(5))
        self.assertEqual(self.found(), [document(number) for number in range(1, 6)])

    def test_full_disk_for_the_new_file(self) -> None:
        """The file of before stays, without half a record, and can be appended to."""
        ring = self.ring()
        ring.append(document(1))
        file: Any = ring._file
        full = _Full(file, 30)
        ring._file = full  # type: ignore[assignment]
        (self.folder / "feed.versions.new").mkdir()
        self.assertRaises(OSError, ring.append, document(2))
        self.assertEqual(self.found(), [document(1)])
        full.room = 10_000
        ring.append(document(3))
        self.assertEqual(self.found(), [document(1), document(3)])

    def test_new_file_is_cut(self) -> None:
        """A new file that does not fit takes the place of none."""
        self.ring(5, 1000, document(1)).close()
        before = self.path.read_bytes()
        self.patch(os, "fdopen", lambda fd, *_, **__: _Cut(fd))
        self.assertRaises(OSError, Ring(self.path, 5, 1000).fill, [document(2)])
        self.assertEqual(self.path.read_bytes(), before)

    def test_intervals(self) -> None:
        """The clock of the machine measures within a boot, and the wall clock otherwise; none is negative."""
        one, other = Facts(at=5.0, boot="a", since_boot_s=1.0), Facts(at=500.0, boot="a", since_boot_s=3.0)
        self.assertEqual(interval_s(one, other), 2.0)
        self.assertEqual(interval_s(other, one), 0.0)
        self.assertEqual(interval_s(one, Facts(at=7.5, boot="b")), 2.5)
        self.assertEqual(interval_s(Facts(at=5.0), Facts(at=4.0)), 0.0)


class _Cut:
    """A file that takes one byte."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def truncate(self) -> None:
        pass

    def write(self, data: bytes) -> int:
        return 1
