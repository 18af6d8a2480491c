"""The choice of a feed of a file of settings, by ``--feed`` or because there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livefeed.exceptions import closest, shown

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from livefeed.config.settings import FeedSettings


def add_feed_option(parser: argparse.ArgumentParser) -> None:
    """Adds the option to a subcommand."""
    parser.add_argument("--feed", metavar="NAME", help="the feed whose rules count [default: the only one]")


def chosen_feed(options: argparse.Namespace, feeds: Sequence[FeedSettings]) -> FeedSettings:
    """Gives the chosen feed. Without one, the command ends with an error about the command line.

    :param options: the options, with ``feed``, and ``fail()`` for such an error.
    :param feeds: the feeds of the file; at least one.
    """
    names = [feed.feed for feed in feeds]
    if options.feed is None and len(names) > 1:
        options.fail(f"there are several feeds, choose one with --feed: {', '.join(names)}")
    name = names[0] if options.feed is None else options.feed
    if name not in names:
        options.fail(f"there is no feed {shown(name)}{closest(name, names)}; the feeds are {', '.join(names)}")
    return feeds[names.index(name)]
