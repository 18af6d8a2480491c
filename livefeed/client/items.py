"""The documents that a client holds, and the messages that change them.

Rules: a document is shown after its hash was compared with its version, and never in a state that it is not in. The
module has no clock: a caller says when something happened.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

from livefeed.client.update import HIDING, Line, Shown, State
from livefeed.document.exact_json import DeltaError
from livefeed.document.signature import SignatureError
from livefeed.document.splices import apply_splices

if TYPE_CHECKING:
    from livefeed.client.messages import Message
    from livefeed.client.verification import Verifier
    from livefeed.document.signature import Signed

NOT_FOUND = 404
"""The only status of a refusal that says that there is no document. All others leave what is shown as it is."""

_VERSION_LENGTH = 32


def version_of(content: bytes) -> str:
    """Gives the version of a document."""
    return hashlib.sha256(content).hexdigest()[:_VERSION_LENGTH]


class Outcome(Enum):
    """The effect of a message."""

    TAKEN = auto()
    """The item is as the message says."""

    IGNORED = auto()
    """The message is about no item of this client."""

    LOST = auto()
    """The item cannot be brought to the version of the message: the client asks for the document."""

    UNSIGNED = auto()
    """The item stays as it is: what came is not signed as its user wants it; :attr:`Item.distrust` says why."""

    REFUSED = auto()
    """The server refuses the item."""


class Word(Protocol):
    """The facts about a document in a message or an answer."""

    @property
    def state(self) -> State:
        """The state."""

    @property
    def unknown_state(self) -> str:
        """The name of the state, if it is not known; otherwise ``""``."""

    @property
    def at(self) -> str | None:
        """The time of the last confirmation, by the server's clock."""

    @property
    def age_ms(self) -> int | None:
        """Milliseconds since then; ``None`` if that is not known."""

    @property
    def lifetime_ms(self) -> int | None:
        """Milliseconds for which the document may be shown without another word; ``None`` for no limit."""

    @property
    def reason(self) -> str:
        """Why the document is in its state; ``""`` if the server does not say it."""

    @property
    def waiting_ms(self) -> int | None:
        """Milliseconds for which a newer document has been held back; ``None`` if none waits."""


