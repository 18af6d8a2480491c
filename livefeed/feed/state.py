"""The states of a feed, as clients are told them."""

from __future__ import annotations

from enum import StrEnum


class State(StrEnum):
    """How current a feed is, or the operator's decision about its document.

    The documentation has the texts behind the names; the second paragraph of each is for clients.
    """

    LIVE = "live"
    """The last pull was good, or pulls have failed for less time than the operator allows.

    Clients show the document.
    """
    STALE = "stale"
    """Pulls fail or are refused, or none has ended for some ticks: the document is older than it should be.

    Clients show the document, its age, and that it is stale.
    """
    EXPIRED = "expired"
    """The document is older than the operator wants to show.

    Clients show no document, and forget the one that they have.
    """
    HELD = "held"
    """A newer document exists and is held back; this one is the last that passed.

    Clients show the document, and that it is held.
    """
    ENDED = "ended"
    """No more versions will come.

    Clients show the document as the final one, whatever its age.
    """
    WITHDRAWN = "withdrawn"
    """The operator has withdrawn the document: it must not be shown, whatever its age.

    Clients show no document, and forget the one that they have.
    """


DECISIONS = {
    State.HELD: "newer versions are held back",
    State.ENDED: "no more versions will come",
    State.WITHDRAWN: "the document is withdrawn",
}
"""The states that follow from a decision and not from pulls, each with its meaning in the words of the log."""

GONE = (State.EXPIRED, State.WITHDRAWN)
"""The states in which the document must not be shown."""
