"""The list of the feeds of a livefeed, for commands that are given the URL of a server."""

from __future__ import annotations

import json

PATH = "/-/feeds.json"
"""The path of the list."""

MAX_BYTES, MAX_LISTED = 1024 * 1024, 10
"""The largest list in bytes, and the number of feeds that a message names."""


def paths_in(content: bytes) -> list[str]:
    """Gives the paths of the feeds.

    :param content: the answer of a server.
    :raises ValueError: if it is no such list.
    """
    try:
        return [str(each["path"]) for each in json.loads(content)["feeds"]]
    except (LookupError, TypeError, RecursionError):
        raise ValueError("it has no feeds") from None