@dataclass(slots=True)
class Item:
    """One document: a feed's, or a part of it.

    :ivar path: the path in messages; ``None`` while it is not known.
    :ivar content: the bytes; ``None`` without a document. A part that is missing keeps them for the next splices.
    :ivar version: their version.
    :ivar sequence: the order of the version.
    :ivar state: the state, as it was last said.
    :ivar unknown_state: the name of a state that this client does not know; otherwise ``""``.
    :ivar at: the time of the last confirmation, by the server's clock.
    :ivar confirmed_s: the time of the last confirmation, in seconds by the caller's clock.
    :ivar expires_s: the time at which the document expires without another word of the server, by the same clock;
        ``None`` for never.
    :ivar reason: why the document is in its state; ``""`` if the server does not say it.
    :ivar overlay: pointers to the values that an editor has put in the place of those of the source.
    :ivar waits_since_s: the time since which a newer document is held back, by the same clock; ``None`` if none is.
    :ivar verified: whether the server named the version.
    :ivar verifier: verifies signed statements; ``None`` if no key was given.
    :ivar statement: the signed statement that came last with the document; ``None`` for none.
    :ivar distrust: why the last document or statement was not taken; ``""`` if it was.
    :ivar is_refused: whether the server has refused the item, so that the connection brings nothing of it.
    """

    path: str | None
    content: bytes | None = None
    version: str | None = None
    sequence: str | None = None
    state: State = State.WAITING
    unknown_state: str = ""
    at: str | None = None
    confirmed_s: float | None = None
    expires_s: float | None = None
    reason: str = ""
    waits_since_s: float | None = None
    overlay: tuple[str, ...] = ()
    verified: bool = False
    is_refused: bool = False
    verifier: Verifier | None = None
    statement: Signed | None = None
    distrust: str = ""

    @property
    def is_shown(self) -> bool:
        """Whether the document may be shown."""
        return self.content is not None and self.state not in (State.MISSING, *HIDING)

    def trusts(self, content: bytes, signed: Signed | None, now: float) -> bool:
        """Tells whether a document may be taken, or is still the newest one, and takes its statement.

        :param now: seconds by the caller's clock.
        """
        if self.verifier is None:
            return True
        try:
            self.verifier.take(signed, content, now)
        except SignatureError as error:
            self.distrust = f"a document is not shown: {error}"
        else:
            self.distrust = ""
        return not self.distrust

    def shown(self, line: Line, problem: str = "", *, is_silent: bool = False, distrust: str = "") -> Shown:
        """Gives everything that may be shown now.

        :param is_silent: whether the server has said nothing for longer than expected, so that nothing is live.
        :param distrust: why the document may not be the newest version; ``""`` without a reason.
        """
        state = State.STALE if is_silent and self.state is State.LIVE else self.state
        if not self.is_shown:
            shown = Shown(state=state, line=line, problem=problem)
        else:
            unknown = self.unknown_state if state is State.UNKNOWN else ""
            facts = self.content, self.version, self.sequence, state, line, self.at, self.verified, problem, unknown
            shown = Shown(*facts, signed=self.verifier is not None, statement=self.statement)
        overlay = self.overlay if self.is_shown else ()
        if not self.reason and self.waits_since_s is None and not distrust and not overlay:
            return shown
        is_waiting = self.waits_since_s is not None
        return replace(shown, reason=self.reason, is_waiting=is_waiting, overlay=overlay, distrust=distrust)

    def forget(self, state: State) -> None:
        """Forgets the document. The next one must be whole."""
        self.content = self.version = self.sequence = self.at = self.confirmed_s = self.expires_s = None
        self.state, self.verified, self.reason, self.waits_since_s = state, False, "", None
        self.overlay = ()

    def explain(self, word: Word, now: float) -> None:
        """Takes the reason of a state, and the time for which a newer document has been waiting.

        :param now: seconds by the caller's clock.
        """
        self.reason = word.reason
        self.waits_since_s = None if word.waiting_ms is None else now - word.waiting_ms / 1000

    def miss(self) -> None:
        """Takes note that the document has no such part now. Its bytes stay, for a part that comes back."""
        self.state, self.expires_s = State.MISSING, None

    def hold(self, content: bytes, version: str | None, *, sequence: str | None) -> bool:
        """Takes a document, if it has the version that the server names.

        :param version: that version; ``None`` if the server names none.
        :returns: whether it has been taken.
        """
        found = version_of(content)
        if version is not None and version != found:
            return False
        self.content, self.version, self.sequence, self.verified = content, found, sequence, version is not None
        return True

    def confirm(self, word: Word, now: float) -> None:
        """Takes a state, and the times that belong to it.

        :param now: seconds by the caller's clock.
        """
        state = word.state if self.verifier is None else self.verifier.state_of(word.state)
        self.state, self.unknown_state, self.at, self.is_refused = state, word.unknown_state, word.at, False
        self.confirmed_s = None if word.age_ms is None else now - word.age_ms / 1000
        self.expires_s = None if word.lifetime_ms is None else now + word.lifetime_ms / 1000
        self.explain(word, now)


