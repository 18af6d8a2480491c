"""``/-/figures.json``: watchers, deliveries and delays of the last minutes, if the operator shows them.

Rule: the content is made once for all readers. Another part samples the figures, or receives them from the parent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from livefeed.web.coded import Coded, CodedContent

if TYPE_CHECKING:
    from livefeed.web.cors import Origins
    from livefeed.web.request import Request

NO_FIGURES = b'{"interval_s":1.0,"at":null,"watchers":[],"deliveries":[],"delay_ms":[]}'
"""The content before the first sample, and in a worker without a parent."""


class FiguresBoard:
    """The present content.

    :ivar coded: the content in each coding.
    """

    __slots__ = ("coded",)

    def __init__(self) -> None:
        self.clear()

    def show(self, content: bytes) -> None:
        """Replaces the content."""
        self.coded = Coded.of(content)

    def clear(self) -> None:
        """Shows no figures."""
        self.show(NO_FIGURES)


class FiguresResource(CodedContent):
    """The figures.

    :param origins: the origins whose pages may read them.
    :param board: has the present content.
    """

    def __init__(self, origins: Origins, board: FiguresBoard) -> None:
        super().__init__(origins)
        self._board = board

    def present(self) -> Coded:
        """CodedContent API."""
        return self._board.coded

    def fields(self, request: Request) -> list[tuple[bytes, bytes]]:
        """Content API."""
        vary = b"Accept-Encoding" if self._origins.any_origin else b"Accept-Encoding, Origin"
        return [(b"Cache-Control", b"no-store"), (b"Vary", vary)]

    def shared(self, request: Request) -> list[tuple[bytes, bytes]]:
        """Content API."""
        return self.permission(request)
