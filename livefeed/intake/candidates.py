"""The candidates of a feed: which are held back, why, and the newest one of these.

A candidate is a document that was pulled, before the decision whether it is shown.

Rules: this file publishes nothing. Only the newest candidate waits. A candidate that a rule refuses is shown only if
the rule is released, by an operator or by the times that its configuration allows.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twisted.internet.defer import TimeoutError  # noqa: A004
from twisted.logger import Logger

from livefeed.clocks import Moment
from livefeed.document.codings import is_large
from livefeed.document.rules import Rules, same_refusal
from livefeed.document.snapshot import version_of
from livefeed.document.timestamps import length_of
from livefeed.exceptions import SourceError
from livefeed.intake.making import MAX_S
from livefeed.intake.waiting import Alarm, Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from twisted.internet.interfaces import IReactorTime

    from livefeed.document.rules import Verdict, Violation
    from livefeed.feed.feed import Feed
    from livefeed.intake.making import Maker
    from livefeed.intake.refused import RefusedDocuments

MAX_CHECKS = 3
"""The number of checks in threads that have not ended, from which on no more begin. One that takes too long goes on: a
schema that refers to itself twice can take for ever, with a document that is nested deeply."""

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
class _Checked:
    """The candidate that was checked last.

    :ivar verdicts: the verdicts on it, by the rules that were left out.
    :ivar counted: the rules whose violations were counted.
    """

    # required parameters
    rules: Rules
    shown: bytes | None
    data: bytes

    # internal state
    verdicts: dict[frozenset[str], Verdict] = field(default_factory=dict)
    counted: set[str] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class Candidates:
    """The candidates of one feed.

    :param feed: has the document that watchers are shown.
    :param clock: measures.
    :param wall: gives the time for display, in seconds since 1970.
    :param maker: makes snapshots, and calls functions in threads.
    :param rules: the rules.
    :ivar waiting: the newest candidate that is held back; ``None`` if none is.
    :ivar alarms: the violations by the newest candidate of rules that only raise an alarm, by the rules' names.
    :ivar violations: the number of candidates that violated a rule, by the rule's name and action.
    :ivar released: for each rule that holds nothing for a time, when that ends, by the clock.
    :ivar refused: keeps refused documents for the operator; ``None`` to keep none.
    :ivar held_also: the rule that would hold the newest candidate once the rule that holds it lets it through by
        itself; ``None`` if none would, or if the rule never does that.
    """

    # required parameters
    feed: Feed
    clock: IReactorTime
    wall: Callable[[], float]
    maker: Maker
    rules: Rules = field(default_factory=Rules)

    # internal state
    waiting: Waiting | None = None
    alarms: dict[str, Alarm] = field(default_factory=dict)
    violations: Counter[tuple[str, str]] = field(default_factory=Counter)
    released: dict[str, float] = field(default_factory=dict)
    refused: RefusedDocuments | None = None
    held_also: str | None = None
    _refusals: dict[str, _Refusal] = field(default_factory=dict)
    _checked: _Checked | None = None
    _checks: set[object] = field(default_factory=set)  # those in threads that have not ended

    def now(self) -> Moment:
        """Gives the present time by both clocks."""
        return Moment(self.clock.seconds(), self.wall())

    def released_now(self) -> set[str]:
        """Gives the names of the rules that hold nothing now."""
        now_s = self.clock.seconds()
        for rule in [rule for rule, until_s in self.released.items() if until_s <= now_s]:
            del self.released[rule]
        return {*self.released}

    async def refusal(
        self,
        data: bytes,
        *,
        released: Collection[str] | None = None,
        is_pull: bool = False,
        lets_through: bool = True,
    ) -> Violation | None:
        """Gives the violation for which a rule holds a candidate; ``None`` if no rule does.

        :param released: the rules that hold nothing; ``None`` for those that hold nothing now.
        :param is_pull: whether the candidate was just pulled, which counts for the release of rules by themselves.
        :param lets_through: whether rules may release it by themselves: while an operator's decision holds it, the
            operator is still to see which rule refuses it.
        :raises SourceError: if the check takes too long.
        """
        if not self.rules.specs:
            return None
        skip = self.released_now() if released is None else {*released}
        refusals: dict[str, _Refusal] = {}
        verdict = await self._check(data, skip, is_pull=is_pull)
        while is_pull and (held := verdict.held) is not None:
            refusals[held.rule] = refusal = self._counted(held)
            if not (lets_through and self._is_due(refusal)):
                break
            skip.add(held.rule)
            verdict = await self._check(data, skip, is_pull=is_pull)
        if is_pull:
            if verdict.held is None:
                # It is shown now.
                for refusal in refusals.values():
                    self._log_release(refusal)
            self._refusals = refusals
            self.held_also = await self._next_rule(data, skip, verdict.held)
            self._take_alarms(verdict.alarms)
        return verdict.held

    async def _next_rule(self, data: bytes, skip: Collection[str], held: Violation | None) -> str | None:
        """Gives the rule that would hold a candidate once another one lets it through by itself; ``None`` for none.

        :raises SourceError: if the check takes too long.
        """
        if held is None or self.until_release(held.rule) == (None, None):
            return None
        held = (await self._check(data, {*skip, held.rule}, is_pull=False)).held
        return None if held is None else held.rule

    def checker(self) -> Callable[[bytes], Violation | None]:
        """Gives a function that tells why a rule would hold a document now; ``None`` if no rule would.

        It may be called in a thread.
        """
        check, skip = self.rules.check, self.released_now()
        shown = None if self.feed.snapshot is None else self.feed.snapshot.data
        return lambda data: None if data == shown else check(shown, data, skip).held

    async def _check(self, data: bytes, skip: Collection[str], *, is_pull: bool) -> Verdict:
        """Checks a candidate, in a thread if it is large. The same candidate is checked once."""
        shown = None if self.feed.snapshot is None else self.feed.snapshot.data
        checked, names = self._checked, frozenset(skip)
        if checked is None or checked.shown is not shown or checked.rules is not self.rules or checked.data != data:
            checked = self._checked = _Checked(self.rules, shown, data)
        verdict = checked.verdicts.get(names)
        if verdict is None:
            check = checked.rules.check
            if not (is_large(data) or checked.rules.may_take_long):
                verdict = check(shown, data, names)
            else:
                verdict = await self._check_in_thread(check, shown, data, names)
            checked.verdicts[names] = verdict
        if is_pull:
            for each in (*((verdict.held,) if verdict.held is not None else ()), *verdict.alarms):
                if each.rule not in checked.counted:
                    checked.counted.add(each.rule)
                    self.violations[each.rule, each.action] += 1
        return verdict

    async def _check_in_thread(
        self, check: Callable[..., Verdict], shown: bytes | None, data: bytes, names: frozenset[str]
    ) -> Verdict:
        if len(self._checks) >= MAX_CHECKS:
            why = f"{len(self._checks)} checks by the rules that took longer than {MAX_S:g} s go on"
            raise SourceError(f"{why}; look for a schema that refers to itself more than once, and reload without it")
        checks, mark = self._checks, object()

        def check_and_end() -> Verdict:
            try:
                return check(shown, data, names)
            finally:
                checks.discard(mark)

        checks.add(mark)
        try:
            verdict: Verdict = await self.maker.thread(check_and_end)
        except OSError:
            # There is no thread, and the reactor's thread does it.
            verdict = check_and_end()
        except TimeoutError:
            raise SourceError(f"to check the document by the rules takes longer than {MAX_S:g} s") from None
        return verdict

    def _counted(self, violation: Violation) -> _Refusal:
        """Counts a pull whose document a rule refuses."""
        before = self._refusals.get(violation.rule)
        if before is None or not same_refusal(before.violation, violation):
            return _Refusal(violation, 1, self.clock.seconds())
        return _Refusal(violation, before.pulls + 1, before.since_s)

    def _log_release(self, refusal: _Refusal) -> None:
        _log.warn(
            'feed "{feed}": the rule {rule} lets the same value through after {pulls} pulls in {s} s: {why}',
            feed=self.feed.name,
            rule=refusal.violation.rule,
            pulls=refusal.pulls,
            s=length_of(self.clock.seconds() - refusal.since_s),
            why=refusal.violation.why,
        )

    def _is_due(self, refusal: _Refusal) -> bool:
        """Tells whether a rule lets a value through by itself, because it has refused it for long."""
        pulls, seconds = self.until_release(refusal.violation.rule, refusal)
        return (pulls is not None and pulls <= 0) or (seconds is not None and seconds <= 0)

    def until_release(self, rule: str, refusal: _Refusal | None = None) -> tuple[int | None, float | None]:
        """Gives the number of pulls, and the seconds, until a rule lets the refused value through by itself.

        :returns: each is ``None`` if it never does.
        """
        refusal = refusal or self._refusals.get(rule)
        spec = next((each for each in self.rules.specs if each.name == rule), None)
        if refusal is None or spec is None:
            return None, None
        seconds = refusal.since_s + spec.release_after_s - self.clock.seconds()
        return (
            spec.release_pulls - refusal.pulls if spec.release_pulls else None,
            seconds if spec.release_after_s else None,
        )

    def _take_alarms(self, violations: Iterable[Violation]) -> None:
        before, self.alarms = self.alarms, {}
        for each in violations:
            known = before.pop(each.rule, None)
            since = self.now() if known is None else known.since
            self.alarms[each.rule] = Alarm(each.rule, each.pointer, each.why, since)
            if known is None:
                _log.warn(
                    'feed "{feed}": alarm of the rule {rule}: {why}', feed=self.feed.name, rule=each.rule, why=each.why
                )
        for rule in before:
            _log.info('feed "{feed}": the alarm of the rule {rule} is over', feed=self.feed.name, rule=rule)

    def keep(self, data: bytes, violation: Violation | None, why: str, *, is_pull: bool = True) -> None:
        """Has a candidate wait, in the place of the one before.

        :param violation: why a rule holds it; ``None`` if only a decision does.
        :param why: the reason in that case.
        :param is_pull: whether the candidate was just pulled.
        """
        before, now = self.waiting, self.now()
        is_same = before is not None and before.data == data
        if violation is not None and self.refused is not None:
            self.refused.note(data, violation.rule, violation.pointer, violation.why)
        rule, pointer = (None, "") if violation is None else (violation.rule, violation.pointer)
        pulls = 1
        if rule in self._refusals:
            pulls = self._refusals[rule].pulls
        elif before is not None and is_same and before.rule == rule:
            pulls = before.pulls + is_pull
        self.waiting = Waiting(
            before.data if before is not None and is_same else data,
            before.version if before is not None and is_same else version_of(data),
            # Another process may have held documents back before this one.
            before.since if before is not None else self.feed.notice.waiting or now,
            before.pulled if before is not None and is_same and not is_pull else now,
            rule,
            pointer,
            why if violation is None else violation.why,
            pulls,
        )

    def clear(self) -> None:
        """Has no candidate wait: the newest one is shown, or the source gives the shown document again."""
        self.waiting = self.held_also = None
        self._refusals.clear()
