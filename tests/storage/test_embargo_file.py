"""The file of embargoes: after a loss of power at any moment it has the old contents or the new ones, as a whole."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.embargo import Embargo
from livefeed.exceptions import StoreError
from livefeed.storage.embargo_file import EmbargoFile
from livefeed.storage.files import Files, SystemFiles
from tests.helpers.crashing_files import Disk, RecordingFiles, RefusingFiles

ONE = Embargo("1", 10.0, 1.0, "anna", "", b'{"a": 1}')
TWO = Embargo("2", 20.0, 1.0, "anna", "", b"2" * 300)
THREE = Embargo("3", 30.0, 1.0, "bert")


class EmbargoFileTestCase(SynchronousTestCase):
    """A file in a folder of its own."""

    def setUp(self) -> None:
        self.folder = self.new_folder()
        self.path = self.folder / "a.embargoes"

    def new_folder(self) -> Path:
        """Gives a folder that does not exist, and is removed at the end."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        return Path(directory.name) / "state"

    def make(self, files: Files | None = None, path: Path | None = None) -> tuple[EmbargoFile, tuple[Embargo, ...]]:
        """Opens a file, and gives its contents."""
        file = EmbargoFile(path or self.path, files or RecordingFiles())
        found = file.open()
        self.addCleanup(file.close)
        return file, found


class WriteTests(EmbargoFileTestCase):
    """Contents and their order."""

    def test_read_back(self) -> None:
        """The contents of the last write are there after a restart; nothing is written before the first."""
        file, found = self.make()
        self.assertEqual((found, self.path.exists()), ((), False))
        file.write([TWO, ONE])
        file.write([TWO, ONE, THREE])
        file.close()
        file, found = self.make()
        self.assertEqual(found, (TWO, ONE, THREE))
        file.write([])
        file.close()
        self.assertEqual(self.make()[1], ())

    def test_private(self) -> None:
        """Other users may read neither the file nor its folder."""
        file, _ = self.make(SystemFiles())
        file.write([ONE])
        self.assertEqual((self.path.stat().st_mode & 0o777, self.folder.stat().st_mode & 0o777), (0o600, 0o700))

    def test_lock(self) -> None:
        """Two processes never use one file, and one that has closed it does not write it."""
        file, _ = self.make()
        other, _ = self.make()
        self.assertFalse(self.folder.exists())  # feeds without embargoes have no such files
        file.write([ONE])
        for call in (self.make, lambda: other.write([TWO])):
            with self.assertRaisesRegex(StoreError, "another process uses this file"):
                call()
        file.close()
        self.assertEqual(self.make()[1], (ONE,))
        with self.assertRaisesRegex(StoreError, "the file is closed"):
            file.write([TWO])

    def test_damaged(self) -> None:
        """Records that are whole count, and a copy of the file is kept."""
        file, _ = self.make()
        file.write([ONE, TWO])
        file.close()
        broken = self.path.read_bytes().replace(b"2222", b"2223", 1)
        self.path.write_bytes(broken)
        file, found = self.make()
        self.assertEqual((found, file.damaged), ((ONE,), self.folder / "a.embargoes.damaged"))
        assert file.damaged is not None
        self.assertEqual((file.damaged.read_bytes(), file.damaged.stat().st_mode & 0o777), (broken, 0o600))

    def test_newer_format(self) -> None:
        """It is refused, and left as it is."""
        self.folder.mkdir()
        data = ONE.record().replace(b'"format":1', b'"format":7')
        self.path.write_bytes(data)
        for call in (self.make, EmbargoFile(self.path).inspect):
            with self.assertRaisesRegex(StoreError, "has format 7, of a newer livefeed"):
                call()
        self.assertEqual(self.path.read_bytes(), data)
        self.assertEqual([*self.folder.glob("*.damaged")], [])

    def test_inspect(self) -> None:
        """A missing file is none to complain about; a folder is."""
        EmbargoFile(self.path).inspect()
        self.path.mkdir(parents=True)
        for call in (self.make, EmbargoFile(self.path).inspect):
            with self.assertRaisesRegex(StoreError, "a.embargoes: Is a directory"):
                call()

    def test_file_as_folder(self) -> None:
        """A file where the folder should be."""
        self.folder.write_bytes(b"")
        with self.assertRaisesRegex(StoreError, "there is a file where a folder should be"):
            self.make()[0].write([ONE])


