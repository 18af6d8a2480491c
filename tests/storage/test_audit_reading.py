"""The last lines of the audit."""

from __future__ import annotations

import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from livefeed.storage import audit, audit_reading
from livefeed.storage.audit import AuditLog
from livefeed.storage.audit_reading import MAX_ENTRIES, last_entries


class LastEntriesTests(SynchronousTestCase):
    """An audit in a folder of its own."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "audit.log"
        self.log = AuditLog(self.path)

    def append(self, *numbers: int) -> None:
        for each in numbers:
            self.log.append({"number": each})

    def last(self, count: int = 10) -> list[object]:
        return [each["number"] for each in last_entries(self.path, count)]

    def test_newest_first(self) -> None:
        """As many as are wanted, if there are so many."""
        self.assertEqual(self.last(), [])
        self.append(1, 2, 3)
        self.assertEqual((self.last(), self.last(2), self.last(0), self.last(-1)), ([3, 2, 1], [3, 2], [], []))

    def test_bounded(self) -> None:
        """Neither more entries nor more bytes are read."""
        self.patch(audit_reading, "MAX_ENTRIES", 2)
        self.append(1, 2, 3)
        self.assertEqual(self.last(), [3, 2])
        self.patch(audit_reading, "MAX_ENTRIES", MAX_ENTRIES)
        self.patch(audit_reading, "MAX_READ_BYTES", len(b'{"number":3}\n') + 3)
        self.assertEqual(self.last(), [3])

    def test_file_before(self) -> None:
        """The entries go on in it."""
        self.append(1, 2)
        self.patch(audit, "MAX_FILE_BYTES", 10)
        self.append(3)
        self.assertTrue(self.path.with_name("audit.log.1").exists())
        self.assertEqual((self.last(), self.last(2)), ([3, 2, 1], [3, 2]))

    def test_damaged_lines(self) -> None:
        """They are passed over, as is a line that is not complete."""
        self.append(1)
        with self.path.open("ab") as file:
            file.write(b'x\n[1]\n\xff\n{"number":')
        self.assertEqual(self.last(), [1])
        self.append(2)
        self.assertEqual(self.last(), [2, 1])

    def test_unreadable(self) -> None:
        """The caller is told."""
        self.path.mkdir()
        self.assertRaises(OSError, self.last)
