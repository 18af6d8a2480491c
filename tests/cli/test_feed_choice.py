"""A feed is chosen by its name, or because it is the only one."""

from __future__ import annotations

import argparse
import io
import sys

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli.feed_choice import add_feed_option, chosen_feed
from livefeed.config.settings import FeedSettings

FEEDS = (FeedSettings(feed="results"), FeedSettings(feed="turnout"))


class FeedChoiceTests(SynchronousTestCase):
    """chosen_feed."""

    def chosen(self, feeds: tuple[FeedSettings, ...], *arguments: str) -> FeedSettings:
        parser = argparse.ArgumentParser()
        add_feed_option(parser)
        parser.set_defaults(fail=parser.error)
        return chosen_feed(parser.parse_args(arguments), feeds)

    def refusal(self, *arguments: str) -> str:
        self.patch(sys, "stderr", output := io.StringIO())
        self.assertEqual(self.assertRaises(SystemExit, self.chosen, FEEDS, *arguments).code, 2)
        return output.getvalue()

    def test_choice(self) -> None:
        """The only one needs no name."""
        self.assertIs(self.chosen(FEEDS[:1]), FEEDS[0])
        self.assertIs(self.chosen(FEEDS, "--feed", "turnout"), FEEDS[1])

    def test_errors(self) -> None:
        """They list the feeds."""
        self.assertIn("several feeds, choose one with --feed: results, turnout", self.refusal())
        self.assertIn("did you mean turnout?; the feeds are results, turnout", self.refusal("--feed", "turnot"))
