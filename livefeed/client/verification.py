"""The verification of signed statements: whether a document is the one of the feed, and the newest one.

Rules: a document without a statement, or with a wrong one, is not taken. A sequence that is lower than one that was
verified is not taken. An unsigned state counts only if it is more careful than the signed one. The module has no clock
but the one that it is given for the first statement.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from livefeed import clocks
from livefeed.client.update import HIDING, State, state_of
from livefeed.document.signature import SignatureError, verified
from livefeed.document.timestamps import timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from livefeed.document.signature import Signed, Verified

TOLERANCE_S = 60.0
"""Seconds by which the clocks of signer and verifier may differ, unless the user sets another limit. They count for the
first statement; after that only the time between statements does."""

_CAREFUL = (State.STALE, State.HELD, *HIDING)
"""The states that need no signature: to say one of them is to promise less."""


@dataclass(frozen=True, slots=True)
class Trust:
    """The keys that a user trusts for a feed.

    :ivar keys: verify a signature of bytes, and raise if it is none; by the ids of the keys.
    :ivar feed: the name of the feed, as its statements have it.
    :ivar tolerance_s: seconds by which the clocks of the signer and of this machine may differ.
    :ivar wall: the clock of this machine, in seconds since 1970.
    """

    keys: Mapping[str, Callable[[bytes, bytes], object]]
    feed: str
    tolerance_s: float = TOLERANCE_S
    wall: Callable[[], float] = clocks.wall


@dataclass(slots=True)
class Verifier:
    """Verifies the statements of one client, in the order in which they come.

    :ivar trust: the keys.
    :ivar newest: the newest statement that was verified; ``None`` before the first.
    """

    # required parameters
    trust: Trust

    # internal state
    newest: Verified | None = None
    _ahead_s: float = field(default=-inf)  # the signer's clock less that of the caller, at least

    def take(self, signed: Signed | None, content: bytes, now: float) -> None:
        """Takes the statement that came with a document, or about one that the client has.

        :param content: the bytes of that document.
        :param now: seconds by the caller's clock.
        :raises SignatureError: if the document must not be taken. The message says why.
        """
        if signed is None:
            raise SignatureError("it is not signed, although a key was given (parts of documents never are)")
        found = verified(signed, self.trust.keys)
        statement, newest = found.statement, self.newest
        if statement.feed != self.trust.feed:
            raise SignatureError(f"it is signed for the feed {statement.feed!r}, and not for {self.trust.feed!r}")
        if statement.digest != hashlib.sha256(content).digest():
            raise SignatureError("it is not the document that was signed")
        if newest is not None and statement.sequence < newest.statement.sequence:
            earlier, later = statement.sequence_text, newest.statement.sequence_text
            raise SignatureError(f"it is older than one that was verified before: {earlier} < {later}")
        if newest is not None and statement.sequence == newest.statement.sequence:
            if statement.digest != newest.statement.digest:
                raise SignatureError(f"two documents are signed as {statement.sequence_text}")
            if found.created < newest.created:
                # From a cache or another worker. It says nothing new.
                return
        self.newest = found
        # The statement may have been under way for long, but not since before it was made.
        least_s = self.trust.wall() - self.trust.tolerance_s - now
        self._ahead_s = max(self._ahead_s, found.created - now, least_s)

    def state_of(self, said: State) -> State:
        """Gives the state that may be shown.

        :param said: the state of a message or an answer, which is not signed.
        """
        if self.newest is None or said in _CAREFUL:
            return said
        return state_of(self.newest.statement.state)

    @property
    def fresh_until_s(self) -> float:
        """The time, by the caller's clock, until which the newest statement holds; infinite for a final document."""
        newest = self.newest
        if newest is None or newest.statement.state == State.ENDED:
            return inf
        # Both times are whole seconds.
        return newest.expires + 1 - self._ahead_s

    def why_not_fresh(self, now: float) -> str:
        """Gives why the document may not be the newest one; ``""`` if it is.

        :param now: seconds by the caller's clock.
        """
        if self.newest is None or now < self.fresh_until_s:
            return ""
        # Without the age, which would be another text each second.
        return (
            f"the newest signed statement is of {timestamp(self.newest.created)}: a proxy or mirror on the way does "
            "not pass on newer ones, or the clock of this machine or of the signer is wrong"
        )
