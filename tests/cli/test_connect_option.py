"""The option with which a command connects to another place than the URL's."""

from __future__ import annotations

import argparse
import io
import sys

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli.connect_option import add_connect_option


class ConnectOptionTests(SynchronousTestCase):
    def test_values(self) -> None:
        """A place is kept as it is; anything else is a wrong command line."""
        errors = io.StringIO()
        self.patch(sys, "stderr", errors)
        parser = argparse.ArgumentParser()
        add_connect_option(parser)
        self.assertIsNone(parser.parse_args([]).connect)
        self.assertEqual(parser.parse_args(["--connect", "[::1]:8443"]).connect, "[::1]:8443")
        self.assertEqual(self.assertRaises(SystemExit, parser.parse_args, ["--connect", "h"]).code, 2)
        self.assertIn("'h': is no HOST:PORT, such as 192.0.2.7:8443", errors.getvalue())
