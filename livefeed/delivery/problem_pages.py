"""``/-/problems/``: the pages that the member ``type`` of a problem leads to, for people with a browser or with curl.

Rule: a page is made of the table of types alone, so it says the same on every machine, and nothing that a client sent
is in it. No token is needed to read it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from html import escape
from typing import TYPE_CHECKING, Literal, TypeAlias

from livefeed.web.answers import answer
from livefeed.web.coded import CODINGS, Coded, CodedContent
from livefeed.web.negotiation import KeyedFields, choose_coding, coding_weights, first_accepted
from livefeed.web.operator_problems import ALL
from livefeed.web.problem_type import FOLDER
from livefeed.web.resources import Node, NotFound

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from twisted.web.resource import IResource

    from livefeed.web.cors import Origins
    from livefeed.web.problem_type import ProblemType
    from livefeed.web.request import Request

SEGMENT = FOLDER.split("/")[2].encode()
"""The segment of the path behind ``/-/``."""

MAX_AGE_S = 86_400
"""Seconds for which a cache may keep a page. It changes with a release at most."""

Form: TypeAlias = Literal["html", "text"]
_HTML, _TEXT = b"text/html", b"text/plain"
_MEDIA_TYPES: dict[Form, bytes] = {"html": b"text/html; charset=utf-8", "text": b"text/plain; charset=utf-8"}

_STYLE = (
    ":root{color-scheme:light dark}"
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:42rem;margin:3rem auto;padding:0 1rem}"
    "h1{font-size:1.5rem;line-height:1.2}h2{font-size:1.1rem;margin:1.5rem 0 .25rem}p{margin:.25rem 0}"
    "code{font-family:ui-monospace,monospace;font-size:.95em}li{margin:.25rem 0}"
)
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest())
_POLICY = (
    b"default-src 'none'; style-src 'sha256-%b'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'" % _HASH
)
_SHARED = ((b"Access-Control-Allow-Origin", b"*"), (b"Cross-Origin-Resource-Policy", b"cross-origin"))
_FIELDS = (
    (b"Content-Security-Policy", _POLICY),
    (b"Referrer-Policy", b"no-referrer"),
    (b"Cache-Control", b"public, max-age=%d" % MAX_AGE_S),
    (b"Vary", b"Accept, Accept-Encoding"),
)

_BY_NAME = {each.name.encode(): each for each in ALL}
_CODE = re.compile(r"`([^`]*)`")


class ProblemPages(Node):
    """The folder of the pages: the list of all types, and a page for each.

    :param origins: the origins whose pages may read the answer if there is nothing at a path.
    :param is_shared: whether the pages of every origin may read the pages.
    """

    nothing = "There is no problem by this name; /-/problems/ lists all of them."

    def __init__(self, origins: Origins, *, is_shared: bool) -> None:
        super().__init__(origins)
        self._fields = [*(_SHARED if is_shared else ()), *_FIELDS]

    def getChild(self, path: bytes, request: Request) -> IResource:
        """IResource API. The resource is made for the request: few are asked for, and all resources are often made."""
        if not path:
            return ProblemPage(self._origins, None, self._fields)
        kind = _BY_NAME.get(path)
        return UnknownProblem(self._origins) if kind is None else ProblemPage(self._origins, kind, self._fields)

    def render(self, request: Request) -> int:
        """IResource API. Without the slash, relative addresses in the list would lead elsewhere."""
        fields = [(b"Location", SEGMENT + b"/"), (b"Cache-Control", b"no-store"), *self.permission(request)]
        return answer(request, 308, fields)


class UnknownProblem(NotFound):
    """Answers a name that no type has."""

    nothing = ProblemPages.nothing


class ProblemPage(CodedContent):
    """The page of a type, or the list of all: HTML for clients that accept it, and plain text for others.

    :param origins: the origins whose pages may read the answer if there is nothing below this path.
    :param kind: the type; ``None`` for the list.
    :param fields: the fields of an answer with the page.
    """

    def __init__(self, origins: Origins, kind: ProblemType | None, fields: list[tuple[bytes, bytes]]) -> None:
        super().__init__(origins)
        self._forms = _forms_of(kind)
        self._fields = fields

    def media_type(self, request: Request) -> bytes:
        """Content API."""
        return _MEDIA_TYPES[form_of(request.fields.keyed.accept)]

    def coded(self, request: Request) -> tuple[bytes, str]:
        """Content API."""
        coding = choose_coding(request.fields.codings, CODINGS)
        return self._forms[form_of(request.fields.keyed.accept)].bodies[coding], coding

    def fields(self, request: Request) -> list[tuple[bytes, bytes]]:
        """Content API."""
        return self._fields

    def _variant(self, etag: bytes, values: list[bytes | None]) -> Hashable:
        fields = KeyedFields._make(values)
        form, coding = form_of(fields.accept), choose_coding(coding_weights(fields.accept_encoding), CODINGS)
        return form, coding, super(CodedContent, self)._variant(self._forms[form].tags[coding], values)


def form_of(accept: bytes | None) -> Form:
    """Gives the form of a page for a client: browsers name HTML, and curl names nothing.

    :param accept: the field ``Accept``; ``None`` if it was not sent.
    """
    return "html" if first_accepted(accept, (_HTML, _TEXT)) == _HTML else "text"


def is_problem_page(segments: list[bytes] | None) -> bool:
    """Tells whether the segments of a path behind ``/-/`` lead to one of these pages, or to none below their folder."""
    return segments is not None and segments[:1] == [SEGMENT]


@cache
def _forms_of(kind: ProblemType | None) -> dict[Form, Coded]:
    """Gives the forms of a page in all codings. They are made when they are first asked for, and kept."""
    if kind is None:
        return {"html": Coded.of(_list_html().encode()), "text": Coded.of(_list_text().encode())}
    return {"html": Coded.of(_page_html(kind).encode()), "text": Coded.of(kind.as_text().encode())}


def _html(text: str) -> str:
    return _CODE.sub(r"<code>\1</code>", escape(text))


def _document(title: str, lines: Iterable[str]) -> str:
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width,initial-scale=1">',
            f"<title>{escape(title)} - livefeed</title><style>{_STYLE}</style></head><body>",
            *lines,
            "</body></html>\n",
        ]
    )


def _page_html(kind: ProblemType) -> str:
    sections = [f"<h2>{title}</h2>\n<p>{_html(text)}</p>" for title, text in kind.sections()]
    type_of = f"<p>Status {kind.status}, type <code>{kind.path}</code>, of {escape(kind.where)}</p>"
    return _document(
        kind.title, [f"<h1>{escape(kind.title)}</h1>", type_of, *sections, '<p><a href="./">All problems</a></p>']
    )


def _list_html() -> str:
    items = [f'<li>{each.status} <a href="{each.name}">{escape(each.title)}</a></li>' for each in ALL]
    about = "<p>The types of the errors (RFC 9457) of this server.</p>"
    return _document("Problems", ["<h1>Problems</h1>", about, "<ul>", *items, "</ul>"])


def _list_text() -> str:
    return "".join(f"{each.status} {each.path}  {each.title}\n" for each in ALL)
