"""``/feed``: the newest document, for those who poll, wait, or take events. What is asked for is decided here."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Literal

from twisted.web.server import NOT_DONE_YET

from livefeed.delivery.feed_resource import FeedResource, refuse_part
from livefeed.delivery.long_polls import preferred_wait_s
from livefeed.document.codings import choose_coding, coding_ranks, is_large
from livefeed.document.history import WORTH_IT
from livefeed.document.snapshot import IDENTITY, named_version
from livefeed.document.timestamps import timestamp
from livefeed.web.answers import answer, refuse, refuse_one_more
from livefeed.web.conditional import is_another, listed_tags, matching_tag
from livefeed.web.refusals import EVENTS, refuse_events
from livefeed.web.resources import (
    METHODS,
    KeyedFields,
    Node,
    NotFound,
    accepts,
    asks_for_websocket,
    field,
    is_preflight,
)
from livefeed.web.site import FORGET_S

if TYPE_CHECKING:
    from collections.abc import Hashable

    from twisted.web.resource import IResource

    from livefeed.delivery.delivery import Delivery
    from livefeed.document.snapshot import Representation, Snapshot
    from livefeed.feed.parts import Parts
    from livefeed.web.cors import Origins
    from livefeed.web.site import Request

STALE_IF_ERROR_S = 300
"""How long a cache may go on with what it has while livefeed does not answer; never longer than it may be shown."""

PREFLIGHT_MAX_AGE_S = 86_400
"""How long a browser may remember a preflight: no browser takes more."""

Form = Literal["document", "events", "either"]
_DEPENDS_ON: dict[Form, list[bytes]] = {
    "document": [b"Accept-Encoding"],
    "events": [],
    "either": [b"Accept-Encoding", b"Accept"],
}

_MANIPULATION = b"json-patch"
# Brotli has a dictionary of its own, which tells most where there is little text.
_PATCH_CODINGS = ("br", "zstd", "gzip")
# 0.5 MB take 3 ms each, and 15 in Brotli.
_LARGE_PATCH_CODINGS = ("zstd", "gzip")

_REQUEST_FIELDS = b"If-None-Match, Cache-Control, Prefer, A-IM, Last-Event-ID"
_RESPONSE_FIELDS = (
    b"Age, Date, ETag, Retry-After, Repr-Digest, Preference-Applied, IM, Delta-Base, "
    b"Livefeed-Version, Livefeed-Sequence, Livefeed-State, Livefeed-At, Livefeed-Age, Livefeed-Next"
)
_EXPOSED = (b"Access-Control-Expose-Headers", _RESPONSE_FIELDS)


class Busy(Node):
    """Answers what could be served, but not now.

    :param origins: who may read it from another site.
    :param form: what would be answered.
    """

    isLeaf = True

    def __init__(self, origins: Origins, form: Form) -> None:
        super().__init__(origins)
        self._form = form

    def render(self, request: Request) -> int:
        """IResource API."""
        headers = [*self.permission(request), _EXPOSED]
        if (
            request.method in (b"GET", b"HEAD")
            and not asks_for_websocket(request)
            and _wants_events(request, self._form)
        ):
            return refuse_events(request, headers)
        return refuse_part(request, headers)


class DocumentResource(FeedResource):
    """Answers ``GET``, ``HEAD`` and ``OPTIONS`` with the newest snapshot of a feed, now, later, or again and again.

    :param delivery: how the feed can be followed.
    :param origins: who may read it from another site.
    :param form: what is answered: the document, events, or whichever the field ``Accept`` asks for.
    :param parts: where what is below is found; ``None`` if nothing is.
    :param unknown: whether it stands for something of which nobody knows yet whether it is there: nothing is to be
        followed then.
    """

    def __init__(
        self,
        delivery: Delivery,
        origins: Origins,
        form: Form,
        parts: Parts[Delivery] | None = None,
        *,
        unknown: bool = False,
    ) -> None:
        super().__init__(delivery, origins, parts)
        self._unknown = unknown
        self._feed = delivery.feed
        self._form = form

    def part(self, delivery: Delivery) -> IResource:
        """FeedResource API."""
        return DocumentResource(delivery, self._origins, self._form)

    def unknown(self) -> IResource:
        """FeedResource API."""
        return DocumentResource(self._delivery, self._origins, self._form, unknown=True)

    def busy(self) -> IResource:
        """FeedResource API."""
        return Busy(self._origins, self._form)

    def render(self, request: Request) -> int:
        """IResource API."""
        if request.method == b"OPTIONS":
            return self._options(request)
        if request.method not in (b"GET", b"HEAD"):
            return refuse(request, 405, "Documents are read here.", (*self._shared(request), (b"Allow", METHODS)))
        if request.has_content:
            return refuse(request, 413, "A request for a document has no content.", self._shared(request))
        # An expired document is followed all the same, by clients that can be told of the state.
        if asks_for_websocket(request) and not self._unknown:
            return self._delivery.upgrade(request, self._delivery)
        if _wants_events(request, self._form):
            return self._events(request, refused=self._unknown)
        return self._document(request)

    def follows(self, request: Request) -> bool:
        """FeedResource API."""
        waits = bool(preferred_wait_s(field(request, b"Prefer")))
        return waits or asks_for_websocket(request) or _wants_events(request, self._form)

    def _events(self, request: Request, *, refused: bool) -> int:
        fields = [*self._shared(request), *self._state()]
        if refused or request.over_capacity or self._delivery.full():
            return refuse_events(request, fields)
        delta = request.args.get(b"delta") == [b"1"]
        return self._delivery.streams.begin(request, fields, delta=delta, have=_last_event_id(request))

    def _document(self, request: Request, *, may_wait: bool = True) -> int:
        snapshot = self._feed.snapshot
        if snapshot is None or self._feed.is_missing or self._feed.is_gone():
            return self._nothing(request)
        selected, known = _select(snapshot, field(request, b"Accept-Encoding"), field(request, b"If-None-Match"))
        if is_another(field(request, b"If-Match"), selected.etag):
            refused = (*self._shared(request), *self._state())
            return refuse(request, 412, "The document is not the one that If-Match names.", refused)
        fields = [
            *self._shared(request),
            *self._state(),
            (b"Cache-Control", self._cache_control()),
            (b"Livefeed-Version", snapshot.version.encode()),
            (b"Livefeed-Sequence", str(snapshot.sequence).encode()),
        ]
        request.select = partial(self._variant, snapshot)
        wait_s = preferred_wait_s(field(request, b"Prefer"))
        if wait_s is not None:
            may_wait = may_wait and not request.channel.has_waited
            if known is not None and wait_s > 0 and may_wait and not self._delivery.streams.going_away:
                request.select = None
                if self._delivery.full():
                    return refuse_one_more(request, [*self._shared(request), *self._state()])
                may_join = partial(self._would_wait, snapshot)
                later = partial(self._document, may_wait=False)
                self._delivery.polls.hold(request, wait_s, later, may_join, self._variant_of_waiting)
                return NOT_DONE_YET
            fields.append((b"Preference-Applied", b"wait=%d" % wait_s))
            returns = self._delivery.polls.returns
            if known is not None and wait_s > 0 and returns is not None:
                # Nothing is waited for any more, and a client that asked again at once would find nobody.
                fields.append((b"Retry-After", b"%d" % returns.retry_after_s()))
        if known is not None:
            # The tag of what the client has, so that a cache knows which of its answers is confirmed (RFC 9111, 4.3.4).
            return answer(request, 304, [*fields, (b"ETag", known)], None)
        return self._content(request, snapshot, selected, fields)

    def _variant(self, snapshot: Snapshot, values: list[bytes | None]) -> Hashable:
        """Tells what an answer with a version depends on; see :data:`livefeed.web.replay.Select`."""
        fields = KeyedFields._make(values)
        if self._form == "either" and accepts(fields.accept, EVENTS):
            return None
        selected, known = _select(snapshot, fields.accept_encoding, fields.if_none_match)
        wait_s = preferred_wait_s(fields.prefer)
        if wait_s and known is not None:
            return None
        by_delta = known is None and accepts(fields.a_im, _MANIPULATION)
        return (
            selected.coding,
            known,
            wait_s,
            fields.if_none_match if by_delta else None,
            tuple(self._origins.response_headers(fields.origin)),
            fields.persistence(),
        )

    def _variant_of_nothing(self, values: list[bytes | None]) -> Hashable:
        """Tells what an answer without a version depends on: neither on what a client has nor on what it takes."""
        fields = KeyedFields._make(values)
        if self._form == "either" and accepts(fields.accept, EVENTS):
            return None
        return tuple(self._origins.response_headers(fields.origin)), fields.persistence()

    def _variant_of_waiting(self, values: list[bytes | None]) -> Hashable:
        """Tells what the answer to a request depends on that waits for a version of which nothing is known yet."""
        fields = KeyedFields._make(values)
        wait_s = preferred_wait_s(fields.prefer)
        if not wait_s or fields.if_none_match is None or (self._form == "either" and accepts(fields.accept, EVENTS)):
            return None
        is_any = fields.if_none_match.strip(b" \t") == b"*"
        return (
            coding_ranks(fields.accept_encoding),
            b"*" if is_any else tuple(listed_tags(fields.if_none_match)),
            wait_s,
            accepts(fields.a_im, _MANIPULATION),
            tuple(self._origins.response_headers(fields.origin)),
            fields.persistence(),
        )

    def _would_wait(self, snapshot: Snapshot) -> bool:
        """Tells whether a request would wait now if it is equal to one that waited while this was the newest."""
        if self._feed.snapshot is not snapshot or self._feed.is_missing or self._feed.is_gone():
            return False
        return not (self._delivery.streams.going_away or self._delivery.full())

    def _nothing(self, request: Request) -> int:
        """Answers where there is no version that may be shown."""
        gone = self._feed.is_gone()
        if self._feed.is_missing:
            # A part that was there when the request began to wait.
            return NotFound(self._origins).render(request)
        retry_s = math.ceil(max(1.0, self._feed.next_tick_s()))
        headers = (*self._shared(request), *self._state(), (b"Retry-After", b"%d" % retry_s))
        if not self._unknown:
            # All pollers get this while the source is away: to render it for each took 272 µs in place of 29.
            request.select = self._variant_of_nothing
        if gone:
            # Not 503, which caches answer with what they have.
            return refuse(request, 410, "The document is too old to be shown. Come back later.", headers)
        return refuse(request, 503, "The document has not been pulled yet.", headers)

    def _content(
        self, request: Request, snapshot: Snapshot, selected: Representation, fields: list[tuple[bytes, bytes]]
    ) -> int:
        """Answers with the newest version, or with the patch that makes it of what the client has."""
        base, coding, patch = self._patch(request, selected)
        if patch is not None:
            whole = snapshot.representations[IDENTITY]
            delta = [
                (b"Content-Type", b"application/json-patch+json"),
                (b"IM", _MANIPULATION),
                (b"Delta-Base", base),
                (b"ETag", whole.etag),
                (b"Cache-Control", b"no-store, im"),
            ]
            if coding != IDENTITY:
                delta.append((b"Content-Encoding", coding.encode()))
            return answer(request, 226, [*fields, *delta], patch)
        fields += [
            (b"ETag", selected.etag),
            (b"Repr-Digest", selected.digest),
            (b"Content-Type", b"application/json"),
        ]
        if selected.coding != IDENTITY:
            fields.append((b"Content-Encoding", selected.coding.encode()))
        return answer(request, 200, fields, selected.data)

    def _patch(self, request: Request, selected: Representation) -> tuple[bytes, str, bytes | None]:
        """Gives the tag of what the patch is for that a client asks for (RFC 3229), its coding, and the patch.

        It is ``None`` if there is none. The coding comes after the manipulation (RFC 3229, 10.5.2), and is chosen like
        the document's: a patch is compared, as it is sent, with the document as it would be sent. Only the latest
        version is tried, since each patch takes milliseconds: a head has room for the tags of 20.
        """
        if accepts(field(request, b"A-IM"), _MANIPULATION):
            tags = listed_tags(field(request, b"If-None-Match"))
            # Of two tags of one version the first counts.
            versions = {tag.strip(b'"').partition(b"-")[0].decode("latin-1"): tag for tag in reversed(tags)}
            latest = self._feed.history.latest(versions)
            patch = self._feed.history.patch(latest)
            if latest is not None and patch is not None:
                codings = _LARGE_PATCH_CODINGS if is_large(patch) else _PATCH_CODINGS
                coding = choose_coding(field(request, b"Accept-Encoding"), codings)
                coding, patch = self._feed.history.coded_patch(latest, coding)
                if len(patch) < WORTH_IT * len(selected.data):
                    return versions[latest], coding, patch
        return b"", IDENTITY, None

    def _options(self, request: Request) -> int:
        headers = [*self._shared(request), (b"Allow", METHODS)]
        if is_preflight(request):
            headers += [
                (b"Access-Control-Allow-Methods", METHODS),
                (b"Access-Control-Allow-Headers", _REQUEST_FIELDS),
                (b"Access-Control-Max-Age", b"%d" % PREFLIGHT_MAX_AGE_S),
            ]
        return answer(request, 204, headers, None)

    def _shared(self, request: Request) -> list[tuple[bytes, bytes]]:
        """Gives what each answer has: the permission to read it, and on which request fields it depends."""
        cors = self._origins.response_headers(field(request, b"Origin"))
        depends_on = [*_DEPENDS_ON[self._form], *([] if self._origins.any_origin else [b"Origin"])]
        vary = [(b"Vary", b", ".join(depends_on))] if depends_on else []
        return [*cors, _EXPOSED, *vary]

    def _state(self) -> list[tuple[bytes, bytes]]:
        """Gives how honest the feed is now, and how old its data is."""
        headers = [
            (b"Livefeed-State", self._feed.state.value.encode()),
            (b"Livefeed-Next", b"%d" % math.ceil(self._feed.next_tick_s() * 1000)),
        ]
        if self._feed.snapshot is not None:
            headers += [
                (b"Livefeed-At", timestamp(self._feed.confirmed_at).encode()),
                (b"Livefeed-Age", b"%d" % self._feed.age_s()),
            ]
        return headers

    def _cache_control(self) -> bytes:
        """Gives how long this may be reused: until the next tick, in whole seconds and at least one.

        Zero would be more exact at one tick a second, but shared caches then keep nothing, and the load that a cache
        is there to take would come through. But nothing may be kept for longer than it may be shown.
        """
        # This may be answered again for a moment.
        left_s = self._feed.expires_in_s() - FORGET_S
        fresh_s = math.floor(max(0.0, min(math.ceil(max(1.0, self._feed.next_tick_s())), left_s)))
        more_s = max(0.0, left_s - fresh_s)
        return b"public, max-age=%d, stale-while-revalidate=%d, stale-if-error=%d" % (
            fresh_s,
            min(math.ceil(self._feed.interval_s), more_s),
            min(STALE_IF_ERROR_S, more_s),
        )


def _select(
    snapshot: Snapshot, accept_encoding: bytes | None, if_none_match: bytes | None
) -> tuple[Representation, bytes | None]:
    """Gives the representation that a client is answered with, and the tag of what it has already, if it has that.

    :param accept_encoding: the field's value; ``None`` if it was not sent. So is the other.
    """
    coded = [coding for coding in snapshot.representations if coding != IDENTITY]
    selected = snapshot.representations[choose_coding(accept_encoding, coded)]
    # Also the tags of codings that are not there yet, and were for another process or before a part was forgotten.
    return selected, matching_tag(if_none_match, [selected.etag, *snapshot.etags()])


def _wants_events(request: Request, form: Form) -> bool:
    return form == "events" or (form == "either" and accepts(field(request, b"Accept"), EVENTS))


def _last_event_id(request: Request) -> str | None:
    """Gives the version that a client has, by the field, or by the query, since a page can set no field."""
    by_field = request.requestHeaders.getRawHeaders(b"Last-Event-ID")
    return named_version(by_field or request.args.get(b"last-event-id"))
