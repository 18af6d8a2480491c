"""The URL of a feed on a command line: the one that is given, or that of the only feed of a server."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from livefeed.cli.tables import printable
from livefeed.client.actions import Failed
from livefeed.client.address import Address
from livefeed.client.failures import tls_context
from livefeed.client.feed_list import MAX_BYTES, MAX_LISTED, PATH, paths_in
from livefeed.client.http import Requests
from livefeed.client.update import Line
from livefeed.clocks import monotonic
from livefeed.exceptions import FollowError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from livefeed.client.update import Shown, Update

RETRY_S = 1.0
"""The time in seconds between two attempts to reach a server."""


def say(text: str) -> None:
    """Shows a line about a command to its user."""
    print(f"livefeed: {text}", file=sys.stderr)


@dataclass(slots=True)
class FirstContact:
    """Ends a command if its server cannot be reached at first. Later, a client tries again by itself.

    :ivar is_over: whether the server was reached, or may be away at first.
    """

    is_over: bool

    def check(self, update: Update[Any] | Shown) -> None:
        """Takes a change of a feed.

        :raises FollowError: if the server cannot be reached, and never was.
        """
        if not self.is_over and update.line is Line.OFFLINE:
            raise FollowError(update.problem)
        self.is_over = self.is_over or update.line in (Line.OPEN, Line.POLLING)


def feed_address(  # noqa: PLR0913 - all but the URL have defaults
    url: str,
    address: Address,
    cacert: Path | None = None,
    *,
    verify: bool = True,
    wait_s: float = 0.0,
    tell: Callable[[str], object] = say,
) -> Address:
    """Gives the address of a feed, for a user who names its URL or that of a server with one feed. May block.

    :param url: the URL, whose fragment may be a JSON Pointer.
    :param address: the same, as it was read, with the place to connect to if another one was named.
    :param cacert: a PEM file with the authorities that are trusted, instead of those of the system.
    :param verify: whether the server's certificate is checked.
    :param wait_s: seconds for which a server that cannot be reached is asked again.
    :param tell: is called with each new reason why it cannot.
    :raises FollowError: if the server has several feeds, has no list of them, or cannot be reached.
    """
    place, _, fragment = url.partition("#")
    server = replace(Address.of(place), connect_to=address.connect_to)
    if server.target != "/":
        return address
    feed = _only_feed(server, cacert, verify=verify, wait_s=wait_s, tell=tell)
    return replace(Address.of(f"{feed}#{fragment}"), connect_to=address.connect_to)


def _only_feed(
    server: Address, cacert: Path | None, *, verify: bool, wait_s: float, tell: Callable[[str], object]
) -> str:
    listed = replace(server, target=PATH)
    requests = Requests(listed, tls_context(listed, cacert, verify=verify), MAX_BYTES)
    deadline = monotonic() + wait_s
    answer = requests.get({})
    why = ""
    while isinstance(answer, Failed) and not answer.was_reached and monotonic() < deadline:
        if answer.why != why:
            why = answer.why
            tell(f"{why}; trying again")
        time.sleep(min(RETRY_S, max(0.0, deadline - monotonic())))
        answer = requests.get({})
    requests.close()
    if isinstance(answer, Failed):
        raise FollowError(answer.why)
    try:
        paths = paths_in(answer.content)
    except ValueError:
        raise FollowError(f"{server.url} has no list of feeds: name the document, such as {server.url}feed") from None
    if len(paths) != 1:
        found = ", ".join(printable(f"{server.url}{path.removeprefix('/')}") for path in paths[:MAX_LISTED])
        raise FollowError(f"{server.url} has {len(paths)} feeds: {found}")
    return f"{server.url}{paths[0].removeprefix('/')}"
