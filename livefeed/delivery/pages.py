"""``/``: the page that shows a document as it changes, or the list of such pages."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Protocol

import msgspec

from livefeed.document.timestamps import timestamp
from livefeed.feed.state import State
from livefeed.web.coded import CodedContent, lasting
from livefeed.web.resources import Content, Node

if TYPE_CHECKING:
    from collections.abc import Sequence

    from livefeed.feed.feed import Feed
    from livefeed.web.coded import Coded
    from livefeed.web.cors import Origins
    from livefeed.web.request import Request

ASSETS = b"-"
"""The first segment of the paths of the files that pages load. No feed can have this name."""

POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The policy of all pages: nothing from elsewhere, no scripts and styles in the page itself, no frames around it."""

_FIELDS = [
    (b"Content-Security-Policy", POLICY),
    (b"Cross-Origin-Opener-Policy", b"same-origin"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"Cache-Control", b"no-cache"),
]
"""The fields of all files of pages."""

_TYPES = {
    "html": b"text/html; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "css": b"text/css; charset=utf-8",
}
_ITEM = (
    '<tr><th scope="row"><a href="{name}.html">{name}</a></th>'
    '<td><span class="badge" data-state="{state}">{state}</span></td><td></td><td></td><td></td></tr>\n'
)
_LINK = '<a id="all" href="."></a>'

PROTECTED = "protected"
"""The word in the place of the state of a protected feed."""

MAX_REASON = 300
"""The largest number of characters of a reason in the list of feeds."""

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
    "overlaid",
    "places",
    "plots",
    "pointers",
    "search",
    "shows",
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

VENDORED = ("vendor/uPlot.iife.min.js", "vendor/uPlot.min.css")
"""The files of uPlot, byte for byte those of its package. Pages load them when a reader opens the plots."""

FILES = ("early.js", "list.js", "page.css", "election.css", *VENDORED, *(f"{name}.js" for name in MODULES))
"""The files in ``livefeed/static/page``, which are served below ``/-/page/``."""

_PRELOAD = "".join(f'<link rel="modulepreload" href="-/page/{name}.js">\n' for name in MODULES)


@dataclass(frozen=True, slots=True)
class PageOptions:
    """The facts that the operator shows to everybody.

    :ivar figures: whether ``/-/figures.json`` is there.
    :ivar reasons: whether the list of feeds says why a feed has no new document.
    """

    figures: bool = False
    reasons: bool = False

    def __str__(self) -> str:
        """Gives the names of the facts, as the page reads them."""
        names = {"figures": self.figures, "reasons": self.reasons}
        return " ".join(name for name, is_shown in names.items() if is_shown)


def feed_page(feed: Feed, origins: Origins, options: PageOptions, *, is_only: bool) -> PageResource:
    """Makes the page of one feed.

    :param options: the facts that the page may ask for.
    :param is_only: whether there is no other feed, and so no list to link to.
    """
    replacements = {
        "{{noscript}}": text_of("page/strings.js", "noscript"),
        "{{feed}}": feed.name,
        "{{link}}": "" if is_only else _LINK,
        "{{preload}}": _PRELOAD,
    }
    return PageResource(origins, "page.html", {**_common(options), **replacements})


def _common(options: PageOptions) -> dict[str, str]:
    """Gives the texts that replace the placeholders of all pages."""
    return {"{{language}}": text_of("page/strings.js", "LANGUAGE"), "{{shows}}": str(options)}


@cache
def text_of(file: str, name: str) -> str:
    """Gives a text of a ``strings.js``: no script can write it into the page, and translators look for it there.

    :param file: the path of the file in ``livefeed/static``.
    """
    found = re.search(rf'\b{name}(?: =|:) "([^"]*)"', _file(file))
    assert found is not None
    return found[1]


def page_files(origins: Origins) -> Node:
    """Makes the resources of the files that pages load, by their names.

    :param origins: the origins whose pages may read the answer if there is nothing at a path.
    """
    node = Node(origins)
    folders: dict[str, Node] = {"": node}
    for path in FILES:
        folder, _, name = path.rpartition("/")
        if folder not in folders:
            folders[folder] = Node(origins)
            node.putChild(folder.encode(), folders[folder])
        folders[folder].putChild(name.encode(), PageResource(origins, f"page/{path}"))
    return node


