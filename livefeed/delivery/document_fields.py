"""The fields of a document's answers: permissions, the state of the feed, and the time for which caches may keep them.

Rule: nothing here decides which answer a request gets. ``document_content`` adds the content, ``document_variants`` the
requests that one answer is for, and ``document`` the decision. Each inherits from the one before, since helper objects
would cost each request look-ups.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from livefeed.delivery.feed_resource import FeedResource
from livefeed.document.overlaid_pointers import field_value
from livefeed.document.timestamps import timestamp
from livefeed.web.answers import whole_seconds
from livefeed.web.site import FORGET_S

if TYPE_CHECKING:
    from collections.abc import Container, Iterator

    from livefeed.delivery.delivery import Delivery
    from livefeed.delivery.feed_resource import Access
    from livefeed.document.snapshot import Snapshot
    from livefeed.feed.parts import Parts
    from livefeed.web.request import Request

STALE_IF_ERROR_S = 300
"""Seconds for which a cache may use its copy while livefeed does not answer, unless the document expires before."""

_PLAIN = "".join(chr(each) for each in range(0x20, 0x7F) if chr(each) not in '"\\%')
"""The characters of a reason that are not percent-encoded in a field."""

Form = Literal["document", "events", "either"]
_DEPENDS_ON: dict[Form, list[bytes]] = {
    "document": [b"Accept-Encoding"],
    "events": [],
    "either": [b"Accept-Encoding", b"Accept"],
}

_RESPONSE_FIELDS = (
    b"Age, Date, ETag, Retry-After, Repr-Digest, Preference-Applied, IM, Delta-Base, "
    b"Livefeed-Version, Livefeed-Sequence, Livefeed-State, Livefeed-At, Livefeed-Age, Livefeed-Next, Livefeed-Lifetime"
    b", Livefeed-Waiting, Livefeed-Reason, Livefeed-Overlay"
)
EXPOSED = (b"Access-Control-Expose-Headers", _RESPONSE_FIELDS)
EXPOSED_SIGNED = (EXPOSED[0], _RESPONSE_FIELDS + b", Livefeed-Statement, Signature-Input, Signature")


class DocumentFields(FeedResource):
    """The part of a document's resource that makes the fields of answers, with its whole state.

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

    def _shared(self, request: Request) -> list[tuple[bytes, bytes]]:
        """Gives the fields of every answer: the permission to read it, and the request fields that it depends on."""
        cors = self._origins.response_headers(request.fields.keyed.origin)
        by_origin = [] if self._origins.any_origin else [b"Origin"]
        depends_on = [*_DEPENDS_ON[self._form], *self._access.fields, *by_origin]
        vary = [(b"Vary", b", ".join(depends_on))] if depends_on else []
        exposed = EXPOSED if self._feed.stated is None else EXPOSED_SIGNED
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
