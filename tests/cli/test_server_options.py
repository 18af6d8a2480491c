"""The options of twistd livefeed, in other commands."""

from __future__ import annotations

import argparse

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli.server_options import add_server_options, given_options, server_options, settings_given
from livefeed.config.settings import OPTIONS


class ServerOptionTests(SynchronousTestCase):
    def parse(self, *arguments: str) -> argparse.Namespace:
        parser = argparse.ArgumentParser()
        add_server_options(parser)
        return parser.parse_args(arguments)

    def test_every_setting_is_an_option(self) -> None:
        """Nothing else is, and a command may have some itself."""
        self.assertEqual(sorted(name.replace("-", "_") for name in server_options()), sorted(OPTIONS))
        self.assertNotIn("source", server_options(("source",)))

    def test_help(self) -> None:
        """Each option has one, also with a percent sign in it."""
        parser = argparse.ArgumentParser()
        add_server_options(parser)
        self.assertIn("--max-bytes VALUE", parser.format_help())

    def test_given_options(self) -> None:
        """All values of an option are there, in their order."""
        given = given_options(self.parse("--listen", "tcp:1", "--push", "tick", "--listen", "tcp:2"))
        self.assertEqual(given, [("listen", "tcp:1"), ("listen", "tcp:2"), ("push", "tick")])
        self.assertEqual(given_options(self.parse()), [])

    def test_settings(self) -> None:
        """Lists stay lists, and of the others the last value counts, as on the command line of twistd."""
        options = self.parse("--listen", "tcp:1", "--cert", "a", "--cert", "b", "--max-bytes", "5", "--max-bytes", "6")
        self.assertEqual(settings_given(options), {"cert": ["a", "b"], "listen": ["tcp:1"], "max_bytes": "6"})
