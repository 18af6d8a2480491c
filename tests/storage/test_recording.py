"""The contents of a recording, and its versions from any time on."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from livefeed import __version__
from livefeed.document.recording import WHOLE_EVERY, encode_beginning
from livefeed.exceptions import RecordingError
from livefeed.storage.record_file import Ending
from livefeed.storage.recorder import Recorder
from livefeed.storage.recording import Recording

AT = 1_700_000_000.25
COUNT = 3 * WHOLE_EVERY + 7


def document(number: int) -> bytes:
    return b'{"text": "a document with some text in it, so that splices are shorter", "votes": %d}' % number


class RecordingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)
        self.path = self.folder / "night.recording"
        recorder = Recorder(self.path)
        recorder.begin(AT, feed="results")
        for number in range(1, COUNT + 1):
            recorder.append(document(number), 2.0)
            if number == 5:
                recorder.note_state("stale", 0.0)
        recorder.end(1.0)
        self.chain = recorder.place.chain.decode()

    def open(self, max_bytes: int = 1000) -> Recording:
        recording = Recording(self.path, max_bytes)
        self.addCleanup(recording.close)
        return recording

    def test_contents(self) -> None:
        """The lines tell all of it."""
        contents = self.open().scan()
        self.assertEqual((contents.versions, contents.states, contents.length_s), (COUNT, 1, 2.0 * COUNT + 1))
        self.assertEqual((contents.beginning.feed, contents.beginning.at), ("results", AT))
        self.assertEqual((contents.ending, contents.why_not_complete), (Ending.COMPLETE, ""))
        self.assertEqual((contents.bytes, contents.chain), (self.path.stat().st_size, self.chain))
        self.assertEqual(contents.document_bytes, sum(len(document(number)) for number in range(1, COUNT + 1)))
        self.assertEqual([mark.place.versions for mark in contents.marks], [0, 60, 120, 180])

    def test_any_time(self) -> None:
        """From each time on, all versions come, after at most those since the last whole document."""
        recording = self.open()
        contents = recording.scan()
        for number in range(COUNT + 1):
            recording.move_near(contents, 2.0 * number)
            found = [entry for entry in recording.entries() if entry.data is not None]
            first = found[0].number
            self.assertLessEqual(first, max(number, 1))
            self.assertLessEqual(number - first, WHOLE_EVERY)
            self.assertEqual([entry.data for entry in found], [document(each) for each in range(first, COUNT + 1)])
        self.assertIs(recording.ending, Ending.COMPLETE)
        recording.rewind()
        entry = recording.next()
        assert entry is not None
        self.assertEqual((entry.head.kind, recording.ending), ("beginning", None))

    def test_any_version(self) -> None:
        """From each version on, all come, after at most those since the whole document before it."""
        with Recording(self.path, 1000) as recording:
            self.assertIsNone(recording.ending)
            contents = recording.scan()
            for number in (1, 2, WHOLE_EVERY, WHOLE_EVERY + 1, COUNT):
                recording.move_near_version(contents, number)
                self.assertLess(recording.position[1].versions, number)
                entry = recording.next()
                while entry is not None and entry.data is None:
                    entry = recording.next()
                assert entry is not None
                found = next(each for each in range(1, COUNT + 1) if document(each) == entry.data)
                self.assertTrue(number - WHOLE_EVERY <= found <= number, (found, number))
            while recording.next() is not None:
                pass
            self.assertIs(recording.ending, Ending.COMPLETE)
        with self.assertRaises(ValueError):
            recording.next()

    def test_file_that_is_missing(self) -> None:
        """The reason names it."""
        with self.assertRaisesRegex(RecordingError, "nothing: No such file"):
            Recording(self.folder / "nothing", 1000)

    def test_without_versions(self) -> None:
        """There may be none yet."""
        self.path.write_bytes(encode_beginning(AT)[0])
        recording = self.open()
        contents = recording.scan()
        recording.move_near(contents, 5.0)
        self.assertEqual([entry.head.kind for entry in recording.entries()], ["beginning"])
        self.assertEqual((contents.versions, contents.why_not_complete), (0, "it has no end"))
        os.truncate(self.path, 20)
        with self.assertRaisesRegex(RecordingError, "is empty, or its first record is incomplete"):
            self.open().scan()

    def test_cut(self) -> None:
        """The contents are those before the cut."""
        os.truncate(self.path, self.path.stat().st_size - 3)
        contents = self.open().scan()
        self.assertEqual((contents.versions, contents.ending), (COUNT, Ending.TORN))
        self.assertEqual(contents.why_not_complete, "its last record is incomplete")

    def test_damage(self) -> None:
        """The error says where it is, and what is whole."""
        recording = self.open()
        offset = next(entry.offset for entry in recording.entries() if entry.number == 100)
        data = bytearray(self.path.read_bytes())
        data[offset + 50] ^= 1
        self.path.write_bytes(data)
        why = f"night.recording: is damaged in the record at byte {offset}, 198 s from its beginning; the 99 versions"
        recording = self.open()
        with self.assertRaisesRegex(RecordingError, why) as raised:
            recording.scan()
        self.assertEqual(raised.exception.offset, offset)
        recording.rewind()
        with self.assertRaisesRegex(RecordingError, why):
            list(recording.entries())

    def test_refused_files(self) -> None:
        """Each reason has its own message."""
        with self.assertRaisesRegex(RecordingError, "version 1 has 84 bytes, and 50 are allowed"):
            list(self.open(50).entries())
        self.path.write_bytes(self.path.read_bytes().replace(b'"format":2', b'"format":3', 1))
        with self.assertRaisesRegex(RecordingError, f"has format 3, of a newer livefeed, and livefeed {__version__}"):
            self.open().scan()
        self.path.write_bytes(b'{"votes": 1}\n')
        with self.assertRaisesRegex(RecordingError, "is no recording, or its first record is damaged") as raised:
            self.open().scan()
        self.assertEqual(raised.exception.offset, 0)
        self.path.unlink()
        with self.assertRaisesRegex(RecordingError, "No such file"):
            Recording(self.path)

    def test_broken_disk(self) -> None:
        """An error of the system is told."""
        recording = self.open()
        recording.close()
        recording._cursor.file = io.BufferedReader(_Broken())
        with self.assertRaisesRegex(RecordingError, "cannot be read: Input/output error"):
            recording.next()


class _Broken(io.RawIOBase):
    """A file on a disk that fails."""

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return 0

    def readinto(self, _: object) -> int:
        raise OSError(5, "Input/output error")
