"""The decisions about a feed: which candidates they hold back, and how a new one takes effect.

``candidates`` has the part of the rules, and ``desk`` the commands of an operator; each inherits from the one before.

Rules: a decision is durable before it takes effect, and before it is answered. It takes effect in one step: no watcher
is shown a document for a moment that the step before or the step after withholds. While a command is under way, no
candidate is shown; while a candidate is being shown, commands wait.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredLock, succeed
from twisted.logger import Logger

from livefeed.clocks import Moment
from livefeed.document.overlay import OverlayError
from livefeed.document.snapshot import Snapshot, version_of
from livefeed.document.stored_version import StoredVersion
from livefeed.document.timestamps import timestamp
from livefeed.exceptions import CommandError, DeskError, SourceError, StartError
from livefeed.feed.notice import NO_NOTICE, RULE, Notice
from livefeed.feed.state import DECISIONS, State
from livefeed.intake.candidates import Candidates
from livefeed.intake.desk_report import answer_of
from livefeed.intake.overlay import FeedOverlay, Trial
from livefeed.storage.desk_file import Decision, DeskRecord

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from twisted.python.failure import Failure

    from livefeed.clocks import Boot
    from livefeed.document.rules import Rules, Violation
    from livefeed.intake.archive import Archive
    from livefeed.intake.keeping import Keeping
    from livefeed.intake.making import Made
    from livefeed.intake.waiting import Waiting
    from livefeed.storage.desk_file import Kind

STATES: Mapping[Kind, State] = {
    "hold": State.HELD,
    "pin": State.HELD,
    "withdraw": State.WITHDRAWN,
    "end": State.ENDED,
}
"""The state of the feed by each kind of decision."""

MAX_RELEASE_S = 86_400.0
"""The longest time in seconds for which a rule can be released."""

IDLE_S = 5.0
"""Seconds for which a stop waits for a command that is under way. The disk has three seconds for it."""

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
    :ivar trial: the overlay from then on, with the newest candidate that it makes; ``None`` for the one of now.
    """

    decision: Decision | None
    shows: bytes | None = None
    confirmed: Moment | None = None
    refusal: Violation | None = None
    released: Mapping[str, float] | None = None
    waits: bool = False
    trial: Trial | None = None


