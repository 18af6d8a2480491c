"""The notice of a feed: all that the desk has watchers told, besides the document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from livefeed.clocks import Moment
    from livefeed.feed.state import State

MAX_REASON_CHARACTERS = 200
"""The largest number of characters of a reason that watchers are told. A longer one is cut."""


RULE = "rule"
"""The kind of a notice that follows from a rule, and not from a decision."""

SOURCE = "source"
"""The kind of a notice that follows from the end of the source, and not from a decision."""


@dataclass(frozen=True, slots=True)
class Notice:
    """All that the desk has watchers told about a feed. Each change of it is pushed like a change of state.

    :ivar state: held, ended or withdrawn; ``None`` if the state follows from pulls alone.
    :ivar why: the reason, in words for watchers; empty for the meaning of the state.
    :ivar waiting: since when a newer document is held back; ``None`` if none is.
    :ivar kind: the kind of the decision of which this is the notice, or :data:`RULE` or :data:`SOURCE`; empty for none.
        Another process that takes over learns the decision from it if there is no state directory.
    :ivar chosen: when an operator has chosen the version that is shown, and answers for it; ``None`` if none has.
    :ivar overlay: pointers to the values of the shown document that an editor has put in the place of those of the
        source; see :mod:`livefeed.document.overlaid_pointers`.
    """

    state: State | None = None
    why: str = ""
    waiting: Moment | None = None
    kind: str = ""
    chosen: Moment | None = None
    overlay: tuple[str, ...] = ()


NO_NOTICE = Notice()
"""The notice while the newest document is shown."""


@dataclass(frozen=True, slots=True)
class Told:
    """All that messages say about the state, besides times. An object is replaced only when something has changed.

    :ivar state: the state.
    :ivar reason: why there is no new document; empty if there is one, or if watchers are not to be told.
    :ivar is_waiting: whether a newer document is held back.
    :ivar overlay: pointers to the values that an editor has put in the place of those of the source; of a part, as
        pointers in that part.
    """

    state: State
    reason: str = ""
    is_waiting: bool = False
    overlay: tuple[str, ...] = ()
