"""``/-/desk/``: the page of the desk, on which operators see what is shown and what waits, and decide.

Rule: its files are the same on every machine and say nothing about this one, so everybody who reaches the port may load
them. All that they show comes from requests that have access by themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from livefeed.admin.reports import NO_ORIGIN, NO_STORE
from livefeed.delivery.pages import ASSETS, POLICY, PageResource, text_of
from livefeed.web.answers import answer
from livefeed.web.resources import Node

if TYPE_CHECKING:
    from twisted.web.resource import IResource

    from livefeed.web.request import Request

MODULES = (
    "desk/main",
    "desk/access",
    "desk/actions",
    "desk/commands",
    "desk/comparison",
    "desk/confirming",
    "desk/details",
    "desk/editing",
    "desk/feeds",
    "desk/leaves",
    "desk/login",
    "desk/picker",
    "desk/preview",
    "desk/strings",
    "desk/timed",
    "desk/times",
    "page/changes",
    "page/dom",
    "page/exact",
    "page/pointers",
    "page/storage",
    "page/strings",
    "page/theme",
    "page/version",
)
"""The modules of the page, in ``livefeed/static``. Those that the public page has as well are not copied."""

FILES = ("page/early.js", "page/page.css", "desk/desk.css", *(f"{name}.js" for name in MODULES))
"""All files that the page loads, below ``/-/desk/-/``."""

_PRELOAD = "".join(f'<link rel="modulepreload" href="-/{name}.js">\n' for name in MODULES)

_FIELDS = [
    (b"Content-Security-Policy", POLICY),
    (b"Cross-Origin-Opener-Policy", b"same-origin"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
    (b"Referrer-Policy", b"no-referrer"),
    NO_STORE,
    (b"Vary", b"Accept-Encoding"),
]


def is_page_file(segments: list[bytes] | None) -> bool:
    """Tells whether the segments of a path behind ``/-/`` lead to the page or one of its files, and to nothing else."""
    return segments is not None and segments[:1] == [b"desk"] and (len(segments) == 1 or segments[1] in (b"", ASSETS))


class DeskPage(Node):
    """``/-/desk/`` and the files that it loads.

    :param reports: has the reports of the feeds, which are below the same path by their names: no feed is called ``-``.
    """

    def __init__(self, reports: IResource) -> None:
        super().__init__(NO_ORIGIN)
        self._reports = reports
        texts = {f"{{{{{name}}}}}": text_of("desk/strings.js", name) for name in ("language", "noscript")}
        self.putChild(b"", _File("desk.html", {"{{preload}}": _PRELOAD, **texts}))
        assets = Node(NO_ORIGIN)
        self.putChild(ASSETS, assets)
        folders: dict[str, Node] = {}
        for path in FILES:
            folder, _, name = path.partition("/")
            if folder not in folders:
                folders[folder] = Node(NO_ORIGIN)
                assets.putChild(folder.encode(), folders[folder])
            folders[folder].putChild(name.encode(), _File(path))

    def getChild(self, path: bytes, request: Request) -> IResource:
        """IResource API."""
        found: IResource = self._reports.getChildWithDefault(path, request)
        return found

    def render(self, request: Request) -> int:
        """IResource API. Without the slash, relative addresses on the page would lead elsewhere."""
        return answer(request, 308, [(b"Location", b"desk/"), NO_STORE])


class _File(PageResource):
    """The page, or a file that it loads."""

    def __init__(self, name: str, replacements: dict[str, str] | None = None) -> None:
        super().__init__(NO_ORIGIN, name, replacements)

    def fields(self, request: Request) -> list[tuple[bytes, bytes]]:
        """Content API."""
        return _FIELDS
