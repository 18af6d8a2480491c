"""``/``: the page that shows a document as it changes, or the list of such pages."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import msgspec

from livefeed.document.timestamps import timestamp
from livefeed.web.resources import Content, Node

if TYPE_CHECKING:
    from collections.abc import Sequence

    from livefeed.feed.feed import Feed
    from livefeed.web.cors import Origins
    from livefeed.web.request import Request

ASSETS = b"-"
"""The first segment of the paths of the files that pages load. No feed can have this name."""

_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_TYPES = {
    "html": b"text/html; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "css": b"text/css; charset=utf-8",
}
_ITEM = (
    '<tr><th scope="row"><a href="{name}.html">{name}</a></th>'
    '<td><span class="badge" data-state="{state}">{state}</span></td><td></td><td></td><td></td></tr>\n'
)
_LINK = '<a id="all" href=".">All feeds</a>'

MODULES = (
    "main",
    "bars",
    "changes",
    "coalition",
    "districts",
    "dom",
    "election",
    "exact",
    "finding",
    "hemicycle",
    "history",
    "howto",
    "places",
    "search",
    "sparks",
    "state",
    "storage",
    "strings",
    "table",
    "theme",
    "tiles",
    "transport",
    "tree",
    "version",
)
"""The modules of the page of a feed. A browser is told of all of them at once, because it would otherwise find them one
after the other."""

FILES = ("early.js", "list.js", "page.css", "election.css", *(f"{name}.js" for name in MODULES))
"""The files in ``livefeed/static/page``, which are served below ``/-/page/``."""

_PRELOAD = "".join(f'<link rel="modulepreload" href="-/page/{name}.js">\n' for name in MODULES)


def feed_page(feed: Feed, origins: Origins, *, is_only: bool) -> PageResource:
    """Makes the page of one feed.

    :param is_only: whether there is no other feed, and so no list to link to.
    """
    replacements = {"{{feed}}": feed.name, "{{link}}": "" if is_only else _LINK, "{{preload}}": _PRELOAD}
    return PageResource(origins, "page.html", replacements)


def page_files(origins: Origins) -> Node:
    """Makes the resources of the files that pages load, by their names.

    :param origins: the origins whose pages may read the answer if there is nothing at a path.
    """
    node = Node(origins)
    for name in FILES:
        node.putChild(name.encode(), PageResource(origins, f"page/{name}"))
    return node


@cache
def _file(name: str) -> str:
    """Reads a file of ``livefeed/static``. It is kept, since a feed that is added later may find no files (chroot)."""
    return files("livefeed").joinpath("static", name).read_text("utf-8")


class PageResource(Content):
    """A file of a page.

    :param origins: the origins whose pages may read the answer if there is nothing below this path.
    :param name: the name of the file in ``livefeed/static``.
    :param replacements: the texts that replace the placeholders, by placeholder.
    """

    def __init__(self, origins: Origins, name: str, replacements: dict[str, str] | None = None) -> None:
        super().__init__(origins)
        text = _file(name)
        for old, new in (replacements or {}).items():
            text = text.replace(old, new)
        self._text = text
        self.content_type = _TYPES[name.rpartition(".")[2]]

    def content(self) -> bytes:
        """Content API."""
        return self._text.encode()

    def fields(self, request: Request) -> list[tuple[bytes, bytes]]:
        """Content API."""
        return [
            (b"Content-Security-Policy", _POLICY),
            (b"Cross-Origin-Opener-Policy", b"same-origin"),
            (b"Referrer-Policy", b"no-referrer"),
            (b"Cache-Control", b"no-cache"),
        ]


class ListPageResource(PageResource):
    """The page with the list of feeds: their states, and links to their pages."""

    def __init__(self, origins: Origins, feeds: Sequence[Feed]) -> None:
        super().__init__(origins, "list.html")
        self._feeds = feeds

    def content(self) -> bytes:
        """Content API."""
        # Names of feeds and states contain no characters that are special in HTML.
        items = "".join(_ITEM.format(name=feed.name, state=feed.state.value) for feed in self._feeds)
        return self._text.replace("{{feeds}}", items).encode()


class ListResource(Content):
    """The list of feeds and their states, as JSON.

    :param origins: the origins whose pages may read the list.
    """

    def __init__(self, origins: Origins, feeds: Sequence[Feed]) -> None:
        super().__init__(origins)
        self._feeds = feeds

    def content(self) -> bytes:
        """Content API."""
        return msgspec.json.encode({"feeds": [_facts(feed) for feed in self._feeds]})

    def fields(self, request: Request) -> list[tuple[bytes, bytes]]:
        """Content API."""
        return [(b"Cache-Control", b"public, max-age=1")]

    def shared(self, request: Request) -> list[tuple[bytes, bytes]]:
        """Content API."""
        return self.permission(request)


def _facts(feed: Feed) -> dict[str, object]:
    snapshot = feed.snapshot
    return {
        "name": feed.name,
        "path": f"/{feed.name}",
        "state": feed.state.value,
        "version": None if snapshot is None else snapshot.version,
        "sequence": None if snapshot is None else str(snapshot.sequence),
        "at": None if snapshot is None else timestamp(feed.confirmed_at),
        "interval_s": feed.interval_s,
    }
