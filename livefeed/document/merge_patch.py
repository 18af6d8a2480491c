"""Applies merge patches (RFC 7396) to documents with exact numbers, and bounds the size of patched documents."""

from __future__ import annotations

from typing import Any

import msgspec

from livefeed.document.exact_json import DeltaError, decode, encode
from livefeed.document.patch import patched

MAX_OPERATIONS = 4096
"""The largest number of operations in a patch (RFC 6902) that a publisher may send. Each may copy an array."""


class MalformedPatchError(DeltaError):
    """The bytes are no patch at all, whatever the document is."""


def merged(document: Any, patch: Any) -> Any:
    """Gives the value after a merge patch (RFC 7396, 2). The given values are not changed."""
    if not isinstance(patch, dict):
        return patch
    result = dict(document) if isinstance(document, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def apply_merge_patch(document: bytes, patch: bytes, *, max_bytes: int) -> bytes:
    """Gives a document after a merge patch, as compact JSON. Numbers keep their text.

    :param max_bytes: the size in bytes of the largest result.
    :raises MalformedPatchError: if the patch is no JSON.
    :raises DeltaError: if the result is too large, or nested too deeply.
    """
    return _apply(document, patch, merged, max_bytes)


def apply_bounded_patch(document: bytes, patch: bytes, *, max_bytes: int) -> bytes:
    """Gives a document after a patch of RFC 6902, as compact JSON. Numbers keep their text.

    :param max_bytes: the size in bytes of the largest result.
    :raises MalformedPatchError: if the patch is no JSON, no array, or has too many operations.
    :raises DeltaError: if an operation cannot be done, a ``test`` fails, or the result is too large.
    """
    return _apply(document, patch, _patched, max_bytes)


def _patched(document: Any, patch: Any) -> Any:
    if not isinstance(patch, list):
        raise MalformedPatchError("the patch is not an array of operations")
    if len(patch) > MAX_OPERATIONS:
        raise MalformedPatchError(f"the patch has {len(patch)} operations, and {MAX_OPERATIONS} at most")
    return patched(document, patch)


def _apply(document: bytes, patch: bytes, change: Any, max_bytes: int) -> bytes:
    try:
        value = decode(patch)
    except DeltaError as error:
        raise MalformedPatchError(f"the patch is {error}") from None
    except RecursionError:
        raise MalformedPatchError("the patch is nested too deeply") from None
    try:
        result = change(decode(document), value)
        # Operations "copy" can double a value again and again. It shares its parts until it is written out.
        if _least_size(result, {}) > max_bytes:
            raise DeltaError(f"the patched document has more than {max_bytes} bytes (--max-bytes)")
        return encode(result)
    except RecursionError:
        raise DeltaError("the document or the patch is nested too deeply") from None


def _least_size(value: Any, known: dict[int, int]) -> int:
    """Gives the number of bytes that a value takes at least as JSON. It visits each shared part once.

    :param known: the sizes of the containers that were visited, by id.
    """
    if isinstance(value, str):
        return len(value) + 2
    if isinstance(value, msgspec.Raw):
        return len(bytes(value))
    if not isinstance(value, dict | list):
        return 4
    size = known.get(id(value))
    if size is None:
        parts = value.values() if isinstance(value, dict) else value
        names = sum(len(name) + 3 for name in value) if isinstance(value, dict) else 0
        size = known[id(value)] = 1 + len(value) + names + sum(_least_size(part, known) for part in parts)
    return size
