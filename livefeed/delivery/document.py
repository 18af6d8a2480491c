"""``/feed``: the newest document. This file decides whether a request is answered now, later, or with events."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from twisted.web.server import NOT_DONE_YET

from livefeed.delivery.feed_resource import FeedResource, MissingPart, refuse_part
from livefeed.delivery.items import Visit
from livefeed.document.codings import is_large
from livefeed.document.history import WORTH_IT, DeltaForm
from livefeed.document.overlaid_pointers import field_value
from livefeed.document.snapshot import IDENTITY, named_version
from livefeed.document.timestamps import timestamp
from livefeed.feed.state import State
from livefeed.web.answers import (
    answer,
    refuse,
    refuse_expired,
    refuse_not_pulled,
    refuse_one_more,
    refuse_withdrawn,
    whole_seconds,
)
from livefeed.web.conditional import is_another, listed_tags, matching_tag
from livefeed.web.negotiation import (
    JSON_PATCH,
    SPLICES,
    KeyedFields,
    choose_coding,
    coding_ranks,
    coding_weights,
    preferred_coding,
    preferred_wait_s,
)
from livefeed.web.prepared import Prepared
from livefeed.web.refusals import refuse_events
from livefeed.web.resources import METHODS, Node
from livefeed.web.site import FORGET_S

if TYPE_CHECKING:
    from collections.abc import Container, Hashable, Iterator, Sequence

    from twisted.web.resource import IResource

    from livefeed.delivery.delivery import Delivery
    from livefeed.delivery.feed_resource import Access
    from livefeed.document.snapshot import Representation, Snapshot
    from livefeed.feed.parts import Parts
    from livefeed.web.cors import Origins
    from livefeed.web.negotiation import RequestFields
    from livefeed.web.request import Request

STALE_IF_ERROR_S = 300
"""Seconds for which a cache may use its copy while livefeed does not answer, unless the document expires before."""

PREFLIGHT_MAX_AGE_S = 86_400
"""Seconds for which a browser may remember a preflight. No browser accepts more."""

_PLAIN = "".join(chr(each) for each in range(0x20, 0x7F) if chr(each) not in '"\\%')
"""The characters of a reason that are not percent-encoded in a field."""

Form = Literal["document", "events", "either"]
_DEPENDS_ON: dict[Form, list[bytes]] = {
    "document": [b"Accept-Encoding"],
    "events": [],
    "either": [b"Accept-Encoding", b"Accept"],
}

_DELTAS = {
    JSON_PATCH: (DeltaForm.PATCH, b"application/json-patch+json"),
    SPLICES: (DeltaForm.SPLICES, b"application/vnd.livefeed.splices+json"),
}
"""The form and the media type of the delta that each instance manipulation stands for."""

# Brotli has a dictionary of its own, which helps most with short texts.
_DELTA_CODINGS = ("br", "zstd", "gzip")
# 0.5 MB take 3 ms in each of these, and 15 ms in Brotli.
_LARGE_DELTA_CODINGS = ("zstd", "gzip")

_REQUEST_FIELDS = b"If-None-Match, Cache-Control, Prefer, A-IM, Last-Event-ID"
_RESPONSE_FIELDS = (
    b"Age, Date, ETag, Retry-After, Repr-Digest, Preference-Applied, IM, Delta-Base, "
    b"Livefeed-Version, Livefeed-Sequence, Livefeed-State, Livefeed-At, Livefeed-Age, Livefeed-Next, Livefeed-Lifetime"
    b", Livefeed-Waiting, Livefeed-Reason, Livefeed-Overlay"
)
_EXPOSED = (b"Access-Control-Expose-Headers", _RESPONSE_FIELDS)
_EXPOSED_SIGNED = (_EXPOSED[0], _RESPONSE_FIELDS + b", Livefeed-Statement, Signature-Input, Signature")


class Busy(Node):
    """Refuses a part of the document that there is no room for.

    :param origins: the origins whose pages may read the answer.
    :param form: the form of the answer that the part would have.
    """

    isLeaf = True

    def __init__(self, origins: Origins, form: Form) -> None:
        super().__init__(origins)
        self._form = form

    def render(self, request: Request) -> int:
        """IResource API."""
        headers = [*self.permission(request), _EXPOSED]
        fields = request.fields
        if request.method in (b"GET", b"HEAD") and not fields.asks_for_websocket and _wants_events(self._form, fields):
            return refuse_events(request, headers)
        return refuse_part(request, headers)


class DocumentResource(FeedResource):
    """Answers ``GET``, ``HEAD`` and ``OPTIONS`` with the newest snapshot of a feed, now or later, or with events.

    :param delivery: the ways in which the feed can be followed.
    :param access: the declaration of who may read the answers.
    :param form: the form of the answer: the document, events, or the one that the field ``Accept`` asks for.
    :param parts: the parts of the document, which are below this resource; ``None`` if nothing is.
    :param unknown: whether nobody knows, or nobody is told, if the part exists, so that it cannot be followed.
    """

    def __init__(
        self,
        delivery: Delivery,
        access: Access,
        form: Form,
        parts: Parts[Delivery] | None = None,
        *,
        unknown: bool = False,
    ) -> None:
        super().__init__(delivery, access, parts)
        self._unknown = unknown
        self._feed = delivery.feed
        self._form = form

    def part(self, delivery: Delivery) -> IResource:
        """FeedResource API."""
        return DocumentResource(delivery, self._access, self._form)

    def unknown(self) -> IResource:
        """FeedResource API."""
        return DocumentResource(self._delivery, self._access, self._form, unknown=True)

    def busy(self) -> IResource:
        """FeedResource API."""
        return Busy(self._origins, self._form)

    def respond(self, request: Request) -> int:
        """FeedResource API."""
        if request.method == b"OPTIONS":
            return self._options(request)
        if request.method not in (b"GET", b"HEAD"):
            return refuse(request, 405, "Documents are read here.", (*self._shared(request), (b"Allow", METHODS)))
        if request.has_content:
            return refuse(request, 413, "A request for a document has no content.", self._shared(request))
        fields = request.fields
        # A document that is not shown can be followed as well, by clients that understand messages about the state.
        if fields.asks_for_websocket and not self._unknown:
            return self._delivery.answer_handshake(request, self._delivery)
        if _wants_events(self._form, fields):
            return self._events(request, refused=self._unknown)
        return self._document(request)

    def follows(self, request: Request) -> bool:
        """FeedResource API."""
        fields = request.fields
        return bool(fields.wait_s) or fields.asks_for_websocket or _wants_events(self._form, fields)

    def _events(self, request: Request, *, refused: bool) -> int:
        fields = [*self._shared(request), *self._state()]
        slots = self._delivery.slots
        if slots is not None:
            self._feed.tally.refused["stopping"] += 1
            return refuse_events(request, fields, slots.take_ms())
        if refused or request.over_capacity or self._delivery.full():
            if not (refused or request.over_capacity):
                self._feed.tally.refused["limit"] += 1
            return refuse_events(request, fields)
        have, delta = _last_event_id(request), request.args.get(b"delta")
        if self._has_last(request) and self._feed.state is State.ENDED:
            # No other status ends an EventSource for good (the HTML standard, 9.2.3).
            return answer(request, 204, [*fields, (b"Cache-Control", b"no-store")], None)
        if delta == [b"2"]:
            have = have or named_version(request.args.get(b"have"))
            visit = Visit.of(request, self._delivery.directory().cookie_names())
            return self._delivery.streams.begin(request, fields, have=have, visit=visit, delivery=self._delivery)
        return self._delivery.streams.begin(request, fields, delta=delta == [b"1"], have=have)

    def _has_last(self, request: Request) -> bool:
        """Tells whether a stream would bring nothing but the version that its client has, by the field of the client.

        The version in the query counts for nothing: a page that begins with it would see an error, and no event.
        """
        snapshot, named = self._feed.snapshot, _last_event_ids(request)
        if snapshot is None or self._feed.is_missing or not named or Visit.of(request).wishes:
            return False
        return named_version(named) == snapshot.version

    def _document(self, request: Request, *, may_wait: bool = True) -> int:
        snapshot, fields = self._feed.snapshot, request.fields
        if snapshot is None or self._feed.is_missing or self._feed.is_gone():
            return self._nothing(request)
        # A request that may wait gets something else each time.
        basis = (snapshot, self._feed.told, self._access) if request.is_plain and fields.wait_s is None else None
        if basis is not None:
            prepared: Prepared | None = request.channel.site.prepared.find(
                (self._delivery, self._form, fields.keyed), basis
            )
            if prepared is not None:
                request.repeat(prepared)
                return NOT_DONE_YET
        self._have_made(snapshot, fields.keyed.accept_encoding)
        selected = _selected(snapshot, fields.keyed.accept_encoding)
        known = _known(snapshot, selected, fields.tags)
        if is_another(fields.if_match, selected.etag):
            refused = (*self._shared(request), *self._state())
            return refuse(request, 412, "The document is not the one that If-Match names.", refused)
        if basis is not None:
            return self._prepare(request, snapshot, selected, known, basis)
        request.select = partial(self._variant, snapshot)
        headers = self._fields_of_document(request, snapshot)
        wait_s = fields.wait_s
        if wait_s is not None:
            may_wait = may_wait and not request.channel.has_waited
            slots = self._delivery.slots
            if known is not None and wait_s > 0 and may_wait and slots is None:
                return self._hold(request, snapshot, wait_s)
            headers.append((b"Preference-Applied", b"wait=%d" % wait_s))
            if known is not None and wait_s > 0 and slots is not None:
                # Requests do not wait any more, and a client that asks again at once would find no server.
                headers.append((b"Retry-After", b"%d" % slots.retry_after_s()))
                if may_wait:
                    slots.add()  # those that have waited are counted where they are released
        return answer(request, *self._content(request, snapshot, selected, known, headers))

    def _fields_of_document(self, request: Request, snapshot: Snapshot) -> list[tuple[bytes, bytes]]:
        """Gives the fields of every answer with a version, or with the news that a client has it."""
        headers = [
            *self._shared(request),
            *self._state(),
            (b"Cache-Control", self._cache_control()),
            (b"Livefeed-Version", snapshot.version.encode()),
            (b"Livefeed-Sequence", str(snapshot.sequence).encode()),
        ]
        signed = self._feed.signed()
        if signed is not None:
            headers += signed.fields()
        headers += self._ended_fields({name for name, _ in headers})
        return headers

    def _prepare(
        self,
        request: Request,
        snapshot: Snapshot,
        selected: Representation,
        known: bytes | None,
        basis: tuple[object, ...],
    ) -> int:
        """Answers now, with the answer to requests that mean the same as this one, and keeps it for others.

        Most values of a field change nothing, so the letter of the fields is the key of a second look-up alone.
        """
        keyed, answers = request.fields.keyed, request.channel.site.prepared
        manipulation = request.fields.manipulation if known is None else None
        permission = tuple(self._origins.response_headers(keyed.origin))
        delta = None if manipulation is None else (manipulation, keyed.if_none_match, keyed.accept_encoding)
        key = self._delivery, self._form, selected.coding, known, permission, delta
        prepared: Prepared | None = answers.find(key, basis)
        if prepared is None:
            headers = self._fields_of_document(request, snapshot)
            status, fields, body = self._content(request, snapshot, selected, known, headers)
            select = partial(self._variant, snapshot)
            prepared = Prepared.of(status, fields, body, select=select, basis=basis)
            answers.keep(key, prepared)
        answers.keep((self._delivery, self._form, keyed), prepared)
        request.repeat(prepared)
        return NOT_DONE_YET

    def _hold(self, request: Request, snapshot: Snapshot, wait_s: int) -> int:
        """Lets a request wait for the next version, or refuses it if the limit of subscribers is reached."""
        request.select = None
        if self._delivery.full():
            self._feed.tally.refused["limit"] += 1
            return refuse_one_more(request, [*self._shared(request), *self._state()])
        may_join = partial(self._would_wait, snapshot)
        later = partial(self._document, may_wait=False) if self._access.guard is None else self._judge_again
        self._delivery.polls.hold(request, wait_s, later, may_join, self._variant_of_waiting)
        return NOT_DONE_YET

    def _judge_again(self, request: Request) -> int:
        """Answers a request for a protected feed that has waited: its token may have ended meanwhile."""
        request.permit = None
        denial = self._access.denial(request)
        return self._document(request, may_wait=False) if denial is None else self._access.refuse(request, denial)

    def _have_made(self, snapshot: Snapshot, accept_encoding: bytes | None) -> None:
        """Takes note of the coding that a client asks for, and has it made if the snapshot was not made in it."""
        wish, demand = self._wish(snapshot, accept_encoding), self._feed.demand
        if wish is not None and demand is not None:
            demand.make(self._feed, snapshot, wish)

    def _wish(self, snapshot: Snapshot, accept_encoding: bytes | None) -> str | None:
        """Takes note of the coding that a client asks for, and gives it if the snapshot was not made in it.

        Each value of the field comes here once for each version and quarter of a second at least: replay and prepared
        answers look their keys up, and forget all of them then.
        """
        demand = self._feed.demand
        if demand is None:
            return None
        wish = preferred_coding(accept_encoding, demand.order)
        return wish if demand.note(snapshot, wish) else None

    def _variant(self, snapshot: Snapshot, values: list[bytes | None]) -> Hashable:
        """Gives the parts of the keyed fields that matter to an answer with a version.

        See :data:`livefeed.transport.answer.Select`.
        """
        fields = KeyedFields._make(values)
        if self._form == "either" and fields.accepts_events():
            return None
        if self._wish(snapshot, fields.accept_encoding) is not None:
            return None  # The request is rendered, which has the coding made.
        selected = _selected(snapshot, fields.accept_encoding)
        known = _known(snapshot, selected, listed_tags(fields.if_none_match))
        wait_s = preferred_wait_s(fields.prefer)
        if wait_s and known is not None:
            return None
        manipulation = fields.manipulation() if known is None else None
        return (
            selected.coding,
            known,
            wait_s,
            manipulation and (manipulation, fields.if_none_match),
            tuple(self._origins.response_headers(fields.origin)),
            fields.persistence(),
        )

    def _variant_of_nothing(self, values: list[bytes | None]) -> Hashable:
        """Gives the parts of the keyed fields that matter to an answer without a version.

        Neither the versions of a client nor its codings do.
        """
        fields = KeyedFields._make(values)
        if self._form == "either" and fields.accepts_events():
            return None
        return tuple(self._origins.response_headers(fields.origin)), fields.persistence()

    def _variant_of_waiting(self, values: list[bytes | None]) -> Hashable:
        """Gives the parts of the keyed fields that matter to a request that waits for the next version.

        Nothing is known of that version.
        """
        fields = KeyedFields._make(values)
        wait_s = preferred_wait_s(fields.prefer)
        if not wait_s or fields.if_none_match is None or (self._form == "either" and fields.accepts_events()):
            return None
        return (
            coding_ranks(coding_weights(fields.accept_encoding)),
            tuple(listed_tags(fields.if_none_match)),
            wait_s,
            fields.manipulation(),
            tuple(self._origins.response_headers(fields.origin)),
            fields.persistence(),
        )

    def _would_wait(self, snapshot: Snapshot) -> bool:
        """Tells whether a request would wait now that is equal to one that waits for the version after *snapshot*."""
        if self._feed.snapshot is not snapshot or self._feed.is_missing or self._feed.is_gone():
            return False
        return self._delivery.slots is None and not self._delivery.full()

    def _nothing(self, request: Request) -> int:
        """Answers while there is no version that may be shown."""
        if self._feed.is_missing:
            # The part existed when the request began to wait.
            return MissingPart(self._origins).render(request)
        headers = (*self._shared(request), *self._state())
        if not self._unknown:
            # All pollers receive this while the source is away: rendering it for each took 272 µs, replaying it 29 µs.
            request.select = self._variant_of_nothing
        if self._feed.state is State.WITHDRAWN:
            return refuse_withdrawn(request, headers)
        refuse_nothing = refuse_expired if self._feed.is_gone() else refuse_not_pulled
        return refuse_nothing(request, self._feed.next_tick_s(), headers)

    def _content(
        self,
        request: Request,
        snapshot: Snapshot,
        selected: Representation,
        known: bytes | None,
        headers: list[tuple[bytes, bytes]],
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes | None]:
        """Gives the status, the fields and the content of an answer.

        It has the newest version, the delta from the client's version to the newest, or neither.

        :param known: the tag by which the client has the newest version; ``None`` if it does not have it.
        :param headers: the fields of every answer, to which more are added.
        """
        if known is not None:
            # The tag that the client has, so that a cache knows which of its answers is confirmed (RFC 9111, 4.3.4).
            return 304, [*headers, (b"ETag", known)], None
        manipulation = request.fields.manipulation
        delta = None if manipulation is None else self._delta(request, selected, _DELTAS[manipulation][0])
        if manipulation is not None and delta is not None:
            base, coding, data = delta
            whole = snapshot.representations[IDENTITY]
            headers += [
                (b"Content-Type", _DELTAS[manipulation][1]),
                (b"IM", manipulation),
                (b"Delta-Base", base),
                (b"ETag", whole.etag),
                (b"Cache-Control", b"private, no-store, im" if self._access.fields else b"no-store, im"),
            ]
            if coding != IDENTITY:
                headers.append((b"Content-Encoding", coding.encode()))
            return 226, headers, data
        headers += [
            (b"ETag", selected.etag),
            (b"Repr-Digest", selected.digest),
            (b"Content-Type", b"application/json"),
        ]
        if selected.coding != IDENTITY:
            headers.append((b"Content-Encoding", selected.coding.encode()))
        return 200, headers, selected.data

    def _delta(self, request: Request, selected: Representation, form: DeltaForm) -> tuple[bytes, str, bytes] | None:
        """Gives the delta that a client asks for (RFC 3229), after the tag of its base and its content coding.

        It is ``None`` if there is none. The content coding is applied after the manipulation (RFC 3229, 10.5.2), and is
        chosen like that of the document. The sizes of delta and document are compared as they would be sent. Only the
        latest version is tried, because each delta takes milliseconds, and a head has room for 20 tags.
        """
        fields, history = request.fields, self._feed.history
        # Of two tags of one version the first counts.
        versions = {tag.strip(b'"').partition(b"-")[0].decode("latin-1"): tag for tag in reversed(fields.tags)}
        latest = history.latest(versions)
        delta = history.delta(form, latest)
        if latest is None or delta is None:
            return None
        codings = _LARGE_DELTA_CODINGS if is_large(delta) else _DELTA_CODINGS
        coding, coded = history.coded(form, latest, choose_coding(fields.codings, codings))
        return (versions[latest], coding, coded) if len(coded) < WORTH_IT * len(selected.data) else None

    def _options(self, request: Request) -> int:
        headers = [*self._shared(request), (b"Allow", METHODS)]
        if request.fields.is_preflight:
            headers += [
                (b"Access-Control-Allow-Methods", METHODS),
                (b"Access-Control-Allow-Headers", b", ".join((_REQUEST_FIELDS, *self._access.fields[:1]))),
                (b"Access-Control-Max-Age", b"%d" % PREFLIGHT_MAX_AGE_S),
            ]
        return answer(request, 204, headers, None)

    def _shared(self, request: Request) -> list[tuple[bytes, bytes]]:
        """Gives the fields of every answer: the permission to read it, and the request fields that it depends on."""
        cors = self._origins.response_headers(request.fields.keyed.origin)
        by_origin = [] if self._origins.any_origin else [b"Origin"]
        depends_on = [*_DEPENDS_ON[self._form], *self._access.fields, *by_origin]
        vary = [(b"Vary", b", ".join(depends_on))] if depends_on else []
        exposed = _EXPOSED if self._feed.stated is None else _EXPOSED_SIGNED
        return [*cors, exposed, *vary]

    def _state(self) -> list[tuple[bytes, bytes]]:
        """Gives the fields about the state of the feed and the age of its data."""
        headers = [
            (b"Livefeed-State", self._feed.state.value.encode()),
            (b"Livefeed-Next", b"%d" % math.ceil(self._feed.next_tick_s() * 1000)),
        ]
        if self._feed.snapshot is not None:
            headers += [
                (b"Livefeed-At", timestamp(self._feed.confirmed_at).encode()),
                (b"Livefeed-Age", b"%d" % self._feed.age_s()),
            ]
        left_s = self._lifetime_s()
        if left_s < math.inf and not self._feed.is_gone():
            headers.append((b"Livefeed-Lifetime", b"%d" % (1000 * left_s)))
        waiting_s = self._feed.waiting_s()
        if waiting_s is not None:
            headers.append((b"Livefeed-Waiting", b"%d" % waiting_s))
        if self._feed.told.reason:
            headers.append((b"Livefeed-Reason", _reason_field(self._feed.told.reason)))
        if self._feed.told.overlay and not self._feed.is_gone():
            headers.append((b"Livefeed-Overlay", field_value(self._feed.told.overlay)))
        return headers

    def _ended_fields(self, there: Container[bytes]) -> Iterator[tuple[bytes, bytes]]:
        """Gives the fields that earlier answers had and this one lacks, without a value.

        A cache whose answer is confirmed keeps each field that the 304 lacks (RFC 9111, 3.2). Browsers and Varnish
        would say that a document waits, and why, for as long as the version stays, and an ended one would expire.
        A 200 has them, too: nginx makes the 304 for a browser from the 200 that it has stored.

        :param there: the names of the fields of this answer.
        """
        whole = self._feed if self._feed.whole is None else self._feed.whole
        once = whole.once_told
        for name, was_there in (
            (b"Livefeed-Lifetime", whole.gone_after_s < math.inf),
            (b"Livefeed-Waiting", once.is_waiting),
            (b"Livefeed-Reason", once.reason),
            (b"Livefeed-Overlay", once.overlay),
        ):
            if was_there and name not in there:
                yield name, b""

    def _lifetime_s(self) -> float:
        """Gives the seconds for which the document may be shown if nothing confirms it; may be infinite.

        They are counted from the last repetition of the answer, which may be repeated for FORGET_S.
        """
        return max(0.0, self._feed.expires_in_s() - FORGET_S)

    def _cache_control(self) -> bytes:
        """Gives the time for which caches may use the answer: until the next tick, in whole seconds, at least one.

        Zero would be more exact at one tick per second, but shared caches would then keep nothing, and would not reduce
        the load. An answer may not be kept for longer than the document may be shown.
        """
        if self._access.fields:
            # Not even for the same client: its token may have ended.
            return b"private, no-store"
        left_s = self._lifetime_s()
        fresh_s = math.floor(min(whole_seconds(self._feed.next_tick_s()), left_s))
        more_s = left_s - fresh_s
        return b"public, max-age=%d, stale-while-revalidate=%d, stale-if-error=%d" % (
            fresh_s,
            min(math.ceil(self._feed.interval_s), more_s),
            min(STALE_IF_ERROR_S, more_s),
        )


def _reason_field(reason: str) -> bytes:
    """Gives a reason as a string (RFC 8941, 3.3.3), which has no characters but those of ASCII.

    All others, and the three that have a meaning, are percent-encoded in UTF-8.
    """
    return b'"%b"' % quote(reason, safe=_PLAIN).encode("ascii")


def _selected(snapshot: Snapshot, accept_encoding: bytes | None) -> Representation:
    """Gives the representation that is selected for a client.

    :param accept_encoding: the field ``Accept-Encoding``; ``None`` if it was not sent.
    """
    made = snapshot.representations
    return made[preferred_coding(accept_encoding, tuple(made))]


def _known(snapshot: Snapshot, selected: Representation, tags: Sequence[bytes]) -> bytes | None:
    """Gives the tag by which a client has the snapshot already; ``None`` if the client does not have it.

    :param tags: the tags in ``If-None-Match``.
    """
    version = snapshot.version.encode()
    for tag in tags:
        if version in tag or tag == b"*":
            # The tags of all codings: some codings are made later, or were made by another process.
            return matching_tag(tags, [selected.etag, *snapshot.etags()])
    return None


def _wants_events(form: Form, fields: RequestFields) -> bool:
    return form == "events" or (form == "either" and fields.accepts_events)


def _last_event_id(request: Request) -> str | None:
    """Gives the version that a client has: from the field, or from the query, because a page can set no field."""
    return named_version(_last_event_ids(request) or request.args.get(b"last-event-id"))


def _last_event_ids(request: Request) -> Sequence[bytes]:
    """Gives the lines of ``Last-Event-ID``, which only streams read."""
    return request.lines_of(b"Last-Event-ID")
