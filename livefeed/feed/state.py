"""The states of a feed, as clients are told them."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """How current a feed is, or the operator's decision about its document."""

    LIVE = "live"
    """The last pull gave a document that may be served, or pulls have failed for less time than the operator allows."""
    STALE = "stale"
    """Pulls fail or are refused, or no pull has ended for long. The served document is older than it should be."""
    EXPIRED = "expired"
    """The document is too old to be shown."""
    HELD = "held"
    """A newer document exists and is held back. The served one is the last that passed."""
    ENDED = "ended"
    """No more versions will come. The document stays, whatever its age."""
    WITHDRAWN = "withdrawn"
    """The operator has withdrawn the document: it must not be shown, whatever its age."""


DECISIONS = {
    State.HELD: "newer versions are held back",
    State.ENDED: "no more versions will come",
    State.WITHDRAWN: "the document is withdrawn",
}
"""The states that follow from a decision and not from pulls, each with its meaning in the words of the log."""

GONE = (State.EXPIRED, State.WITHDRAWN)
"""The states in which the document must not be shown."""
