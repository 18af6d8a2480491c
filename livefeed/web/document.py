"""``/feed``: the newest document, for those who poll."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from livefeed.encodings import choose_coding
from livefeed.snapshot import IDENTITY
from livefeed.web.answers import answer, refuse
from livefeed.web.conditional import matching_tag
from livefeed.web.resource import Node, asks_for_websocket, field

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.feed import Feed
    from livefeed.web.origins import Origins
    from livefeed.web.site import Request

METHODS = b"GET, HEAD, OPTIONS"
STALE_IF_ERROR_S = 300
"""How long a cache may go on with what it has while livefeed does not answer."""

PREFLIGHT_MAX_AGE_S = 86_400
"""How long a browser may remember a preflight: no browser takes more."""

_REQUEST_FIELDS = b"If-None-Match, Cache-Control"
_RESPONSE_FIELDS = (
    b"ETag, Retry-After, Repr-Digest, "
    b"Livefeed-Version, Livefeed-Sequence, Livefeed-State, Livefeed-At, Livefeed-Age, Livefeed-Next"
)


class DocumentResource(Node):
    """Answers ``GET``, ``HEAD`` and ``OPTIONS`` with the newest snapshot of a feed.

    :param feed: the feed.
    :param origins: who may read it from another site.
    :param upgrade: takes over a request that asks to become a WebSocket.
    """

    def __init__(self, feed: Feed, origins: Origins, upgrade: Callable[[Request], int]) -> None:
        super().__init__(origins)
        self._feed = feed
        self._upgrade = upgrade

    def render(self, request: Request) -> int:
        """IResource API."""
        if request.method == b"OPTIONS":
            return self._options(request)
        if request.method not in (b"GET", b"HEAD"):
            return refuse(request, 405, "Documents are read here.", (*self._shared(request), (b"Allow", METHODS)))
        if request.has_content:
            return refuse(request, 413, "A request for a document has no content.", self._shared(request))
        if asks_for_websocket(request):
            return self._upgrade(request)
        return self._document(request)

    def _document(self, request: Request) -> int:
        snapshot = self._feed.snapshot
        if snapshot is None:
            retry_s = math.ceil(max(1.0, self._feed.next_tick_s()))
            headers = (*self._shared(request), *self._state(), (b"Retry-After", b"%d" % retry_s))
            return refuse(request, 503, "The document has not been pulled yet.", headers)
        coded = [coding for coding in snapshot.representations if coding != IDENTITY]
        selected = snapshot.representations[choose_coding(field(request, b"Accept-Encoding"), coded)]
        fields = [
            *self._shared(request),
            *self._state(),
            (b"Cache-Control", self._cache_control()),
            (b"Livefeed-Version", snapshot.version.encode()),
            (b"Livefeed-Sequence", str(snapshot.sequence).encode()),
        ]
        request.replayable = True
        etags = [selected.etag, *(other.etag for other in snapshot.representations.values() if other is not selected)]
        known = matching_tag(field(request, b"If-None-Match"), etags)
        if known is not None:
            # The tag of what the client has, so that a cache knows which of its answers is confirmed (RFC 9111, 4.3.4).
            return answer(request, 304, [*fields, (b"ETag", known)], None)
        fields += [
            (b"ETag", selected.etag),
            (b"Repr-Digest", selected.digest),
            (b"Content-Type", b"application/json"),
        ]
        if selected.coding != IDENTITY:
            fields.append((b"Content-Encoding", selected.coding.encode()))
        return answer(request, 200, fields, selected.data)

    def _options(self, request: Request) -> int:
        headers = [*self._shared(request), (b"Allow", METHODS)]
        if request.requestHeaders.hasHeader(b"Access-Control-Request-Method"):
            headers += [
                (b"Access-Control-Allow-Methods", METHODS),
                (b"Access-Control-Allow-Headers", _REQUEST_FIELDS),
                (b"Access-Control-Max-Age", b"%d" % PREFLIGHT_MAX_AGE_S),
            ]
        return answer(request, 204, headers, None)

    def _shared(self, request: Request) -> list[tuple[bytes, bytes]]:
        """Gives what each answer has: the permission to read it, and on which request fields it depends."""
        cors = self._origins.response_headers(field(request, b"Origin"))
        vary = b"Accept-Encoding" if self._origins.any_origin else b"Accept-Encoding, Origin"
        return [*cors, (b"Access-Control-Expose-Headers", _RESPONSE_FIELDS), (b"Vary", vary)]

    def _state(self) -> list[tuple[bytes, bytes]]:
        """Gives how honest the feed is now, and how old its data is."""
        headers = [
            (b"Livefeed-State", self._feed.state.value.encode()),
            (b"Livefeed-Next", b"%d" % math.ceil(self._feed.next_tick_s() * 1000)),
        ]
        if self._feed.snapshot is not None:
            at = datetime.fromtimestamp(self._feed.confirmed_at, UTC).isoformat(timespec="milliseconds")
            headers += [
                (b"Livefeed-At", at.replace("+00:00", "Z").encode()),
                (b"Livefeed-Age", b"%d" % self._feed.age_s()),
            ]
        return headers

    def _cache_control(self) -> bytes:
        """Gives how long this may be reused: until the next tick, in whole seconds and at least one.

        Zero would be more exact at one tick a second, but shared caches then keep nothing, and the load that a cache
        is there to take would come through.
        """
        fresh_s = math.ceil(max(1.0, self._feed.next_tick_s()))
        tick_s = math.ceil(self._feed.interval_s)
        return b"public, max-age=%d, stale-while-revalidate=%d, stale-if-error=%d" % (
            fresh_s,
            tick_s,
            STALE_IF_ERROR_S,
        )