@dataclass(slots=True, eq=False)
class Deciding(Candidates):
    """The part of a desk that has the decision in force.

    :param archive: has the earlier versions.
    :param keeping: keeps the decisions.
    :param place: the beginning of the message if the file of the decisions cannot be used.
    :param boot: the machine's boot, by which the next process measures the age of a version; ``None`` for none.
    :ivar decision: the decision in force; ``None`` for none.
    :ivar damage: why the decisions of before the start are not known; empty if they are.
    :ivar overlay: an editor's values in the documents.
    :ivar turn: held by a pull from its verdict until its document is shown, and by a command.
    """

    # required parameters
    archive: Archive = field(kw_only=True)
    keeping: Keeping = field(kw_only=True)
    place: str = ""
    boot: Boot | None = None

    # internal state
    decision: Decision | None = None
    damage: str = ""
    overlay: FeedOverlay = field(init=False)
    turn: DeferredLock = field(default_factory=DeferredLock)
    _chosen: Moment | None = None  # when the pinned version was chosen

    def __post_init__(self) -> None:
        self.overlay = FeedOverlay(self.feed.name)

    # The start

    def open(self) -> None:
        """Takes the decisions of an earlier process, after its versions were restored, and before anything is served.

        :raises StartError: if they cannot be read. If their file is damaged, the document is withdrawn instead.
        """
        if self.keeping.file is None:
            return
        try:
            record = self.keeping.file.read()
        except DeskError as error:
            if not error.is_damaged:
                raise StartError(f"livefeed: {self.place}: {error}") from None
            self.damage = str(error)
            record = DeskRecord(Decision("withdraw", "", "livefeed", self.wall()))
            text = (
                'feed "{feed}" is withdrawn, because its decisions cannot be read: {why}; '
                "look at its document, and then `livefeed ctl resume {feed}` or `livefeed ctl pin {feed} VERSION`"
            )
            _log.error(text, feed=self.feed.name, why=str(error))
        try:
            self.overlay.take(Trial.of(record.overlay, None))
        except OverlayError as error:
            raise StartError(f"livefeed: {self.place}: {self.keeping.file.path}: the overlay: {error}") from None
        self.keeping.record = record
        self.decision = record.decision
        left_s = {rule: min(until - self.wall(), MAX_RELEASE_S) for rule, until in record.released.items()}
        self.released = {rule: self.clock.seconds() + each for rule, each in left_s.items() if each > 0}
        if record.decision is not None:
            self._take_up(record)

    def begin(self) -> None:
        """Begins to decide, after the state of workers was recalled. They do not know of the last decisions.

        Without a file, theirs count.
        """
        notice, newest = self.feed.notice, self.feed.snapshot
        if newest is not None and notice.overlay:
            self.overlay.note(newest.version, notice.overlay)
        if self.decision is not None:
            self._take_up(self.keeping.record)
        elif notice.kind in STATES and notice.state is not None:
            if self.keeping.file is not None:
                self.feed.heed(self._notice(None))
                return
            version = None if self.feed.snapshot is None or notice.kind != "pin" else self.feed.snapshot.version
            kind: Any = notice.kind
            self.decision = Decision(kind, notice.why, "an operator, before a restart", self.wall(), version)
        elif self.overlay.edits:
            # The versions of an earlier process were restored without it.
            self.feed.heed(replace(notice, overlay=self.overlay.marks_of(newest)))

    def _take_up(self, record: DeskRecord) -> None:
        """Puts the decision of a record into effect."""
        if record.decision is not None and self._chosen is None:
            now = self.now()
            measured_s = now.measured_s - max(0.0, now.wall_s - record.decision.at)
            self._chosen = Moment(measured_s, record.decision.at, by_wall=True)
        shown, newest = record.shown, self.feed.snapshot
        if shown is not None:
            self.overlay.note(version_of(shown.data), record.marks)
        notice = self._notice(self.waiting, self.overlay.marks_of(newest) if shown is None else record.marks)
        notice = replace(notice, waiting=self.feed.notice.waiting)
        if shown is None or (newest is not None and newest.data == shown.data):
            self.feed.heed(notice)
        elif newest is None or newest.sequence < shown.sequence:
            self.feed.restore([shown], age_s=self._age_s(shown))
            self.feed.heed(notice)
        else:
            now, age_s = self.now(), self._age_s(shown)
            confirmed = Moment(now.measured_s - (age_s or 0.0), shown.at, by_wall=age_s is None)
            self.feed.show(Snapshot.of(shown.data, self.feed.next_sequence()), notice, confirmed=confirmed)

    def _age_s(self, version: StoredVersion) -> float | None:
        if self.boot is None or version.boot != self.boot.id:
            return None
        now_s = self.boot.seconds()
        return now_s - version.since_boot_s if 0 <= version.since_boot_s <= now_s else None

    def idle(self) -> Deferred[None]:
        """Gives a Deferred that fires when no command is under way, or after :data:`IDLE_S`."""
        return self.turn.run(lambda: None).addTimeout(IDLE_S, self.clock).addErrback(lambda _: None)

    # Pulls

    async def judge(self, data: bytes) -> tuple[bool, Violation | None]:
        """Decides about a candidate. The caller has the turn.

        :returns: whether it is shown, and why a rule holds it otherwise; ``None`` if only a decision does.
        """
        shown = self.feed.snapshot
        if shown is not None and data == shown.data:
            return True, None
        violation = await self.refusal(data, is_pull=True)
        return self.decision is None and violation is None, violation

    def take_rules(self, rules: Rules, *, judges: bool = True) -> Deferred[None]:
        """Takes other rules.

        :param judges: whether the waiting document is judged anew, before the next pull.
        :returns: fires when it is. An error is in the log.
        """
        self.rules = rules
        self.released = {rule: until_s for rule, until_s in self.released.items() if rule in rules.names}
        self._refusals.clear()
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

    def hold_back(self, data: bytes, violation: Violation | None, *, is_tick: bool) -> None:
        """Has a candidate wait. The caller has the turn since :meth:`judge`."""
        before = self.waiting
        self.keep(data, violation, self.why_held())
        assert self.waiting is not None
        self.overlay.note(self.waiting.version)
        if self.waiting.rule is not None and (before is None or before.rule != self.waiting.rule):
            text = 'feed "{feed}": a newer document is held back by the rule {rule}: {why}'
            _log.warn(text, feed=self.feed.name, rule=self.waiting.rule, why=self.waiting.why)
        notice = self._notice(self.waiting)
        # A notice is a sign of life already.
        is_told = notice != self.feed.notice
        self.feed.heed(notice)
        self.feed.note_held(is_tick=is_tick and not is_told)

    def notice_shown(self, snapshot: Snapshot) -> Notice:
        """Gives the notice for a pull whose document is shown."""
        return self._notice(None, self.overlay.note(snapshot.version))

    def note_shown(self, snapshot: Snapshot) -> None:
        """Takes note of a pull whose document is shown. The caller has the turn since :meth:`judge`."""
        if self.waiting is not None and self.decision is None:
            _log.info('feed "{feed}": no document is held back any more', feed=self.feed.name)
        self.clear()
        self.archive.note(snapshot)

    def _notice(self, waiting: Waiting | None, marks: tuple[str, ...] | None = None) -> Notice:
        """Gives the notice for a waiting document.

        :param marks: pointers to the values of an editor in the document that is shown; ``None`` for the one that is
            shown now.
        """
        marks = self.overlay.marks_of(self.feed.snapshot) if marks is None else marks
        notice = self._notice_without_marks(waiting)
        return replace(notice, overlay=marks) if marks else notice

    def _notice_without_marks(self, waiting: Waiting | None) -> Notice:
        decision, since = self.decision, None if waiting is None else waiting.since
        if decision is not None:
            state = STATES[decision.kind]
            # Nothing is told of the documents behind one that is withdrawn, or final.
            chosen = self._chosen if decision.kind == "pin" else None
            return Notice(state, decision.reason, since if state is State.HELD else None, decision.kind, chosen)
        return NO_NOTICE if waiting is None else Notice(State.HELD, waiting.why, since, RULE)

    def why_held(self) -> str:
        """Gives the reason of the decision in force, in words for watchers; ``""`` for none."""
        decision = self.decision
        return "" if decision is None else decision.reason or DECISIONS[STATES[decision.kind]]

    # Commands

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
        """Makes a decision.

        :raises CommandError: if the reason is too long.
        """
        self.check_reason(reason)
        return Decision(kind, reason, by, self.wall(), version)

    def check_reason(self, reason: str) -> None:
        """Checks the reason of an operator.

        :raises CommandError: if it is too long.
        """
        if len(reason) > MAX_REASON_CHARACTERS:
            raise CommandError(f"the reason has {len(reason)} characters, and {MAX_REASON_CHARACTERS} at most")

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
        _log.info('feed "{feed}": {command} by {by}', feed=self.feed.name, command=command, by=by)
        if made is not None:
            Deferred.fromCoroutine(self.maker.complete(made))
        return answer_of(self)

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

    def _put_into_effect(self, plan: Plan, made: Made | None) -> None:
        if plan.waits:
            self._chosen = self.now()
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
            self.feed.heed(self._notice(self.waiting))
            return
        assert plan.confirmed is not None
        notice = self._notice(self.waiting, self.overlay.marks_of(made.snapshot))
        self.feed.show(made.snapshot, notice, confirmed=plan.confirmed, deltas=made.deltas)
        if not plan.waits:
            self.archive.note(made.snapshot)
