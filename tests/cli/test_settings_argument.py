"""The argument SETTINGS of subcommands."""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli.settings_argument import add_settings_argument, refuse_document
from livefeed.exceptions import ConfigurationError


class ArgumentTests(SynchronousTestCase):
    """The argument itself."""

    def test_argument(self) -> None:
        """It may be left out."""
        parser = argparse.ArgumentParser(prog="p")
        add_settings_argument(parser, ", as --config")
        self.assertIsNone(parser.parse_args([]).file)
        self.assertEqual(parser.parse_args(["a.toml"]).file, "a.toml")
        self.assertRegex(parser.format_help(), r"SETTINGS +the file of settings, as --config\n")


class DocumentTests(SynchronousTestCase):
    """Documents in place of settings."""

    def setUp(self) -> None:
        self.path = Path(self.enterContext(TemporaryDirectory())) / "file"

    def refuse(self, text: str | bytes) -> None:
        self.path.write_bytes(text if isinstance(text, bytes) else text.encode())
        refuse_document(str(self.path), "livefeed check", "livefeed plan")

    def test_documents(self) -> None:
        """JSON is refused, also if it is broken."""
        for text in ("{}", ' {"a": 1}\n', '{"a": ', "[1, 2]", '[{"a": 1}]', "5", '"a"'):
            error = self.assertRaises(ConfigurationError, self.refuse, text)
            self.assertIn("this is JSON: livefeed check takes settings; livefeed plan takes a document", str(error))

    def test_other_files(self) -> None:
        """Settings are settings, and whatever is neither is told by the reader of settings."""
        for text in (
            "",
            "# nothing\n",
            "interval = 2\n",
            "[feeds.a]\nsource = 'demo:'\n",
            "interval",
            b"\xff",
            "[" * 99_999,
        ):
            self.refuse(text)
        self.path.unlink()
        refuse_document(str(self.path), "livefeed check", "livefeed plan")
        refuse_document(None, "livefeed check", "livefeed plan")
        refuse_document("\0", "livefeed check", "livefeed plan")
