"""The requests that one answer is for: the parts of their fields on which it depends.

Rule: two requests with equal parts get the same answer, byte for byte, at the same time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from livefeed.delivery.document_content import DocumentContent, known_tag, select_representation
from livefeed.web.conditional import listed_tags
from livefeed.web.negotiation import KeyedFields, coding_ranks, coding_weights, preferred_wait_s

if TYPE_CHECKING:
    from collections.abc import Hashable

    from livefeed.document.snapshot import Snapshot


class DocumentVariants(DocumentContent):
    """The part of a document's resource that tells which requests an answer may be repeated for."""

    def _variant(self, snapshot: Snapshot, values: list[bytes | None]) -> Hashable:
        """Gives the parts of the keyed fields that matter to an answer with a version.

        See :data:`livefeed.transport.answer.Select`.
        """
        fields = KeyedFields._make(values)
        if self._form == "either" and fields.accepts_events():
            return None
        if self._wish(snapshot, fields.accept_encoding) is not None:
            return None  # The request is rendered, which has the coding made.
        selected = select_representation(snapshot, fields.accept_encoding)
        known = known_tag(snapshot, selected, listed_tags(fields.if_none_match))
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
