"""The local file that livefeed serve is to serve."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli import served_file
from livefeed.cli.served_file import check_path, check_source, complaint, is_recording
from livefeed.document.recording import encode_beginning
from livefeed.exceptions import ConfigurationError
from livefeed.testing import MemorySource


class ServedFileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.enterContext(TemporaryDirectory())) / "a.json"
        self.path.write_text("{}")

    def refusal(self, check: object, argument: object) -> str:
        assert callable(check)
        return str(self.assertRaises(ConfigurationError, check, argument))

    def test_paths(self) -> None:
        """Files that cannot be read are refused, and recordings, which have a scheme of their own."""
        check_path(self.path)
        self.assertFalse(is_recording(self.path))
        self.path.write_bytes(b"")
        self.assertFalse(is_recording(self.path))
        self.path.write_bytes(encode_beginning(0.0)[0])
        self.assertIn(f"livefeed serve recording:{self.path}", self.refusal(check_path, self.path))
        self.patch(os, "access", lambda *_: False)
        self.assertIn("cannot be read: Permission denied", self.refusal(check_path, self.path))

    def test_sources(self) -> None:
        """A recording must be there; a document may come later."""
        for url in (f"recording:{self.path}?speed=2", f"recording://{self.path}", "file:none.json", "redis://h/0/k"):
            check_source(url)
        self.assertIn("there is no such file", self.refusal(check_source, "RECORDING:no%20ne.rec"))
        self.assertIn("is a folder", self.refusal(check_source, f"recording:{self.path.parent}"))

    def complaint(self, name: str = "") -> str:
        source = MemorySource()
        self.patch(MemorySource, "__str__", lambda _: name or f"file:{self.path}")
        return complaint(source, 100)

    def test_complaints(self) -> None:
        """They are those of the gate."""
        self.assertEqual(self.complaint(), "")
        self.path.write_text("{")
        self.assertIn(f"{self.path}: the document is not JSON", self.complaint())
        self.assertEqual(self.complaint("demo:"), "")
        self.assertEqual(self.complaint("file:/none.json"), "")
        self.patch(Path, "read_bytes", lambda _: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        self.assertIn("cannot be read: Input/output error", self.complaint())
        self.patch(served_file, "MAX_READ_BYTES", 0)
        self.assertEqual(self.complaint(), "")
