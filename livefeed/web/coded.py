"""Small content that is compressed once, and sent in the coding that a client prefers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from livefeed.document.codings import compress_in
from livefeed.document.snapshot import IDENTITY, version_of
from livefeed.web.negotiation import KeyedFields, choose_coding, coding_weights
from livefeed.web.resources import Content

if TYPE_CHECKING:
    from collections.abc import Hashable

    from livefeed.web.request import Request

CODINGS = ("br", "gzip")

KEPT = 256
"""The number of files that are kept with their codings: the pages of 64 feeds, and all that these load."""


@dataclass(frozen=True, slots=True)
class Coded:
    """Some bytes in each content coding.

    :ivar bodies: the bytes, by coding.
    :ivar tags: their entity tags, by coding.
    """

    bodies: dict[str, bytes]
    tags: dict[str, bytes]

    @classmethod
    def of(cls, data: bytes) -> Coded:
        """Compresses bytes. 3 KB of numbers take half a millisecond."""
        bodies = {coding: compress_in(coding, data) for coding in CODINGS} | {IDENTITY: data}
        return cls(bodies, {coding: b'"%s"' % version_of(body).encode() for coding, body in bodies.items()})


@lru_cache(maxsize=KEPT)
def lasting(data: bytes) -> Coded:
    """Gives the codings of a file. They are kept, since all resources are made anew when a feed comes or goes."""
    return Coded.of(data)


class CodedContent(Content):
    """Content in several codings. Its fields have ``Vary: Accept-Encoding``."""

    def present(self) -> Coded:
        """Gives the present content."""
        raise NotImplementedError

    def coded(self, request: Request) -> tuple[bytes, str]:
        """Content API."""
        coding = choose_coding(request.fields.codings, CODINGS)
        return self.present().bodies[coding], coding

    def _variant(self, etag: bytes, values: list[bytes | None]) -> Hashable:
        coding = choose_coding(coding_weights(KeyedFields._make(values).accept_encoding), CODINGS)
        return coding, super()._variant(self.present().tags[coding], values)
