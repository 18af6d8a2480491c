"""``/feed``: the newest document. This file decides whether a request is answered now, later, or with events."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from twisted.web.server import NOT_DONE_YET

from livefeed.delivery.document_content import known_tag, select_representation
from livefeed.delivery.document_fields import EXPOSED
from livefeed.delivery.document_variants import DocumentVariants
from livefeed.delivery.feed_resource import MissingPart, refuse_part
from livefeed.delivery.items import Visit
from livefeed.document.snapshot import named_version
from livefeed.feed.state import State
from livefeed.web import problems
from livefeed.web.answers import answer, refuse, refuse_expired, refuse_not_pulled, refuse_one_more, refuse_withdrawn
from livefeed.web.conditional import is_another
from livefeed.web.prepared import Prepared
from livefeed.web.refusals import refuse_events
from livefeed.web.resources import METHODS, Node

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twisted.web.resource import IResource

    from livefeed.delivery.delivery import Delivery
    from livefeed.delivery.document_fields import Form
    from livefeed.document.snapshot import Representation, Snapshot
    from livefeed.web.cors import Origins
    from livefeed.web.negotiation import RequestFields
    from livefeed.web.problem_type import ProblemType
    from livefeed.web.request import Request

PREFLIGHT_MAX_AGE_S = 86_400
"""Seconds for which a browser may remember a preflight. No browser accepts more."""

_REQUEST_FIELDS = b"If-None-Match, Cache-Control, Prefer, A-IM, Last-Event-ID"


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
        headers = [*self.permission(request), EXPOSED]
        fields = request.fields
        if request.method in (b"GET", b"HEAD") and not fields.asks_for_websocket and _wants_events(self._form, fields):
            return refuse_events(request, problems.TOO_MANY_PARTS, headers)
        return refuse_part(request, headers)


class DocumentResource(DocumentVariants):
    """Answers ``GET``, ``HEAD`` and ``OPTIONS`` with the newest snapshot of a feed, now or later, or with events."""

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
            return refuse(
                request,
                problems.METHOD_NOT_ALLOWED,
                "Documents are read here.",
                (*self._shared(request), (b"Allow", METHODS)),
            )
        if request.has_content:
            return refuse(
                request, problems.UNEXPECTED_CONTENT, "A request for a document has no content.", self._shared(request)
            )
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

    def _options(self, request: Request) -> int:
        headers = [*self._shared(request), (b"Allow", METHODS)]
        if request.fields.is_preflight:
            headers += [
                (b"Access-Control-Allow-Methods", METHODS),
                (b"Access-Control-Allow-Headers", b", ".join((_REQUEST_FIELDS, *self._access.fields[:1]))),
                (b"Access-Control-Max-Age", b"%d" % PREFLIGHT_MAX_AGE_S),
            ]
        return answer(request, 204, headers, None)

    def _events(self, request: Request, *, refused: bool) -> int:
        fields = [*self._shared(request), *self._state()]
        slots = self._delivery.slots
        if slots is not None:
            self._feed.tally.refused["stopping"] += 1
            return refuse_events(request, problems.COME_BACK, fields, slots.take_ms())
        if refused or request.over_capacity or self._delivery.full():
            if not (refused or request.over_capacity):
                self._feed.tally.refused["limit"] += 1
            return refuse_events(request, self._why_no_events(request, is_unknown=refused), fields)
        have, delta = _last_event_id(request), request.args.get(b"delta")
        if self._has_last(request) and self._feed.state is State.ENDED:
            # No other status ends an EventSource for good (the HTML standard, 9.2.3).
            return answer(request, 204, [*fields, (b"Cache-Control", b"no-store")], None)
        if delta == [b"2"]:
            have = have or named_version(request.args.get(b"have"))
            visit = Visit.of(request, self._delivery.directory().cookie_names())
            return self._delivery.streams.begin(request, fields, have=have, visit=visit, delivery=self._delivery)
        return self._delivery.streams.begin(request, fields, delta=delta == [b"1"], have=have)

    def _why_no_events(self, request: Request, *, is_unknown: bool) -> ProblemType:
        """Gives the reason why an event stream does not begin.

        :param is_unknown: whether nobody knows, or nobody is told, if the part exists.
        """
        if request.over_capacity:
            return problems.TOO_MANY_CONNECTIONS
        if not is_unknown:
            return problems.TOO_MANY_SUBSCRIBERS
        return problems.WITHDRAWN if self._feed.state is State.WITHDRAWN else problems.NO_VERSION_YET

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
        selected = select_representation(snapshot, fields.keyed.accept_encoding)
        known = known_tag(snapshot, selected, fields.tags)
        if is_another(fields.if_match, selected.etag):
            refused = (*self._shared(request), *self._state())
            return refuse(
                request, problems.PRECONDITION_FAILED, "The document is not the one that If-Match names.", refused
            )
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


def _wants_events(form: Form, fields: RequestFields) -> bool:
    return form == "events" or (form == "either" and fields.accepts_events)


def _last_event_id(request: Request) -> str | None:
    """Gives the version that a client has: from the field, or from the query, because a page can set no field."""
    return named_version(_last_event_ids(request) or request.args.get(b"last-event-id"))


def _last_event_ids(request: Request) -> Sequence[bytes]:
    """Gives the lines of ``Last-Event-ID``, which only streams read."""
    return request.lines_of(b"Last-Event-ID")
