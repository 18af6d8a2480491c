"""The document of a command line, and files of settings in its place."""

from __future__ import annotations

import io
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli.document_file import is_settings, read_document
from livefeed.config.layers import MAX_FILE_BYTES
from livefeed.exceptions import CommandError


class DocumentFileTests(SynchronousTestCase):
    """read_document, and is_settings."""

    def setUp(self) -> None:
        self.file = Path(self.enterContext(tempfile.TemporaryDirectory())) / "a"

    def test_content(self) -> None:
        """At most one byte more than the largest document has; also of standard input."""
        self.file.write_bytes(b"[1, 2]")
        self.assertEqual(read_document(str(self.file), 6, ""), b"[1, 2]")
        self.assertEqual(read_document(str(self.file), 2, ""), b"[1,")
        self.patch(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"{}")))
        self.assertEqual(read_document("-", 9, ""), b"{}")

    def test_refusals(self) -> None:
        """The message names the file, and the way out."""
        for name, why in ((f"{self.file}", "cannot be read: No such file"), ("a\0", "cannot be read: embedded null")):
            self.assertRaisesRegex(CommandError, why, read_document, name, 9, "")
        self.file.write_text('source = "demo:"\n')
        with self.assertRaisesRegex(CommandError, r"a: is a file of settings \(TOML\).*; go there"):
            read_document(str(self.file), 99, "go there")

    def test_kinds(self) -> None:
        """Documents that cannot be read as JSON are the gate's, and so is what could be both."""
        for data in (b"a = 1", b"\xef\xbb\xbf[feeds.a]\n", b"# a\n[a]\n"):
            self.assertTrue(is_settings(data), data)
        for data in (b"", b"\n", b"# a\n", b"[1]", b"{}", b'"a"', b'{"a": ', b"\xff", b"[" * 100_000):
            self.assertFalse(is_settings(data), data[:9])
        self.assertFalse(is_settings(b"a = 1\n" + b"#" * MAX_FILE_BYTES))
