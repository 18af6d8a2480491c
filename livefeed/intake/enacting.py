"""Changes of the decision: a command is planned, made durable, and put into effect.

Rules: a decision is durable before it takes effect, and before it is answered. It takes effect in one step: no watcher
is shown a document for a moment that the step before or the step after withholds. While a command is under way, no
candidate is shown; while a candidate is being shown, commands wait.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from livefeed.document.snapshot import version_of
from livefeed.document.stored_version import StoredVersion
from livefeed.document.timestamps import timestamp
from livefeed.exceptions import CommandError, SourceError
from livefeed.intake.deciding import Deciding
from livefeed.intake.desk_report import answer_of
from livefeed.storage.desk_file import Decision, DeskRecord

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from twisted.python.failure import Failure

    from livefeed.clocks import Moment
    from livefeed.document.rules import Rules, Violation
    from livefeed.intake.making import Made
    from livefeed.intake.overlay import Trial
    from livefeed.storage.desk_file import Kind


MAX_REASON_CHARACTERS = 200
"""The largest number of characters of an operator's reason."""

_log = Logger()


@dataclass(frozen=True, slots=True)
class Plan:
    """The outcome of a command, before it has any effect.

    :ivar decision: the decision from then on; ``None`` for none.
    :ivar shows: the document that is shown from then on; ``None`` for the one that is shown now.
    :ivar confirmed: when a pull last gave it.
    :ivar refusal: why a rule goes on to hold the waiting document, if there is no decision.
    :ivar released: the rules that are released from then on.
    :ivar waits: whether an earlier version is chosen, so that the one that is shown now waits, unless another one does.
    :ivar passed: the number of versions that were passed over on the way back to the one that is shown.
    :ivar trial: the overlay from then on, with the newest candidate that it makes; ``None`` for the one of now.
    """

    decision: Decision | None
    shows: bytes | None = None
    confirmed: Moment | None = None
    refusal: Violation | None = None
    released: Mapping[str, float] | None = None
    waits: bool = False
    trial: Trial | None = None
    passed: int = 0