@cache
def _file(name: str) -> str:
    """Reads a file of ``livefeed/static``. It is kept, since a feed that is added later may find no files (chroot)."""
    return files("livefeed").joinpath("static", name).read_text("utf-8")


class PageResource(CodedContent):
    """A file of a page.

    :param origins: the origins whose pages may read the answer if there is nothing below this path.
    :param name: the name of the file in ``livefeed/static``.
    :param replacements: the texts that replace the placeholders, by placeholder.
    """

    def __init__(self, origins: Origins, name: str, replacements: dict[str, str] | None = None) -> None:
        super().__init__(origins)
        self._present = lasting(_replaced(_file(name), replacements or {}).encode())
        self.content_type = _TYPES[name.rpartition(".")[2]]

    def present(self) -> Coded:
        """CodedContent API."""
        return self._present

    def fields(self, request: Request) -> list[tuple[bytes, bytes]]:
        """Content API."""
        return [*_FIELDS, (b"Vary", b"Accept-Encoding")]


def _replaced(text: str, replacements: dict[str, str]) -> str:
    for old, new in replacements.items():
        text = text.replace(old, new)
    return text


class Listed(Protocol):
    """A feed in the list."""

    @property
    def feed(self) -> Feed:
        """The feed."""

    @property
    def guard(self) -> object | None:
        """Decides which clients may have the feed; ``None`` for a public one."""


class ListPageResource(Content):
    """The page with the list of feeds: their states, and links to their pages.

    :param options: the facts that the page may ask for.
    """

    content_type = _TYPES["html"]

    def __init__(self, origins: Origins, feeds: Sequence[Listed], options: PageOptions) -> None:
        super().__init__(origins)
        self._text = _replaced(_file("list.html"), _common(options))
        self._feeds = feeds

    def content(self) -> bytes:
        """Content API."""
        # Names of feeds and states contain no characters that are special in HTML.
        items = "".join(
            _ITEM.format(name=each.feed.name, state=PROTECTED if each.guard is not None else each.feed.state.value)
            for each in self._feeds
        )
        return self._text.replace("{{feeds}}", items).encode()

    def fields(self, request: Request) -> list[tuple[bytes, bytes]]:
        """Content API."""
        return _FIELDS


class ListResource(Content):
    """The list of feeds and their states, as JSON.

    :param origins: the origins whose pages may read the list.
    :param with_reasons: whether it says why a feed is in its state.
    """

    def __init__(self, origins: Origins, feeds: Sequence[Listed], *, with_reasons: bool) -> None:
        super().__init__(origins)
        self._feeds = feeds
        self._with_reasons = with_reasons

    def content(self) -> bytes:
        """Content API."""
        facts = [
            _facts_of_protected(each.feed)
            if each.guard is not None
            else _facts(each.feed) | (_reason(each.feed) if self._with_reasons else {})
            for each in self._feeds
        ]
        return msgspec.json.encode({"feeds": facts})

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
        "version": None if snapshot is None or feed.state is State.WITHDRAWN else snapshot.version,
        "sequence": None if snapshot is None else str(snapshot.sequence),
        "at": None if snapshot is None else timestamp(feed.confirmed_at),
        "interval_s": feed.interval_s,
    }


def _facts_of_protected(feed: Feed) -> dict[str, object]:
    """Gives the facts about a protected feed that everybody may know: that there is one, and its rhythm."""
    nothing = dict.fromkeys(("state", "version", "sequence", "at"))
    return {"name": feed.name, "path": f"/{feed.name}", "protected": True, **nothing, "interval_s": feed.interval_s}


def _reason(feed: Feed) -> dict[str, object]:
    """Gives the reason in the words of the log, which have no credentials; ``None`` if there is none."""
    reason = feed.reason
    return {"reason": (reason if len(reason) <= MAX_REASON else f"{reason[: MAX_REASON - 1]}…") or None}
