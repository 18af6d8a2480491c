"""``/``: a page that shows the document as it changes, or a list of such pages. And the tree of all that is served."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

import msgspec

from livefeed.document.timestamps import timestamp
from livefeed.web.cors import Origins
from livefeed.web.resources import Content, Node

if TYPE_CHECKING:
    from collections.abc import Sequence

    from livefeed.delivery.published_feed import PublishedFeed
    from livefeed.feed.feed import Feed
    from livefeed.web.request import Request

ASSETS = b"-"
"""The first part of the paths of what the page needs. No feed can be named so."""

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
    '<li><a href="/{name}.html">{name}</a> <span class="state" data-state="{state}">{state}</span> '
    '<a href="/{name}">/{name}</a></li>\n'
)
_LINK = '<a href="/">all feeds</a> · '


class PageResource(Content):
    """A file of the page, read once.

    :param origins: who may read what is not there from another site.
    :param name: its name in ``livefeed/static``.
    :param replacements: what is put in the place of what.
    """

    def __init__(self, origins: Origins, name: str, replacements: dict[str, str] | None = None) -> None:
        super().__init__(origins)
        text = files("livefeed").joinpath("static", name).read_text("utf-8")
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
    """The feeds that there are, and their states, with links to their pages.

    :param feeds: these.
    """

    def __init__(self, origins: Origins, feeds: Sequence[Feed]) -> None:
        super().__init__(origins, "list.html")
        self._feeds = feeds

    def content(self) -> bytes:
        """Content API."""
        # Neither a feed's name nor a state has anything in it that means something in HTML.
        items = "".join(_ITEM.format(name=feed.name, state=feed.state.value) for feed in self._feeds)
        return self._text.replace("{{feeds}}", items).encode()


class ListResource(Content):
    """The feeds that there are, and their states, as JSON.

    :param origins: who may read it from another site.
    :param feeds: these.
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


class Root(Node):
    """Everything that is served.

    :param served: what is served of each feed.
    """

    def __init__(self, served: Sequence[PublishedFeed]) -> None:
        origins = Origins.common(one.origins for one in served)
        super().__init__(origins)
        feeds = [one.feed for one in served]
        assets = Node(origins)
        for name in ("page.js", "page.css"):
            assets.putChild(name.encode(), PageResource(origins, name))
        assets.putChild(b"feeds.json", ListResource(origins, feeds))
        self.putChild(ASSETS, assets)
        link = "" if len(feeds) == 1 else _LINK
        for one in served:
            page = PageResource(one.origins, "page.html", {"{{feed}}": one.feed.name, "{{link}}": link})
            self.putChild(f"{one.feed.name}.html".encode(), page)
            for path, resource in one.resources().items():
                self.putChild(path.encode(), resource)
        self.putChild(b"", page if len(feeds) == 1 else ListPageResource(origins, feeds))
