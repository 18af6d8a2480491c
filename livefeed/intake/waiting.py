"""The values of candidates that wait, and of alarms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from livefeed.clocks import Moment


@dataclass(frozen=True, slots=True)
class Waiting:
    """The newest candidate that is held back.

    :ivar data: its bytes.
    :ivar version: its version.
    :ivar since: since when a newer document than the shown one has been held back.
    :ivar pulled: when it was last pulled.
    :ivar rule: the rule that holds it; ``None`` if only a decision does.
    :ivar pointer: the place of the refused value; empty if only a decision holds it.
    :ivar why: the reason, in words for watchers.
    :ivar pulls: how many pulls in a row have given the same refused value, or this document.
    """

    data: bytes
    version: str
    since: Moment
    pulled: Moment
    rule: str | None = None
    pointer: str = ""
    why: str = ""
    pulls: int = 1


@dataclass(frozen=True, slots=True)
class Alarm:
    """A violation of a rule that only raises an alarm, by the newest candidate.

    :ivar since: since when candidates have violated the rule.
    """

    rule: str
    pointer: str
    why: str
    since: Moment
