"""The actions that a client wants to be performed, and the result of one that failed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from livefeed.client.update import Shown
    from livefeed.exceptions import FollowError


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a WebSocket, and call ``opened`` or ``failed``."""

    url: str


@dataclass(frozen=True, slots=True)
class Send:
    """Send a text message on the WebSocket."""

    text: str


@dataclass(frozen=True, slots=True)
class Disconnect:
    """Close the WebSocket, or end the attempt to open it, without any further call about it."""


@dataclass(frozen=True, slots=True)
class Get:
    """Ask for the document, and call ``answered`` or ``failed``."""

    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class Show:
    """Tell the user what may be shown from now on."""

    shown: Shown


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop following, and tell the user the reason."""

    error: FollowError


Action = Connect | Send | Disconnect | Get | Show | Stop


@dataclass(frozen=True, slots=True)
class Failed:
    """A WebSocket or an answer that could not be had.

    :ivar why: the reason, for people.
    :ivar status: the status of a refused handshake; 0 if there was no answer.
    :ivar retry_after_s: the time after which the server wants to be asked again.
    :ivar was_reached: whether a server was there, although it gave no answer to a handshake, as some proxies do.
    :ivar page: the path of the page of the server about the refusal; ``""`` for none.
    """

    why: str
    status: int = 0
    retry_after_s: float | None = None
    was_reached: bool = False
    page: str = ""
