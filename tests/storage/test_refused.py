"""Refused documents are kept in a file of bounded size, which is made by the first."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.recording import Facts
from livefeed.exceptions import RecordingError
from livefeed.storage import refused
from livefeed.storage.recording import Recording
from livefeed.storage.refused import MAX_DOCUMENTS, RefusedFile
from livefeed.storage.ring import Kept


def document(number: int, size: int = 0) -> Kept:
    return Kept(b"[%d]" % number + b" " * size, Facts(at=1000.0 + number, rule="votes", pointer="/a", why="/a falls"))


class RefusedFileTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        self.path = folder / "results.refused"

    def file(self) -> RefusedFile:
        file = RefusedFile(self.path, "results")
        self.addCleanup(file.close)
        return file

    def found(self) -> list[bytes]:
        with Recording(self.path) as recording:
            return [entry.data for entry in recording.entries() if entry.data is not None]

    def test_documents(self) -> None:
        """They come back with the reasons, over several processes, the newest ones."""
        first = self.file()
        self.assertFalse(self.path.exists())
        first.append(document(1))
        first.close()
        second = self.file()
        for number in range(2, MAX_DOCUMENTS + 3):
            second.append(document(number))
        self.assertEqual(self.found()[-MAX_DOCUMENTS:], [document(n).data for n in range(3, MAX_DOCUMENTS + 3)])
        second.close()
        second.append(document(100))
        self.assertEqual(self.found()[-1], document(100).data)
        with Recording(self.path) as recording:
            heads = [entry.head for entry in recording.entries()]
        self.assertEqual((heads[0].feed, heads[1].rule, heads[1].why), ("results", "votes", "/a falls"))

    def test_size(self) -> None:
        """The file is bounded, and a large document is kept all the same."""
        self.patch(refused, "MAX_BYTES", 1000)
        file = self.file()
        for number in range(50):
            file.append(document(number, 300))
            self.assertLess(self.path.stat().st_size, 6000)
        file.append(document(50, 5000))
        self.assertEqual(self.found()[-1], document(50, 5000).data)

    def test_damage(self) -> None:
        """A damaged file is kept aside, with the documents before the damage in the new one."""
        file = self.file()
        file.append(document(1))
        file.append(document(2))
        file.close()
        damaged = self.path.read_bytes()[:-2] + b"x\n"
        self.path.write_bytes(damaged)
        file.append(document(3))
        self.assertEqual(self.found(), [document(1).data, document(3).data])
        self.assertEqual(self.path.with_name("results.refused.damaged").read_bytes(), damaged)

    def test_newer_format(self) -> None:
        """The file of a newer livefeed stays as it is."""
        file = self.file()
        file.append(document(1))
        file.close()
        newer = self.path.read_bytes().replace(b'"format":2', b'"format":3')
        self.path.write_bytes(newer)
        with self.assertRaisesRegex(RecordingError, "has format 3, of a newer livefeed"):
            file.append(document(2))
        self.assertEqual(self.path.read_bytes(), newer)
