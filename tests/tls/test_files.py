"""PEM files on disk, and those of another process. The tests of tls:FOLDER have the limits."""

from __future__ import annotations

import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import ConfigurationError
from livefeed.tls.files import GivenFiles, LocalFiles


class FilesTests(SynchronousTestCase):
    """LocalFiles, and GivenFiles of what it has read."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = Path(directory.name)
        (self.folder / "below").mkdir()
        self.files = {self.folder / name: name.encode() for name in ("b.pem", "below/a.pem")}
        for path, data in self.files.items():
            path.write_bytes(data)
        (self.folder / "README").write_bytes(b"")

    def test_both_give_the_same(self) -> None:
        """The files of a folder in order, their bytes, and whether a path is a folder."""
        local, given = LocalFiles(), GivenFiles(self.files)
        self.assertEqual(local.list(self.folder), sorted(self.files))
        self.assertEqual(given.list(self.folder), sorted(self.files))
        for path, data in self.files.items():
            self.assertEqual((local.read(path), given.read(path)), (data, data))
        for path, is_folder in ((self.folder, True), (self.folder / "b.pem", False), (Path("/no/such"), False)):
            self.assertEqual((local.is_folder(path), given.is_folder(path)), (is_folder, is_folder))

    def test_missing_files(self) -> None:
        """The message names the file."""
        path = self.folder / "c.pem"
        for files in (LocalFiles(), GivenFiles(self.files)):
            for look in (files.read, files.stamp):
                self.assertIn(str(path), self.assertRaises(ConfigurationError, look, path).why)

    def test_stamps(self) -> None:
        """They differ after a file was written or replaced, and only then."""
        local, path = LocalFiles(), self.folder / "b.pem"
        stamp = local.stamp(path)
        self.assertEqual(local.stamp(path), stamp)
        path.write_bytes(b"longer")
        longer = local.stamp(path)
        self.assertNotEqual(longer, stamp)
        (self.folder / "new").write_bytes(b"longer")
        (self.folder / "new").replace(path)
        self.assertNotEqual(local.stamp(path), longer)
        self.assertNotEqual(GivenFiles({path: b"1"}).stamp(path), GivenFiles({path: b"2"}).stamp(path))
