"""``/-/livefeed.js`` and the modules that it loads: the client for pages, also for those of other origins."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from livefeed.document.snapshot import IDENTITY, version_of
from livefeed.web.coded import Coded, CodedContent

if TYPE_CHECKING:
    from livefeed.web.cors import Origins
    from livefeed.web.request import Request

NAMES = (
    "livefeed.js",
    "livefeed.classic.js",
    "livefeed.later.js",
    "livefeed.tabs.js",
    "livefeed.values.js",
    "livefeed.token.js",
    "livefeed.verify.js",
)
"""The files of ``livefeed/static`` that are built from ``clients/js/src``."""

_HASH_DIGITS = 8
"""The digits of the hash in the name of a file that never changes. ``tests/clients/build.mjs`` has the same number."""


def lasting_name(name: str) -> str:
    """Gives the name under which a script never changes, such as ``livefeed.01234567.js``."""
    stem, _, form = name.rpartition(".")
    return f"{stem}.{version_of(_coded(name).bodies[IDENTITY])[:_HASH_DIGITS]}.{form}"


def scripts(origins: Origins) -> dict[str, ScriptResource]:
    """Makes the resources of all scripts, by their names below ``/-/``.

    :param origins: the origins whose pages may read the answer if there is nothing below these paths.
    """
    resources = {name: ScriptResource(origins, name, lasts=False) for name in NAMES}
    return resources | {lasting_name(name): ScriptResource(origins, name, lasts=True) for name in NAMES}


@cache
def _coded(name: str) -> Coded:
    """Reads a script. It is kept, as in :mod:`livefeed.delivery.pages`."""
    return Coded.of(files("livefeed").joinpath("static", name).read_bytes())


class ScriptResource(CodedContent):
    """A script. Every page may load it.

    :param origins: the origins whose pages may read the answer if there is nothing below this path.
    :param name: one of :data:`NAMES`.
    :param lasts: whether the content at this path never changes, so that caches may keep it for ever.
    """

    content_type = b"text/javascript; charset=utf-8"

    def __init__(self, origins: Origins, name: str, *, lasts: bool) -> None:
        super().__init__(origins)
        self._coded = _coded(name)
        self._fields = [
            (b"Access-Control-Allow-Origin", b"*"),
            (b"Cross-Origin-Resource-Policy", b"cross-origin"),
            (b"Vary", b"Accept-Encoding"),
            (b"Cache-Control", b"public, max-age=31536000, immutable" if lasts else b"no-cache"),
            (b"Content-Location", b"/-/" + lasting_name(name).encode()),
        ]

    def present(self) -> Coded:
        """CodedContent API."""
        return self._coded

    def fields(self, request: Request) -> list[tuple[bytes, bytes]]:
        """Content API."""
        return self._fields
