"""Versions are read ahead, from any time on, and again and again."""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import RecordingError
from livefeed.sources.recording import reading as module
from livefeed.sources.recording.reading import MAX_AHEAD, Reading
from livefeed.storage.recorder import Recorder

AT = 1_700_000_000.0
COUNT = 100


def document(number: int) -> bytes:
    return b'{"text": "a document with some text in it, so that splices are shorter", "votes": %d}' % number


def write(path: Path, count: int = COUNT) -> None:
    """Records a version each 2 s, and a state in between; it ends 3 s after the last one."""
    recorder = Recorder(path)
    recorder.begin(AT)
    for number in range(1, count + 1):
        recorder.append(document(number), 2.0)
        if number == 5:
            recorder.note_state("stale", 0.0)
    recorder.end(3.0)


class ReadingTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        self.path = folder / "night.recording"
        write(self.path)

    def open(self, at: str = "", *, loops: bool = False, max_bytes: int = 1000) -> Reading:
        reading = Reading(self.path, max_bytes, at, loops)
        self.addCleanup(reading.close)
        reading.open()
        return reading

    def take(self, reading: Reading, count: int) -> list[tuple[int, float]]:
        """Gives the next versions and their times."""
        found: list[tuple[int, float]] = []
        while len(found) < count and (reading.ahead or reading.wants_more):
            if not reading.ahead:
                reading.fill()
            if reading.ahead:
                version = reading.ahead.popleft()
                assert version.data == document(version.number)
                assert version.at == AT + 2.0 * version.number
                found.append((version.number, version.due_s))
        return found

    def test_all(self) -> None:
        """All versions come in their order, and then the end."""
        reading = self.open()
        self.assertEqual((len(reading.ahead), reading.wants_more), (MAX_AHEAD, False))
        self.assertEqual(self.take(reading, 1000), [(number, 2.0 * number) for number in range(1, COUNT + 1)])
        self.assertEqual((reading.end_s, reading.wants_more), (203.0, False))
        reading.fill()
        reading.open()
        self.assertEqual(list(reading.ahead), [])

    def test_beginning(self) -> None:
        """From a time on: first the version that was shown then."""
        reading = self.open("151s")
        self.assertEqual((reading.start_s, self.take(reading, 3)), (151, [(75, 151), (76, 152), (77, 154)]))
        self.assertEqual(self.take(self.open("end"), 3), [(100, 203)])
        self.assertEqual(self.take(self.open("start"), 1), [(1, 2)])
        with self.assertRaisesRegex(RecordingError, "is no time"):
            self.open("soon")

    def test_seeking(self) -> None:
        """Forwards and backwards, also after the end."""
        reading = self.open()
        for position_s in (0, 2, 3.9, 119, 202, 500, 60):
            reading.seek(position_s)
            first = min(max(int(position_s // 2), 1), COUNT)
            self.assertEqual(self.take(reading, 2)[0], (first, min(max(position_s, 2.0 * first), 500)))
        self.assertIsNone(reading.end_s)

    def test_again_and_again(self) -> None:
        """The times go on, and each repetition begins with the version of its beginning."""
        reading = self.open("199s", loops=True)
        self.assertEqual(self.take(reading, 5), [(99, 199), (100, 200), (99, 203), (100, 204), (99, 207)])
        self.assertIsNone(reading.end_s)
        reading.seek(4)
        self.assertEqual(self.take(reading, 100)[-1], (99, 203))

    def test_a_single_version(self) -> None:
        """Its repetitions are bounded; without any version there is nothing to repeat."""
        self.path.unlink()
        write(self.path, 1)
        reading = self.open("end", loops=True)
        self.assertEqual(self.take(reading, 3), [(1, 5), (1, 6), (1, 7)])
        self.path.unlink()
        write(self.path, 0)
        reading = self.open(loops=True)
        self.assertEqual((list(reading.ahead), reading.end_s), ([], 3.0))

    def test_memory(self) -> None:
        """Large documents are read ahead in small numbers."""
        self.patch(module, "MAX_AHEAD_BYTES", 3 * len(document(1)))
        reading = self.open()
        self.assertEqual(len(reading.ahead), 3)
        self.assertEqual(len(self.take(reading, 1000)), COUNT)

    def test_damage(self) -> None:
        """A file that is damaged anywhere is not played; one that is damaged meanwhile, up to there."""
        whole = self.path.read_bytes()
        damaged = bytearray(whole)
        damaged[len(whole) - 300] ^= 1
        self.path.write_bytes(damaged)
        with self.assertRaisesRegex(RecordingError, "is damaged in the record at"):
            self.open()
        self.path.write_bytes(whole)
        reading = self.open()
        self.path.write_bytes(damaged)
        found = self.take(reading, 1000)
        self.assertEqual(found, [(number, 2.0 * number) for number in range(1, len(found) + 1)])
        self.assertLess(len(found), COUNT + 1)
        self.assertIsNotNone(reading.error)
        reading.seek(200)
        self.assertIsNotNone(reading.error)

    def test_closing(self) -> None:
        """It waits for no thread: the call that is under way closes the file."""
        reading = self.open()
        recording = reading._recording
        assert recording is not None
        with reading._lock:
            reading.close()
        self.assertFalse(recording._cursor.file.closed)
        thread = threading.Thread(target=reading.fill)
        thread.start()
        thread.join()
        self.assertTrue(recording._cursor.file.closed)
        reading.seek(5)
        reading.close()
        closed = Reading(self.path, 1000)
        closed.close()
        closed.open()
        self.assertIsNone(closed.contents)
