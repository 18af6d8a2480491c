"""The values that a user of the client receives."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.document.signature import Signed

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class State(StrEnum):
    """The state of the data, as the server says it, or as the client knows it."""

    LIVE = "live"
    STALE = "stale"  # also without any word from the server for longer than expected
    HELD = "held"  # a newer document exists, and is held back
    ENDED = "ended"  # no more versions will come
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    MISSING = "missing"  # the document has no such part now
    WAITING = "waiting"  # there has been no document yet
    UNKNOWN = "unknown"  # the server says a state that this client does not know, or none


STATES = frozenset({State.LIVE, State.STALE, State.HELD, State.ENDED, State.EXPIRED, State.WITHDRAWN})
"""The states that a server says."""

_NAME_LENGTH = 64

HIDING = frozenset({State.EXPIRED, State.WITHDRAWN})
"""The states in which a client shows no document, and forgets the one that it has."""


def state_of(said: object) -> State:
    """Gives the state that a server says. A state that is not known is never taken for ``live``."""
    return State(said) if isinstance(said, str) and said in STATES else State.UNKNOWN


def name_of(said: object) -> str:
    """Gives the name of a state that this client does not know, as the server says it; ``""`` for any other value."""
    return said[:_NAME_LENGTH] if isinstance(said, str) and said not in STATES else ""


class Line(StrEnum):
    """The way by which the client is in contact with the server."""

    CONNECTING = "connecting"
    OPEN = "open"  # by WebSocket
    POLLING = "polling"
    OFFLINE = "offline"
    CLOSED = "closed"  # the document has ended, so the server is asked only from time to time


@dataclass(frozen=True, slots=True)
class Shown:
    """Everything that a client may show at a moment.

    :ivar content: the bytes of the document; ``None`` if none may be shown.
    :ivar version: its version; ``None`` without a document.
    :ivar sequence: the server's order of versions; ``None`` if it is not known.
    :ivar state: the state of the data.
    :ivar line: the way of contact.
    :ivar at: the time at which the server last confirmed the document, by the server's clock, as text.
    :ivar verified: whether the server named the version, and the hash of the content equals it.
    :ivar problem: why the line is not open; ``""`` if there is no reason to tell.
    :ivar unknown_state: the name of the state, if this client does not know it; otherwise ``""``.
    :ivar reason: why the document is in its state, if the operator tells it; otherwise ``""``.
    :ivar is_waiting: whether a newer document is held back.
    :ivar overlay: pointers to the values that an editor has put in the place of those of the source.
    :ivar signed: whether a trusted key has signed that this is the document.
    :ivar statement: the signed statement that came last with the document, verified or not; ``None`` for none.
    :ivar distrust: why what came last was not taken, or may not be the newest; ``""`` if it was verified.
    """

    content: bytes | None = None
    version: str | None = None
    sequence: str | None = None
    state: State = State.WAITING
    line: Line = Line.CONNECTING
    at: str | None = None
    verified: bool = False
    problem: str = ""
    unknown_state: str = ""
    reason: str = ""
    is_waiting: bool = False
    overlay: tuple[str, ...] = ()
    signed: bool = False
    distrust: str = ""
    statement: Signed | None = None


@dataclass(frozen=True, slots=True)
class Update(Generic[T_co]):
    """A change that a user of the client receives: a new version, another state, or another line.

    :ivar data: the document as the user's ``parse`` reads it; ``None`` if no document may be shown.
    :ivar content: its bytes, exactly those that the server has.
    :ivar version: the first 32 hexadecimal digits of the SHA-256 of *content*; ``None`` without a document.
    :ivar sequence: ``epoch.number``, the server's order of versions.
    :ivar state: the state of the data.
    :ivar age_s: seconds since the server last confirmed the document, when this update was delivered; ``None`` if that
        is not known.
    :ivar at: that time by the server's clock, as text, for display.
    :ivar line: the way of contact.
    :ivar verified: whether the server named the version, and the hash of *content* equals it.
    :ivar problem: why the line is not open; ``""`` if there is no reason to tell.
    :ivar unknown_state: the name of the state, if this client does not know it; otherwise ``""``.
    :ivar reason: why the document is in its state, in a few words for readers; ``""`` unless the operator tells it.
    :ivar waiting_s: seconds for which a newer document had been held back when this update was delivered; ``None`` if
        none waits.
    :ivar overlay: pointers (RFC 6901) to the values that an editor has put in the place of those of the source. Each
        such value is at or below one of them.
    :ivar signed: whether a key that the user trusts has signed that *content* is the document of the feed. Where keys
        were given no other document is shown.
    :ivar distrust: why what came last could not be verified, and is not shown, or why *content* may not be the newest
        version; ``""`` if there is no reason, or no keys were given.
    """

    data: T_co | None
    content: bytes | None
    version: str | None
    sequence: str | None
    state: State
    age_s: float | None
    at: str | None
    line: Line
    verified: bool
    problem: str
    unknown_state: str
    reason: str
    waiting_s: float | None
    overlay: tuple[str, ...]
    signed: bool = False
    distrust: str = ""

    @property
    def is_live(self) -> bool:
        """Whether the document is live. In a state that the client does not know it is not."""
        return self.state is State.LIVE

    @property
    def state_name(self) -> str:
        """The name of the state, for display; the server's, if the client does not know it."""
        return self.unknown_state or self.state.value

    @classmethod
    def of(cls, shown: Shown, data: T_co | None, age_s: float | None, waiting_s: float | None = None) -> Update[T_co]:
        """Makes the update of everything that may be shown, the parsed document, its age and the time of waiting."""
        return cls(
            data,
            shown.content,
            shown.version,
            shown.sequence,
            shown.state,
            age_s if shown.content is not None else None,
            shown.at,
            shown.line,
            shown.verified,
            shown.problem,
            shown.unknown_state,
            shown.reason,
            waiting_s if shown.is_waiting else None,
            shown.overlay,
            shown.signed,
            shown.distrust,
        )


@dataclass(slots=True, eq=False)
class DocumentReader(Generic[T]):
    """Parses the documents of one feed, each once, however often state and line change.

    :ivar parse: reads a document.
    """

    # required parameters
    parse: Callable[[bytes], T]

    # internal state
    _last: tuple[bytes, T] | None = field(default=None)

    def read(self, content: bytes | None) -> T | None:
        """Gives a document as ``parse`` reads it; ``None`` without one. An error of ``parse`` is the caller's."""
        if content is None:
            return None
        if self._last is None or self._last[0] != content:
            self._last = content, self.parse(content)
        return self._last[1]


read_floats: partial[Any] = partial(json.loads)
"""Reads a document with floats, as most programs want it. ``1.50`` becomes 1.5."""

read_exactly: partial[Any] = partial(json.loads, parse_float=Decimal)
"""Reads a document with exact numbers: ``1.50`` becomes ``Decimal("1.50")``. Whole numbers are exact in both."""
