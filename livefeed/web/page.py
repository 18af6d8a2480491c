"""``/``: a page that shows the document as it changes. And the tree of everything that the site serves."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from livefeed.snapshot import version_of
from livefeed.web.answers import answer, refuse
from livefeed.web.conditional import is_another, matching_tag
from livefeed.web.document import DocumentResource, Form
from livefeed.web.parts import Parts
from livefeed.web.resource import Node, field
from livefeed.web.ways import Ways

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.web.resource import IResource

    from livefeed.feed import Feed
    from livefeed.web.origins import Origins
    from livefeed.web.site import Request
    from livefeed.web.stream import EventStream

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


class StaticResource(Node):
    """A file of the page, read once.

    :param origins: who may read answers from another site.
    :param name: its name in ``livefeed/static``.
    :param replacements: what is put in the place of what.
    """

    def __init__(self, origins: Origins, name: str, replacements: dict[str, str] | None = None) -> None:
        super().__init__(origins)
        text = files("livefeed").joinpath("static", name).read_text("utf-8")
        for old, new in (replacements or {}).items():
            text = text.replace(old, new)
        self._body = text.encode()
        self._type = _TYPES[name.rpartition(".")[2]]
        self._etag = f'"{version_of(self._body)}"'.encode()
        self._headers = (
            (b"ETag", self._etag),
            (b"Content-Security-Policy", _POLICY),
            (b"Cross-Origin-Opener-Policy", b"same-origin"),
            (b"Referrer-Policy", b"no-referrer"),
            (b"Cache-Control", b"no-cache"),
        )

    def render(self, request: Request) -> int:
        """IResource API."""
        if request.method not in (b"GET", b"HEAD"):
            return refuse(request, 405, "This is only read.", [(b"Allow", b"GET, HEAD")])
        if request.has_content:
            return refuse(request, 413, "A request for a page has no content.")
        if is_another(field(request, b"If-Match"), self._etag):
            return refuse(request, 412, "The page is not the one that If-Match names.")
        if matching_tag(field(request, b"If-None-Match"), [self._etag]) is not None:
            return answer(request, 304, self._headers, None)
        return answer(request, 200, (*self._headers, (b"Content-Type", self._type)), self._body)


class Root(Node):
    """Everything that is served of one feed.

    :param feed: the feed.
    :param origins: who may read it from another site.
    :param websocket: the resource at ``/name.ws``.
    :param upgrade: takes over a request for the document that asks to become a WebSocket.
    :ivar ways: how the feed can be followed over HTTP.
    :ivar parts: the parts of its document that are.
    """

    def __init__(self, feed: Feed, origins: Origins, websocket: IResource, upgrade: Callable[..., int]) -> None:
        super().__init__(origins)
        self.ways = Ways.of(feed, upgrade)
        self.parts = Parts(self.ways)
        assets = Node(origins)
        for name in ("page.js", "page.css"):
            assets.putChild(name.encode(), StaticResource(origins, name))
        self.putChild(b"", StaticResource(origins, "page.html", {"{{feed}}": feed.name}))
        self.putChild(ASSETS, assets)
        forms: dict[str, Form] = {"": "either", ".json": "document", ".sse": "events"}
        for suffix, form in forms.items():
            self.putChild(f"{feed.name}{suffix}".encode(), DocumentResource(self.ways, origins, form, self.parts))
        self.putChild(f"{feed.name}.ws".encode(), websocket)

    def let_go(self) -> None:
        """Answers and ends whatever is kept open."""
        for ways in (self.ways, *self.parts):
            ways.let_go()

    def streams(self) -> list[EventStream]:
        """Gives the streams of events that there are."""
        return [stream for ways in (self.ways, *self.parts) for stream in ways.streams.open]
