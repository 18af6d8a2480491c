"""The messages of ``livefeed.delta.v2``, read strictly where a mistake could show a wrong document."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard, cast

from livefeed.client.update import State, name_of, state_of
from livefeed.document.signature import Signed

SUBPROTOCOL = "livefeed.delta.v2"

Kind = Literal["document", "splices", "heartbeat", "missing", "refused"]

_KINDS = ("document", "splices", "heartbeat", "missing", "refused")
_VERSION = re.compile(r"[0-9a-f]{32}\Z")
_SEQUENCE = re.compile(r"[0-9]{1,20}\.[0-9]{1,20}\Z")
_COME_BACK = re.compile(r"come back in ([0-9]{1,9}) ms")

MAX_MS = 366 * 86_400_000
"""The largest time in milliseconds that a message can name. A longer one counts as this."""

MAX_PATH_LENGTH = 1280
"""The largest number of characters in the path of an item. The client repeats it when it asks for the item."""

MAX_POINTERS = 256
"""The largest number of pointers in a list of overlaid values. A server sends 64 at most."""

MAX_REASON_LENGTH = 200
"""The largest number of characters of a reason. A server sends no longer one."""

GOING_AWAY = 1001
_COME_BACK_CODES = range(3000, 3500)
_STAY_AWAY_CODES = frozenset({1002, 1007, 1008, 1009, *range(3500, 4000)})
_SLOT_MS = 20


class MessageError(ValueError):
    """A message is not one of the protocol."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message about one item.

    :ivar kind: its type.
    :ivar path: the path of the item.
    :ivar version: the newest version; ``None`` in types that have none.
    :ivar sequence: its sequence.
    :ivar state: the state.
    :ivar unknown_state: the name of the state, if it is not known; otherwise ``""``.
    :ivar at: the time of the last confirmation, as text.
    :ivar age_ms: milliseconds since the last confirmation, when the message was made.
    :ivar next_ms: milliseconds until the next tick.
    :ivar lifetime_ms: milliseconds for which the document may be shown without another message; ``None`` for no limit.
    :ivar text: the document.
    :ivar base: the version to which the splices apply.
    :ivar splices: the splices.
    :ivar status: the status of a refusal.
    :ivar detail: the reason of a refusal.
    :ivar retry_ms: milliseconds after which a refused client may ask again; ``None`` for never.
    :ivar reason: why the document is in its state; ``""`` if the server does not say it.
    :ivar waiting_ms: milliseconds for which a newer document has been held back; ``None`` if none waits.
    :ivar overlay: pointers to the values that an editor has put in the place of those of the source.
    :ivar heartbeat_ms: milliseconds within which another message comes; ``None`` if one comes at each tick.
    :ivar signed: the signed statement, which is not verified yet; ``None`` for none.
    """

    kind: Kind
    path: str
    version: str | None = None
    sequence: str | None = None
    state: State = State.UNKNOWN
    unknown_state: str = ""
    at: str | None = None
    age_ms: int | None = None
    next_ms: int | None = None
    lifetime_ms: int | None = None
    text: str = ""
    base: str | None = None
    splices: list[Any] | None = None
    status: int = 0
    detail: str = ""
    retry_ms: int | None = None
    reason: str = ""
    waiting_ms: int | None = None
    overlay: tuple[str, ...] = ()
    signed: Signed | None = None
    heartbeat_ms: int | None = None


def read_message(data: str | bytes) -> Message | None:
    """Reads a message.

    :returns: the message; ``None`` if its type is not known.
    :raises MessageError: if it is malformed.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"a message is not JSON: {error}") from None
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        raise MessageError("a message is no object with a type")
    kind = value["type"]
    if kind not in _KINDS:
        return None
    path = value.get("path")
    if not isinstance(path, str) or not path.startswith("/") or len(path) > MAX_PATH_LENGTH:
        raise MessageError(f"a message of type {kind} has no path of an item")
    version = value.get("version")
    if kind in ("document", "splices") and not is_version(version):
        raise MessageError(f"a message of type {kind} has no version")
    text, base, splices = value.get("text"), value.get("from"), value.get("splices")
    if kind == "document" and not isinstance(text, str):
        raise MessageError("a message of type document has no text")
    if kind == "splices" and (not is_version(base) or not isinstance(splices, list)):
        raise MessageError("a message of type splices has no splices, or no version that they apply to")
    return Message(
        cast("Kind", kind),
        path,
        version if is_version(version) else None,
        sequence_of(value.get("sequence")),
        state_of(value.get("state")),
        name_of(value.get("state")),
        text_of(value.get("at"), 64),
        milliseconds_of(value.get("age")),
        milliseconds_of(value.get("next")),
        milliseconds_of(value.get("lifetime")),
        str(text) if kind == "document" else "",
        base if kind == "splices" else None,
        splices if kind == "splices" else None,
        _status_of(value.get("status")),
        text_of(value.get("detail"), 500) or "",
        milliseconds_of(value.get("retry")),
        text_of(value.get("reason"), MAX_REASON_LENGTH) or "",
        milliseconds_of(value.get("waiting")),
        pointers_of(value.get("overlay")),
        Signed.of_member(value.get("signed")),
        milliseconds_of(value.get("heartbeat")),
    )


def _status_of(value: object) -> int:
    return value if isinstance(value, int) and 100 <= value <= 599 else 0  # noqa: PLR2004


def is_version(value: object) -> TypeGuard[str]:
    """Tells whether a value is a version."""
    return isinstance(value, str) and _VERSION.match(value) is not None


def sequence_of(value: object) -> str | None:
    """Gives a value if it is a sequence, otherwise ``None``."""
    return value if isinstance(value, str) and _SEQUENCE.match(value) else None


def milliseconds_of(value: object) -> int | None:
    """Gives a value if it is a time in milliseconds, otherwise ``None``."""
    # A comparison with NaN is false. The function isnan fails with a whole number of more than 308 digits.
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        return None
    return int(min(value, MAX_MS))


def text_of(value: object, length: int) -> str | None:
    """Gives the beginning of a value if it is text, otherwise ``None``."""
    return value[:length] if isinstance(value, str) else None


def pointers_of(value: object) -> tuple[str, ...]:
    """Gives a value if it is a list of pointers that is not too long, otherwise that of the whole document.

    A wrong list is none of no values: the client would show an editor's values as those of the source.
    """
    if value is None:
        return ()
    is_list = isinstance(value, list) and len(value) <= MAX_POINTERS
    if is_list and all(isinstance(each, str) and len(each) <= MAX_PATH_LENGTH for each in cast("list[Any]", value)):
        return tuple(cast("list[str]", value))
    return ("",)


def says_stay_away(code: int | None) -> bool:
    """Tells whether a close code says that the client must not come back, mostly since it has broken the protocol."""
    return code in _STAY_AWAY_CODES


def come_back_ms(code: int | None, reason: str) -> int | None:
    """Gives the time in milliseconds after which a closed client comes back; ``None`` if the server names none."""
    if code != GOING_AWAY and code not in _COME_BACK_CODES:
        return None
    found = _COME_BACK.search(reason)
    if found:
        return int(found[1])
    return None if code is None or code == GOING_AWAY else (code - _COME_BACK_CODES.start) * _SLOT_MS