class RefusalTests(EmbargoFileTestCase):
    """A disk that refuses calls."""

    def test_refused(self) -> None:
        """Whatever fails, the file has its former contents, and the next write succeeds."""
        for name in ("open", "write", "truncate", "sync", "rename", "sync_folder"):
            files = RefusingFiles()
            path = self.new_folder() / "a.embargoes"
            file, _ = self.make(files, path)
            file.write([ONE])
            files.refusals[name] = errno.ENOSPC
            with self.assertRaisesRegex(StoreError, "No space left") as caught:
                file.write([ONE, TWO])
            self.assertTrue(caught.exception.is_full)
            files.refusals.clear()
            file.close()
            file, found = self.make(files, path)
            if name != "sync_folder":
                self.assertEqual(found, (ONE,), name)
            file.write([ONE, TWO])
            file.close()
            self.assertEqual(self.make(files, path)[1], (ONE, TWO), name)

    def test_undone(self) -> None:
        """A new name whose folder could not be synced is taken back as soon as that works."""

        class Once(RefusingFiles):
            def sync_folder(self, path: Path) -> None:
                refused = self.refusals.pop("sync_folder", None)
                if refused is not None:
                    raise OSError(refused, "no")
                super().sync_folder(path)

        files = Once()
        file, _ = self.make(files)
        file.write([ONE])
        files.refusals["sync_folder"] = errno.EIO
        with self.assertRaisesRegex(StoreError, "no") as caught:
            file.write([TWO])
        self.assertFalse(caught.exception.is_full)
        file.close()
        self.assertEqual(self.make()[1], (ONE,))

    def test_no_memory(self) -> None:
        """It is told like a disk that refuses."""
        file, _ = self.make()

        class Huge(Embargo):
            def record(self) -> bytes:
                raise MemoryError

        with self.assertRaisesRegex(StoreError, "no memory is left"):
            file.write([Huge("1", 1.0, 1.0, "anna")])


class CrashTests(EmbargoFileTestCase):
    """A loss of power after each call of the system."""

    def test_every_prefix(self) -> None:
        """The file has the contents of the last write that was answered, or of the one that was under way."""
        files = RecordingFiles()
        file, _ = self.make(files)
        steps = ((ONE,), (ONE, TWO), (TWO, THREE), (), (THREE,))
        answered: dict[int, tuple[Embargo, ...]] = {}
        for step in steps:
            file.write(step)
            answered[len(files.calls)] = step
        file.close()
        self.assertIn("rename", {call[0] for call in files.calls})
        disk, seen = Disk(), set[tuple[Embargo, ...]]()
        certain: tuple[Embargo, ...] = ()
        for position, call in enumerate(files.calls, 1):
            disk.do(call)
            certain = answered.get(position, certain)
            under_way = next((step for end, step in sorted(answered.items()) if end > position), certain)
            for image in disk.images():
                found = self.found_in(image)
                seen.add(found)
                self.assertIn(found, (certain, under_way), f"after {position} {call[0]}")
        self.assertEqual(seen, {(), *steps})

    def found_in(self, image: dict[str, bytes]) -> tuple[Embargo, ...]:
        """Starts with what a crash has left, and gives the contents."""
        folder = self.new_folder()
        folder.mkdir()
        for name, data in image.items():
            (folder / name).write_bytes(data)
        file, found = self.make(path=folder / "a.embargoes")
        self.assertIsNone(file.damaged)
        file.close()
        return found
