"""``/-/keys``: the public keys by which clients verify the statements of this server, as a set of JSON Web Keys.

Rule: a set is published before its first key signs, and an earlier key stays in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from livefeed.web.coded import Coded, CodedContent

if TYPE_CHECKING:
    from livefeed.web.cors import Origins
    from livefeed.web.request import Request

MAX_AGE_S = 300
"""Seconds for which a cache may keep the set. A new key should be announced for longer than that before it signs."""


class KeysResource(CodedContent):
    """The set of keys. Every page may read it, since it is the same for all feeds, and public.

    :param origins: the origins whose pages may read the answer if there is nothing below this path.
    :param content: the set as JSON.
    """

    content_type = b"application/jwk-set+json"

    def __init__(self, origins: Origins, content: bytes) -> None:
        super().__init__(origins)
        self._coded = Coded.of(content)
        self._fields = [
            (b"Access-Control-Allow-Origin", b"*"),
            (b"Cross-Origin-Resource-Policy", b"cross-origin"),
            (b"Vary", b"Accept-Encoding"),
            (b"Cache-Control", b"public, max-age=%d" % MAX_AGE_S),
        ]

    def present(self) -> Coded:
        """CodedContent API."""
        return self._coded

    def fields(self, request: Request) -> list[tuple[bytes, bytes]]:
        """Content API."""
        return self._fields