@dataclass(slots=True)
class Items:
    """The items of one connection.

    :param max_bytes: the largest document that is taken.
    :ivar own: the item of the connection's URL. Its path may be unknown, since a proxy may have removed a prefix.
    """

    # required parameters
    own: Item
    max_bytes: int

    # internal state
    _others: dict[str, Item] = field(default_factory=dict)

    def add(self, item: Item) -> None:
        """Adds another item, with a path."""
        assert item.path is not None
        self._others[item.path] = item

    def remove(self, path: str) -> None:
        """Removes another item."""
        self._others.pop(path, None)

    def of(self, path: str) -> Item | None:
        """Gives the item with a path."""
        return self.own if path == self.own.path else self._others.get(path)

    @property
    def expires_s(self) -> float | None:
        """The time at which the next document expires without another word of the server; ``None`` for never."""
        times = [each.expires_s for each in (self.own, *self._others.values()) if each.expires_s is not None]
        return min(times, default=None)

    def expire(self, now: float) -> None:
        """Forgets the documents whose time is over."""
        for item in (self.own, *self._others.values()):
            if item.expires_s is not None and now >= item.expires_s:
                item.forget(State.EXPIRED)

    def receive(self, message: Message, now: float) -> tuple[Outcome, Item | None]:
        """Takes a message.

        :param now: seconds by the caller's clock.
        :returns: the effect, and the item that the message is about. A heartbeat of a whole feed also changes the parts
            of it.
        """
        if self.own.path is None and self._is_of_own(message):
            self.own.path = message.path
        item = self.of(message.path)
        if message.kind == "heartbeat":
            self._spread(message, now)
        if item is None:
            return Outcome.IGNORED, None
        return self._take(item, message, now), item

    def _is_of_own(self, message: Message) -> bool:
        """Tells whether a message is about the item of the URL, whose path is not known yet.

        A heartbeat may be one of the whole feed. That of the item itself says the version that the client has, or that
        there is no document.
        """
        if message.path in self._others:
            return False
        is_own = message.version == self.own.version and self.own.version is not None
        return message.kind != "heartbeat" or is_own or message.state in HIDING

    def _spread(self, message: Message, now: float) -> None:
        """Takes the heartbeat of a whole feed for the parts of it."""
        if "/" in message.path[1:]:
            return  # a part's own, which says nothing of the parts below it
        below = f"{message.path}/"
        for item in (self.own, *self._others.values()):
            if item.path is None or not item.path.startswith(below) or not item.is_shown:
                continue
            if message.state in HIDING:
                item.forget(message.state)
                item.explain(message, now)
            elif not item.is_refused:
                item.confirm(message, now)

    def _take(self, item: Item, message: Message, now: float) -> Outcome:
        if message.kind == "refused":
            item.is_refused = True
            if message.status == NOT_FOUND:
                item.miss()
            return Outcome.REFUSED
        if message.kind == "missing":
            item.is_refused = False
            item.miss()
            return Outcome.TAKEN
        if message.kind == "heartbeat" and message.state in HIDING:
            item.forget(message.state)
            item.explain(message, now)
            return Outcome.TAKEN
        take = self._take_heartbeat if message.kind == "heartbeat" else self._take_document
        outcome = take(item, message, now)
        if outcome is Outcome.TAKEN:
            item.sequence, item.statement = message.sequence, message.signed
            item.confirm(message, now)
            item.overlay = message.overlay
        return outcome

    @staticmethod
    def _take_heartbeat(item: Item, message: Message, now: float) -> Outcome:
        """Takes the word that a version is still the newest one."""
        if item.content is None or item.version is None or message.version != item.version:
            return Outcome.LOST
        return Outcome.TAKEN if item.trusts(item.content, message.signed, now) else Outcome.UNSIGNED

    def _take_document(self, item: Item, message: Message, now: float) -> Outcome:
        """Brings an item to the version of a message."""
        content = self._brought(item, message)
        # Splices may have met another version. That is no fraud, and the whole document will do.
        if content is None or (item.verifier is not None and version_of(content) != message.version):
            return Outcome.LOST
        if not item.trusts(content, message.signed, now):
            return Outcome.UNSIGNED
        return Outcome.TAKEN if item.hold(content, message.version, sequence=message.sequence) else Outcome.LOST

    def _brought(self, item: Item, message: Message) -> bytes | None:
        """Gives the document that a message makes of an item; ``None`` if that is not possible."""
        try:
            if message.kind == "document":
                content = message.text.encode()
            elif item.content is None or message.base != item.version:
                return None
            else:
                content = apply_splices(item.content, message.splices, self.max_bytes)
        except (DeltaError, UnicodeEncodeError):
            return None
        return content if len(content) <= self.max_bytes else None