@dataclass(slots=True, eq=False)
class Enacting(Deciding):
    """The part of a desk that changes the decision."""

    def take_rules(self, rules: Rules, *, judges: bool = True) -> Deferred[None]:
        """Takes other rules.

        :param judges: whether the waiting document is judged anew, before the next pull.
        :returns: fires when it is. An error is in the log.
        """
        self.rules = rules
        self.released = {rule: until_s for rule, until_s in self.released.items() if rule in rules.names}
        self._refusals.clear()
        self.held_also = None
        # A check that never ends must not keep other rules away.
        self._checks = set()
        self.alarms.clear()

        def log(failure: Failure) -> None:
            _log.failure('feed "{feed}": the waiting document was not judged anew', failure, feed=self.feed.name)

        return Deferred.fromCoroutine(self._judge_again()).addErrback(log) if judges else succeed(None)

    async def _judge_again(self) -> None:
        await self.turn.acquire()
        try:
            waiting = self.waiting
            if waiting is None:
                return
            refusal = await self.refusal(waiting.data)
            is_shown = refusal is None and self.decision is None
            shows, confirmed = (waiting.data, waiting.pulled) if is_shown else (None, None)
            plan = Plan(self.decision, shows, confirmed, refusal)
            made = await self._made(plan)
            self._put_into_effect(plan, made)
        finally:
            self.turn.release()
        if made is not None:
            _log.info('feed "{feed}": by the new rules, no document is held back any more', feed=self.feed.name)
            await self.maker.complete(made)

    def refuse_if(self, *kinds: Kind, instead: str = "`resume` takes that back") -> None:
        """Refuses a command if a decision of some kind is in force.

        :param instead: the way out.
        :raises CommandError: if one is.
        """
        decision = self.decision
        if decision is not None and decision.kind in kinds:
            done = {"withdraw": "withdrawn", "end": "ended", "pin": "pinned to a version", "hold": "held"}
            raise CommandError(f"the feed is {done[decision.kind]}: {instead}")

    def decide(self, kind: Kind, by: str, reason: str, version: str | None = None) -> Decision:
        """Makes a decision."""
        return Decision(kind, reason, by, self.wall(), version)

    @staticmethod
    def check_reason(reason: str) -> None:
        """Checks the reason of an operator, which logs and watchers are told.

        :raises CommandError: if it is too long, or would break a line.
        """
        if len(reason) > MAX_REASON_CHARACTERS:
            raise CommandError(f"the reason has {len(reason)} characters, and {MAX_REASON_CHARACTERS} at most")
        if not reason.isprintable():
            raise CommandError("the reason has a control character; it is one line of text")

    async def run(
        self, command: str, by: str, arguments: Mapping[str, Any], plan: Callable[[], Awaitable[Plan]]
    ) -> dict[str, Any]:
        """Runs a command.

        :param by: the name under which the operator had access.
        :param arguments: the arguments, for the audit.
        :param plan: gives the outcome, once no pull and no other command is under way.
        :returns: the answer.
        :raises CommandError: if that is not possible, or could not be kept. Nothing has changed then.
        """
        given = {name: value for name, value in arguments.items() if value not in (None, "", False)}
        entry = {
            "at": timestamp(self.wall()),
            "by": by,
            "command": command,
            "feed": self.feed.name,
            "arguments": given,
        }
        await self.turn.acquire()
        try:
            self.check_reason(given.get("reason", ""))
            try:
                planned = await plan()
            except SourceError as error:
                raise CommandError(str(error)) from None
            made = await self._made(planned)
            await self.keeping.store(self._record(planned, made), {**entry, "outcome": "done"})
            self._put_into_effect(planned, made)
        except CommandError as error:
            self.keeping.note({**entry, "outcome": f"failed: {error}"})
            raise
        finally:
            self.turn.release()
        self._log_command(command, by, given)
        if made is not None:
            Deferred.fromCoroutine(self.maker.complete(made))
        answer = answer_of(self)
        return {**answer, "passed_over": planned.passed} if planned.passed else answer

    def _log_command(self, command: str, by: str, given: Mapping[str, Any]) -> None:
        """Logs a command, with its arguments as JSON, and what watchers see from then on. The audit has the values."""
        told = {name: value for name, value in given.items() if name not in ("value", "expect")}
        snapshot = self.feed.snapshot
        _log.info(
            'feed "{feed}": {command} by {by}{more}: it is {state}, {version}',
            feed=self.feed.name,
            command=command,
            by=by,
            more=f" {json.dumps(told)}" if told else "",
            state=self.feed.state.value,
            version="without a document"
            if snapshot is None or self.feed.is_gone()
            else f"with version {snapshot.version}",
        )

    async def _made(self, plan: Plan) -> Made | None:
        """Gives the snapshot of the document that a plan shows; ``None`` if it is shown already."""
        newest = self.feed.snapshot
        if plan.shows is None or (newest is not None and newest.data == plan.shows):
            return None
        try:
            return await self.maker.make(plan.shows)
        except SourceError as error:
            raise CommandError(str(error)) from None

    def _record(self, plan: Plan, made: Made | None) -> DeskRecord:
        released = self.released if plan.released is None else plan.released
        ends = {rule: self.wall() + until_s - self.clock.seconds() for rule, until_s in released.items()}
        decision = plan.decision
        edits = self.overlay.edits if plan.trial is None else plan.trial.edits
        snapshot = self.feed.snapshot if made is None else made.snapshot
        if decision is None or decision.kind == "withdraw" or snapshot is None:
            return DeskRecord(decision, ends, overlay=edits)
        confirmed = self.feed.confirmed if made is None else plan.confirmed
        age_s = 0.0 if confirmed is None else confirmed.age_s(self.now())
        shown = StoredVersion(snapshot.data, snapshot.sequence, self.wall() - age_s)
        if self.boot is not None:
            since_s = max(0.0, self.boot.seconds() - age_s)
            shown = StoredVersion(shown.data, shown.sequence, shown.at, self.boot.id, since_s)
        return DeskRecord(decision, ends, shown, edits, self.overlay.marks_of(snapshot))

    def _take_trial(self, plan: Plan, trial: Trial) -> None:
        """Takes another overlay, and the document with it as the newest candidate."""
        self.overlay.take(trial)
        if trial.source is None:
            return
        shown = self.feed.snapshot
        if plan.shows is not None or (shown is not None and shown.data == trial.result.data):
            self.overlay.note(version_of(trial.result.data))
            self.clear()
        else:
            self.keep(trial.result.data, plan.refusal, self.why_held())
            assert self.waiting is not None
            self.overlay.note(self.waiting.version)

    def _note_choice(self, decision: Decision | None) -> None:
        """Takes note that an earlier version is chosen."""
        self.chosen = self.now()
        if decision is not None and decision.version is not None:
            self.archive.choose(decision.version)

    def _put_into_effect(self, plan: Plan, made: Made | None) -> None:
        if plan.waits:
            self._note_choice(plan.decision)
        self.decision, self.damage = plan.decision, ""
        if plan.released is not None:
            self.released = dict(plan.released)
        before, waiting = self.feed.snapshot, self.waiting
        if plan.trial is not None:
            self._take_trial(plan, plan.trial)
        elif waiting is not None and plan.shows == waiting.data:
            self.clear()
        elif waiting is not None:
            if plan.refusal is not None or waiting.rule is None:
                self.keep(waiting.data, plan.refusal, self.why_held(), is_pull=False)
        elif plan.waits and made is not None and before is not None:
            # The source still gives it.
            self.keep(before.data, None, self.why_held())
        if made is None:
            self.feed.heed(self.notice_of(self.waiting))
            return
        assert plan.confirmed is not None
        notice = self.notice_of(self.waiting, self.overlay.marks_of(made.snapshot))
        self.feed.show(made.snapshot, notice, confirmed=plan.confirmed, deltas=made.deltas)
        if not plan.waits:
            self.archive.note(made.snapshot)
