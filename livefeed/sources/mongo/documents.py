"""MongoDB's documents as JSON. Rule: equal documents give equal bytes, since the version is a hash of the bytes."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import bson
import msgspec
from bson import json_util
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS
from bson.decimal128 import Decimal128
from bson.errors import InvalidBSON
from bson.objectid import ObjectId

from livefeed.exceptions import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

_UUID_SUBTYPE = 4
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Dates stay numbers, since Python's own dates end with the year 9999.
_DECODING: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
_RELAXED = json_util.RELAXED_JSON_OPTIONS.with_options(datetime_conversion=DatetimeConversion.DATETIME_MS)


def split_batch(batch: bytes) -> Iterator[bytes]:
    """Gives the documents of a batch, as BSON.

    :raises SourceError: if the batch is not a sequence of documents.
    """
    start = 0
    while start < len(batch):
        length = int.from_bytes(batch[start : start + 4], "little", signed=True)
        if length < 5 or start + length > len(batch):  # noqa: PLR2004 - the length itself, and a zero at the end
            raise SourceError("the answer is not BSON")
        yield batch[start : start + length]
        start += length


def to_json(document: bytes, *, relaxed: bool) -> bytes:
    """Converts a document to JSON without white space. The fields keep their order.

    :param document: the document as BSON.
    :param relaxed: whether to write MongoDB's relaxed extended JSON (version 2), instead of plain JSON.
    :raises SourceError: if the document is not BSON, is nested too deep, or has a value that plain JSON cannot express.
    """
    try:
        if relaxed:
            fields = bson.decode(document, _RELAXED)
            text = json_util.dumps(fields, json_options=_RELAXED, ensure_ascii=False, separators=(",", ":"))
            return text.encode()
        return msgspec.json.encode(bson.decode(document, _DECODING), enc_hook=_plain)
    except InvalidBSON as error:
        raise SourceError(f"the answer is not BSON: {str(error)[:200]}") from None
    except RecursionError:
        raise SourceError("the document is nested too deep") from None


def _plain(value: object) -> object:
    """Gives the plain JSON form of a value of a type that msgspec does not know."""
    # msgspec knows text, booleans, numbers (null if not finite), lists, documents and bytes of subtype 0 (base64).
    if isinstance(value, ObjectId):
        return str(value)
    if isinstance(value, DatetimeMS):
        return _rfc3339(int(value))
    if isinstance(value, Decimal128):
        number = value.to_decimal()
        return msgspec.Raw(str(value).encode()) if number.is_finite() else None
    if isinstance(value, bson.Binary):
        return str(uuid.UUID(bytes=bytes(value))) if _is_uuid(value) else bytes(value)
    if isinstance(value, int):  # bson.Int64
        return int(value)
    kind = type(value).__name__
    raise SourceError(f"the document has a value of the type {kind}, which is nothing in JSON; see json=relaxed")


def _is_uuid(value: bson.Binary) -> bool:
    return value.subtype == _UUID_SUBTYPE and len(value) == 16  # noqa: PLR2004 - a UUID's bytes


def _rfc3339(milliseconds: int) -> str:
    try:
        moment = _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        raise SourceError("the document has a date outside of the years 1 to 9999; see json=relaxed") from None
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
