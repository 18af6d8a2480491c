"""The content of a document's answers: the document in one of its codings, a delta to it, or none.

Rule: the content follows from the newest version, the versions before it, and the fields of the request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from livefeed.delivery.document_fields import DocumentFields
from livefeed.document.codings import is_large
from livefeed.document.history import WORTH_IT, DeltaForm
from livefeed.document.snapshot import IDENTITY
from livefeed.web.conditional import matching_tag
from livefeed.web.negotiation import JSON_PATCH, SPLICES, choose_coding, preferred_coding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from livefeed.document.snapshot import Representation, Snapshot
    from livefeed.web.request import Request

_DELTAS = {
    JSON_PATCH: (DeltaForm.PATCH, b"application/json-patch+json"),
    SPLICES: (DeltaForm.SPLICES, b"application/vnd.livefeed.splices+json"),
}
"""The form and the media type of the delta that each instance manipulation stands for."""

# Brotli has a dictionary of its own, which helps most with short texts.
_DELTA_CODINGS = ("br", "zstd", "gzip")
# 0.5 MB take 3 ms in each of these, and 15 ms in Brotli.
_LARGE_DELTA_CODINGS = ("zstd", "gzip")


def select_representation(snapshot: Snapshot, accept_encoding: bytes | None) -> Representation:
    """Gives the representation that is selected for a client.

    :param accept_encoding: the field ``Accept-Encoding``; ``None`` if it was not sent.
    """
    made = snapshot.representations
    return made[preferred_coding(accept_encoding, tuple(made))]


def known_tag(snapshot: Snapshot, selected: Representation, tags: Sequence[bytes]) -> bytes | None:
    """Gives the tag by which a client has the snapshot already; ``None`` if the client does not have it.

    :param tags: the tags in ``If-None-Match``.
    """
    version = snapshot.version.encode()
    for tag in tags:
        if version in tag or tag == b"*":
            # The tags of all codings: some codings are made later, or were made by another process.
            return matching_tag(tags, [selected.etag, *snapshot.etags()])
    return None


class DocumentContent(DocumentFields):
    """The part of a document's resource that gives the content of an answer."""

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
