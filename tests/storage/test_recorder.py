"""What was written stays, whatever becomes of the writer."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.recording import Facts
from livefeed.document.snapshot import Sequence, version_of
from livefeed.exceptions import RecordingError
from livefeed.storage.files import SystemFiles
from livefeed.storage.record_file import Ending
from livefeed.storage.recorder import Recorder
from livefeed.storage.recording import Recording
from tests.helpers.crashing_files import RecordingFiles

if TYPE_CHECKING:
    from collections.abc import Iterable

AT = 1_700_000_000.25


def document(number: int) -> bytes:
    return b'{"text": "a document with some text in it, so that splices are shorter", "votes": %d}' % number


class FullDisk(SystemFiles):
    """A disk with little space.

    :ivar left: the number of bytes that are left.
    """

    left = 10**9

    def write(self, fd: int, pieces: Iterable[bytes], offset: int) -> int:
        data = b"".join(pieces)
        super().write(fd, [data[: self.left]], offset)
        if len(data) > self.left:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.left -= len(data)
        return len(data)


class RecorderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = self.folder / "night.recording"

    def recorder(self, files: SystemFiles | None = None) -> Recorder:
        recorder = Recorder(self.path, files or SystemFiles())
        self.addCleanup(recorder.close)
        return recorder

    def found(self) -> tuple[list[bytes], Ending | None]:
        with Recording(self.path) as recording:
            entries = [entry.data for entry in recording.entries() if entry.data is not None]
            return entries, recording.ending

    def test_a_recording(self) -> None:
        """Each record is there at once, and the file is readable by its owner only."""
        recorder = self.recorder()
        recorder.begin(AT, feed="results", source="demo:", by="livefeed")
        for number in range(3):
            recorder.append(document(number), 1.0, Facts(Sequence(1, number)))
            self.assertEqual(self.found(), ([document(each) for each in range(number + 1)], Ending.OPEN))
        recorder.note_state("stale", 1.0, "gone")
        self.assertEqual(recorder.size, self.path.stat().st_size)
        recorder.end(2.0)
        self.assertEqual(self.found()[1], Ending.COMPLETE)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        self.assertRaises(OSError, recorder.append, b"[1]", 1.0)
        recorder.close()

    def test_durable(self) -> None:
        """The name, and everything before a sync, survive a loss of power."""
        files = RecordingFiles()
        recorder = self.recorder(files)
        recorder.begin(AT)
        recorder.append(document(1), 1.0)
        recorder.end(0.0)
        kinds = [call[0] for call in files.calls]
        self.assertEqual(kinds, ["open", "write", "sync", "sync_folder", "write", "write", "sync"])

    def test_existing_file(self) -> None:
        """A file is never written over."""
        self.path.write_bytes(b"precious")
        with self.assertRaisesRegex(RecordingError, "there is a file already; give another name, or --append"):
            self.recorder().begin(AT)
        self.assertEqual(self.path.read_bytes(), b"precious")
        with self.assertRaisesRegex(RecordingError, "is no recording"):
            self.recorder().resume("")
        self.assertEqual(self.path.read_bytes(), b"precious")

    def test_impossible_files(self) -> None:
        """A file that cannot be made is refused with the reason."""
        self.path = self.folder / "missing" / "night"
        with self.assertRaisesRegex(RecordingError, "cannot be written: No such file"):
            self.recorder().begin(AT)
        self.patch(os, "access", lambda *_: False)
        self.path = self.folder / "night"
        with self.assertRaisesRegex(RecordingError, "cannot be written: Permission denied"):
            self.recorder().check()
        self.path = self.folder / "missing" / "night"
        with self.assertRaisesRegex(RecordingError, "cannot be written: No such file"):
            self.recorder().resume("")

    def test_going_on(self) -> None:
        """An incomplete record and the end are removed, and the chain goes on."""
        recorder = self.recorder()
        recorder.begin(AT)
        recorder.append(document(1), 1.0)
        size = recorder.size
        recorder.append(document(2), 1.0)
        recorder.close()
        os.truncate(self.path, recorder.size - 5)
        again = self.recorder()
        self.assertIs(again.resume(""), Ending.TORN)
        self.assertEqual((again.size, again.place.versions, again.version), (size, 1, version_of(document(1))))
        again.append(document(3), 1.0)
        again.end(0.0)
        self.assertEqual(self.found(), ([document(1), document(3)], Ending.COMPLETE))
        again = self.recorder()
        self.assertIs(again.resume(""), Ending.COMPLETE)
        again.append(document(4), 1.0)
        again.close()
        self.assertEqual(self.found(), ([document(1), document(3), document(4)], Ending.OPEN))

    def test_going_on_with_damage(self) -> None:
        """A damaged file is not changed, and nor is one without a beginning."""
        recorder = self.recorder()
        recorder.begin(AT)
        first = recorder.size
        recorder.append(document(1), 1.0)
        recorder.append(document(2), 1.0)
        recorder.close()
        data = bytearray(self.path.read_bytes())
        data[first + 60] ^= 1
        for left, why in ((bytes(data), "is damaged in the record at byte"), (bytes(data[:10]), "first record is inc")):
            self.path.write_bytes(left)
            with self.assertRaisesRegex(RecordingError, why):
                self.recorder().resume("")
            self.assertEqual(self.path.read_bytes(), left)

    def test_going_on_with_another_feed(self) -> None:
        """The file stays as it is, with its end."""
        recorder = self.recorder()
        recorder.begin(AT, feed="results")
        recorder.append(document(1), 1.0)
        recorder.end(0.0)
        with self.assertRaisesRegex(RecordingError, "is a recording of 'results', and not of 'other'"):
            self.recorder().resume("other")
        self.assertEqual(self.found(), ([document(1)], Ending.COMPLETE))
        self.assertIs(self.recorder().resume("results"), Ending.COMPLETE)

    def test_one_writer(self) -> None:
        """A second process is refused."""
        recorder = self.recorder()
        recorder.begin(AT)
        with self.assertRaisesRegex(RecordingError, "another process writes it"):
            self.recorder().resume("")

    def test_full_disk(self) -> None:
        """A version that does not fit is taken back, and the next one follows the last that is there."""
        files = FullDisk()
        recorder = self.recorder(files)
        recorder.begin(AT)
        recorder.append(document(1), 1.0)
        files.left = 20
        self.assertRaises(OSError, recorder.append, document(2), 1.0)
        self.assertRaises(OSError, recorder.note_state, "stale", 1.0)
        self.assertEqual(self.path.stat().st_size, recorder.size)
        files.left = 10**6
        recorder.append(document(3), 3.0)
        recorder.end(0.0)
        self.assertEqual(self.found(), ([document(1), document(3)], Ending.COMPLETE))
        self.path.unlink()
        files.left = 20
        with self.assertRaisesRegex(RecordingError, "No space left"):
            self.recorder(files).begin(AT)

    def test_full_disk_while_going_on(self) -> None:
        """The file stays as it is."""
        recorder = self.recorder()
        recorder.begin(AT)
        recorder.close()

        class Broken(SystemFiles):
            def truncate(self, fd: int, size: int) -> None:
                raise OSError(errno.EIO, "Input/output error")

        with self.assertRaisesRegex(RecordingError, "Input/output error"):
            self.recorder(Broken()).resume("")
