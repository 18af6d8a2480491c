"""Small files of the kernel."""

from __future__ import annotations

import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from livefeed.process.kernel_files import cgroup_and_above, read_number, read_text


class KernelFileTests(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.file = Path(directory.name) / "file"

    def test_text(self) -> None:
        """It is read up to a limit; a file that cannot be read is empty."""
        self.assertEqual(read_text(self.file), "")
        self.file.write_bytes(b"abc\xff")
        self.assertEqual(read_text(self.file), "abc\ufffd")
        self.assertEqual(read_text(self.file, 2), "ab")

    def test_number(self) -> None:
        """Anything else is none."""
        for text, expected in (("12\n", 12), ("max\n", None), ("-1", None), ("", None), ("1" * 21, None)):
            self.file.write_text(text)
            self.assertEqual(read_number(self.file), expected)

    def test_cgroups(self) -> None:
        """The root is the last one, and no path leads out of it."""
        root = Path("/c")
        self.assertEqual(list(cgroup_and_above(root, "/../a/b")), [root / "a/b", root / "a", root])
        self.assertEqual(list(cgroup_and_above(root, "/")), [root])
