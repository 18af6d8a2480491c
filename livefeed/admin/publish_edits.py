"""The edits of a stored document that requests ask for: conditions, replacement, patches and deletion.

Rule: an edit runs in a thread, on the document as the edits before it have left it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from livefeed.document.exact_json import DeltaError
from livefeed.document.gate import check_document
from livefeed.document.merge_patch import MalformedPatchError, apply_bounded_patch, apply_merge_patch
from livefeed.document.snapshot import version_of
from livefeed.exceptions import DocumentError, LivefeedError
from livefeed.storage.store import UNCHANGED
from livefeed.web import operator_problems
from livefeed.web.conditional import is_another, is_list_of_tags, listed_tags, matching_tag
from livefeed.web.problems import PRECONDITION_FAILED

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.storage.store import Unchanged, View
    from livefeed.web.problem_type import ProblemType

MERGE_PATCH = b"application/merge-patch+json"
"""The media type of RFC 7396."""

JSON_PATCH = b"application/json-patch+json"
"""The media type of RFC 6902."""


class EditRefusedError(LivefeedError):
    """The document is not edited. The message is for the publisher.

    :param kind: the type of the answer.
    """

    def __init__(self, kind: ProblemType, why: str) -> None:
        super().__init__(why)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Conditions:
    """The conditions of a request that writes (RFC 9110, 13).

    :ivar if_match: the value of the field; ``None`` if it was not sent.
    :ivar if_none_match: the value of the field; ``None`` if it was not sent.
    """

    if_match: bytes | None
    if_none_match: bytes | None

    @classmethod
    def of(cls, if_match: bytes | None, if_none_match: bytes | None) -> Conditions | None:
        """Gives the conditions in two fields; ``None`` if one of them is malformed, or has too many tags.

        A read may pass over a malformed field. A write must not: it would overwrite what the field protects.
        """
        if all(value is None or is_list_of_tags(value) for value in (if_match, if_none_match)):
            return cls(if_match, if_none_match)
        return None

    def check(self, view: View) -> None:
        """Checks the document.

        :raises EditRefusedError: if a condition does not hold.
        """
        newest = view.newest
        version = newest.version if newest is not None else ""
        etag = b'"%b"' % version.encode()
        if self.if_match is not None and (not version or is_another(self.if_match, etag)):
            stored = "there is no document" if not version else "another one is stored"
            raise EditRefusedError(PRECONDITION_FAILED, f"If-Match does not name the stored document: {stored}.")
        if version and matching_tag(listed_tags(self.if_none_match), [etag]) is not None:
            is_any = (self.if_none_match or b"").strip() == b"*"
            why = "A document is stored already." if is_any else "If-None-Match names the stored document."
            raise EditRefusedError(PRECONDITION_FAILED, why)


def replacement(data: bytes, max_bytes: int) -> Callable[[View], bytes | Unchanged]:
    """Gives the edit that replaces the document. One that is stored already is not written again.

    :param max_bytes: the size in bytes of the largest document.
    """

    def replace(view: View) -> bytes | Unchanged:
        _check(data, max_bytes)
        return _unless_stored(view, data)

    return replace


def patching(kind: bytes, patch: bytes, max_bytes: int) -> Callable[[View], bytes | Unchanged]:
    """Gives the edit that changes the document by a patch.

    :param kind: the media type of the patch.
    :param max_bytes: the size in bytes of the largest document.
    """

    def change(view: View) -> bytes | Unchanged:
        document = view.document
        if document is None:
            raise EditRefusedError(operator_problems.NO_DOCUMENT, "There is no document to change. PUT stores one.")
        apply = apply_merge_patch if kind == MERGE_PATCH else apply_bounded_patch
        try:
            data = apply(document, patch, max_bytes=max_bytes)
        except MalformedPatchError as error:
            raise EditRefusedError(operator_problems.MALFORMED_PATCH, sentence(error)) from None
        except DeltaError as error:
            raise EditRefusedError(operator_problems.PATCH_CONFLICT, sentence(error)) from None
        _check(data, max_bytes)
        return _unless_stored(view, data)

    return change


def deletion(view: View) -> None:
    """Deletes the document.

    :raises EditRefusedError: if there is none.
    """
    if view.document is None:
        raise EditRefusedError(operator_problems.NO_DOCUMENT, "There is no document to delete.")


def _unless_stored(view: View, data: bytes) -> bytes | Unchanged:
    is_stored = view.newest is not None and view.newest.version == version_of(data)
    return UNCHANGED if is_stored else data


def _check(data: bytes, max_bytes: int) -> None:
    try:
        check_document(data, max_bytes=max_bytes)
    except DocumentError as error:
        raise EditRefusedError(operator_problems.INVALID_DOCUMENT, sentence(error)) from None


def sentence(error: Exception) -> str:
    """Gives the message of an error as a sentence."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."
