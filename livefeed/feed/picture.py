"""The picture of a feed, by which a process makes its own feed like that of another one."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from livefeed.feed.notice import NO_NOTICE, Notice

if TYPE_CHECKING:
    from livefeed.clocks import Moment
    from livefeed.config.settings import Push
    from livefeed.feed.state import State


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything that decides about a feed besides its snapshot, for a feed in another process that follows it.

    :ivar state: how current the feed is, without the decision.
    :ivar confirmed: when a pull last gave the snapshot's document; ``None`` before the first.
    :ivar heard_at_s: when something was last heard of the source, by the clock.
    :ivar tick_at_s: when the last tick began, by the clock.
    :ivar failing: why the last pull failed; ``None`` if it did not.
    :ivar has_lapsed: whether the feed is stale because nothing was heard of the source.
    :ivar patience_s: seconds without news of the source after which the feed becomes stale.
    :ivar interval_s: this, and all members up to ``max_delta_bytes``, are settings of the feed.
    :ivar notice: the notice of the desk.
    :ivar decided_at_s: when it was given, by the clock; minus infinity for never.
    """

    state: State
    confirmed: Moment | None
    heard_at_s: float
    tick_at_s: float
    failing: str | None
    has_lapsed: bool
    patience_s: float
    interval_s: float
    push: Push
    stale_after_s: float
    gone_after_s: float
    max_delta_bytes: int
    notice: Notice = NO_NOTICE
    decided_at_s: float = -inf
