"""The calls of the system, done to real files."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from livefeed.storage.files import SystemFiles


class SystemFilesTests(SynchronousTestCase):
    """SystemFiles."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = Path(directory.name)
        self.files = SystemFiles()

    def open(self, name: str) -> int:
        """Opens a file."""
        fd = self.files.open(self.folder / name)
        self.addCleanup(os.close, fd)
        return fd

    def test_writes(self) -> None:
        """All pieces are written from the offset on, also if the system takes a part at a time."""
        fd = self.open("a")
        real = os.pwrite
        self.patch(os, "pwrite", lambda fd, data, offset: real(fd, data[:3], offset))
        self.assertEqual(self.files.write(fd, [b"01234567", b"", b"89"], 2), 10)
        self.files.truncate(fd, 11)
        self.files.sync(fd)
        self.files.rename(self.folder / "a", self.folder / "b")
        self.files.sync_folder(self.folder)
        self.assertEqual(
            {each.name: each.read_bytes() for each in self.folder.iterdir()}, {"b": bytes(2) + b"012345678"}
        )

    def test_disk_that_takes_nothing(self) -> None:
        """It is full, even if the system does not say so."""
        self.patch(os, "pwrite", lambda *_: 0)
        with self.assertRaisesRegex(OSError, "No space left"):
            self.files.write(self.open("a"), [b"1"], 0)

    def test_link(self) -> None:
        """A link is not followed: the rename would replace it, and not the file."""
        (self.folder / "a").symlink_to("b")
        with self.assertRaises(OSError):
            self.open("a")
