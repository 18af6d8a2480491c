"""The candidates of a feed: which are held back, why, and the newest one of these.

A candidate is a document that was pulled, before the decision whether it is shown.

Rules: this file publishes nothing. Only the newest candidate waits. A candidate that a rule refuses is shown only if
the rule is released, by an operator or by the times that its configuration allows.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twisted.logger import Logger

from livefeed.clocks import Moment
from livefeed.document.snapshot import version_of
from livefeed.intake.waiting import Alarm, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from twisted.internet.interfaces import IReactorTime

    from livefeed.feed.feed import Feed
    from livefeed.intake.making import Maker
    from livefeed.intake.waiting import Rules, Violation

_log = Logger()


@dataclass(frozen=True, slots=True)
class _Refusal:
    """Pulls in a row whose documents a rule has refused for the same value.

    :ivar violation: the last of them.
    :ivar pulls: their number.
    :ivar since_s: when the first was, by the clock.
    """

    violation: Violation
    pulls: int
    since_s: float


@dataclass(slots=True, eq=False)
class Candidates:
    """The candidates of one feed.

    :param feed: has the document that watchers are shown.
    :param clock: measures.
    :param wall: gives the time for display, in seconds since 1970.
    :param maker: makes snapshots, and calls functions in threads.
    :param rules: the rules; ``None`` for none.
    :ivar waiting: the newest candidate that is held back; ``None`` if none is.
    :ivar alarms: the violations by the newest candidate of rules that only raise an alarm, by the rules' names.
    :ivar violations: the number of candidates that violated a rule, by the rule's name and action.
    :ivar released: for each rule that holds nothing for a time, when that ends, by the clock.
    """

    # required parameters
    feed: Feed
    clock: IReactorTime
    wall: Callable[[], float]
    maker: Maker
    rules: Rules | None = None

    # internal state
    waiting: Waiting | None = None
    alarms: dict[str, Alarm] = field(default_factory=dict)
    violations: Counter[tuple[str, str]] = field(default_factory=Counter)
    released: dict[str, float] = field(default_factory=dict)
    _refusals: dict[str, _Refusal] = field(default_factory=dict)

    def now(self) -> Moment:
        """Gives the present time by both clocks."""
        return Moment(self.clock.seconds(), self.wall())

    def released_now(self) -> set[str]:
        """Gives the names of the rules that hold nothing now."""
        now_s = self.clock.seconds()
        for rule in [rule for rule, until_s in self.released.items() if until_s <= now_s]:
            del self.released[rule]
        return {*self.released}

    async def refusal(self, data: bytes, *, released: Collection[str] | None = None) -> Violation | None:
        """Gives the violation for which a rule holds a candidate; ``None`` if no rule does.

        :param released: the rules that hold nothing; ``None`` for those that hold nothing now.
        """
        return None

    def keep(self, data: bytes, violation: Violation | None, why: str) -> None:
        """Has a candidate wait, in the place of the one before.

        :param violation: why a rule holds it; ``None`` if only a decision does.
        :param why: the reason in that case.
        """
        before, now = self.waiting, self.now()
        # Another process may have held documents back before this one.
        since = before.since if before is not None else self.feed.notice.waiting or now
        is_same = before is not None and before.data == data
        rule = None if violation is None else violation.rule
        pulls = 1
        if before is not None and is_same and before.rule == rule:
            pulls = before.pulls + 1
        if violation is not None and rule in self._refusals:
            pulls = self._refusals[rule].pulls
        version = before.version if before is not None and is_same else version_of(data)
        self.waiting = Waiting(
            before.data if before is not None and is_same else data,
            version,
            since,
            now,
            rule,
            "" if violation is None else violation.pointer,
            why if violation is None else violation.why,
            pulls,
        )

    def clear(self) -> None:
        """Has no candidate wait: the newest one is shown, or the source gives the shown document again."""
        self.waiting = None
        self._refusals.clear()
