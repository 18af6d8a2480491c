"""The base of a feed's resources: access to the feed, and the parts of its document below it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from livefeed.delivery.directory import NO_PART
from livefeed.delivery.guard import refuse_denied
from livefeed.document.codings import CODINGS
from livefeed.document.snapshot import IDENTITY
from livefeed.feed.parts import UNUSED_S, TooManyPartsError
from livefeed.feed.state import State
from livefeed.transport.addresses import peer_of
from livefeed.web import problems
from livefeed.web.answers import refuse, retry_after
from livefeed.web.negotiation import choose_coding
from livefeed.web.resources import Node, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterable

    from twisted.web.resource import IResource

    from livefeed.delivery.delivery import Delivery
    from livefeed.delivery.guard import Denial, Guard
    from livefeed.delivery.refused_origins import RefusedOrigins
    from livefeed.feed.parts import Parts
    from livefeed.web.cors import Origins
    from livefeed.web.request import Request

_NO_ROOM = "Too many parts of the document are followed already."


def refuse_part(request: Request, headers: Iterable[tuple[bytes, bytes]] = ()) -> int:
    """Answers a request for a part that there is no room for."""
    # A part is kept for this time after its last request: by then there may be room.
    return refuse(request, problems.TOO_MANY_PARTS, _NO_ROOM, [*headers, retry_after(UNUSED_S)])


@dataclass(frozen=True, slots=True)
class Access:
    """The declaration of who may read a feed.

    No answer of a protected feed is stored for other requests, and no two requests for it wait together. A public feed
    has no access fields: ``Cookie`` differs for each browser, and answers that depended on it would have to be rendered
    for each, which costs three times as much.

    :ivar origins: the origins whose pages may read the answers.
    :ivar fields: the names of the request fields that decide on access, such as ``Authorization``; empty for a public
        feed.
    :ivar guard: judges each request; ``None`` for a public feed.
    :ivar refused: logs the origins whose pages may not; ``None`` for none.
    """

    origins: Origins
    fields: tuple[bytes, ...] = ()
    guard: Guard | None = None
    refused: RefusedOrigins | None = None

    def note_origin(self, request: Request) -> None:
        """Has the log name the origin of a page that may not read the answer."""
        origin = request.fields.keyed.origin
        if origin is None or self.refused is None or self.origins.lists(origin):
            return
        # Without making objects of all fields, as getHeader does.
        if not self.origins.allows_handshake(origin, next(iter(request.lines_of(b"Host")), b"")):
            self.refused.note(origin)

    def denial(self, request: Request) -> Denial | None:
        """Gives the reason to refuse a request; ``None`` if it may be answered.

        A browser asks for the permission of a page's request before it sends the token.
        """
        if self.guard is None or request.fields.is_preflight:
            return None
        request.access_fields = self.fields
        return self.guard.denial(request)

    def refuse(self, request: Request, denial: Denial) -> int:
        """Answers a request that is denied; gives what ``render`` returns."""
        cors = self.origins.response_headers(request.fields.keyed.origin)
        depends_on = self.fields if self.origins.any_origin else (*self.fields, b"Origin")
        exposed = (b"Access-Control-Expose-Headers", b"Date, Retry-After, WWW-Authenticate")
        return refuse_denied(request, denial, [*cors, exposed, (b"Vary", b", ".join(depends_on))])


class Denied(Node):
    """Answers a request for a part of a protected feed that is denied, whether or not there is such a part.

    :param access: the declaration of who may read the feed.
    :param denial: the reason.
    """

    isLeaf = True

    def __init__(self, access: Access, denial: Denial) -> None:
        super().__init__(access.origins)
        self._access = access
        self._denial = denial

    def render(self, request: Request) -> int:
        """IResource API."""
        return self._access.refuse(request, self._denial)


class MissingPart(NotFound):
    """Answers the path of a part that the document does not have."""

    nothing = NO_PART


class FeedResource(Node):
    """A resource of a feed, with the parts of its document below.

    :param delivery: the ways in which the feed can be followed.
    :param access: the declaration of who may read the answers.
    :param parts: the parts of the document, which are below this resource; ``None`` if nothing is.
    """

    def __init__(self, delivery: Delivery, access: Access, parts: Parts[Delivery] | None = None) -> None:
        super().__init__(access.origins)
        self._delivery = delivery
        self._access = access
        self._parts = parts

    def render(self, request: Request) -> int:
        """IResource API."""
        request.access_fields = self._access.fields
        self._access.note_origin(request)
        if self._access.guard is not None:
            denial = self._access.denial(request)
            if denial is not None:
                return self._access.refuse(request, denial)
        return self.respond(request)

    def respond(self, request: Request) -> int:
        """Answers a request, now or later; gives what ``render`` returns."""
        raise NotImplementedError

    def getChild(self, path: bytes, request: Request) -> IResource:
        """IResource API. Gives the resource of a part."""
        if self._parts is None:
            return super().getChild(path, request)
        if self._access.guard is not None:
            # First of all: whether a part exists is known to those alone that may have it.
            denial = self._access.denial(request)
            if denial is not None:
                request.postpath = []
                return Denied(self._access, denial)
        segments = [path, *(request.postpath or [])]
        request.postpath = []
        # A page sees a 404 only if the preflight was granted, so a preflight is granted for any part.
        # Nobody learns by a 404 which parts a document has that is withdrawn.
        feed = self._delivery.feed
        if feed.snapshot is None or feed.state is State.WITHDRAWN or request.fields.is_preflight:
            return self.unknown()
        # An answer that is rendered for several requests belongs to no address, and does not follow the part.
        has_waited = request.channel.has_waited
        peer = peer_of(request.getClientAddress()) if self.follows(request) and not has_waited else None
        # A WebSocket has no content coding.
        coded = self.is_content and choose_coding(request.fields.codings, CODINGS) != IDENTITY
        try:
            part = self._parts.find(segments, peer, coded=coded, has_waited=has_waited)
        except TooManyPartsError:
            return self.busy()
        return MissingPart(self._origins) if part is None else self.part(part)

    is_content = True
    """Whether the answer has content, which may be coded."""

    def follows(self, request: Request) -> bool:
        """Tells whether a request follows the feed: by a wait, by events or by a WebSocket."""
        raise NotImplementedError

    def part(self, delivery: Delivery) -> IResource:
        """Gives the resource of a part."""
        raise NotImplementedError

    def unknown(self) -> IResource:
        """Gives the resource of a part while nobody knows, or nobody is told, if the part exists."""
        raise NotImplementedError

    def busy(self) -> IResource:
        """Gives the resource of a part that there is no room for."""
        raise NotImplementedError
