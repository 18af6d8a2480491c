"""The decision that is in force about a feed: which candidates it holds back, and how a process begins with it.

``candidates`` has the part of the rules. ``enacting`` has the changes of the decision, ``overlaying`` those of the
overlay, and ``desk`` the commands of an operator. Each inherits from the one before.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger

from livefeed.clocks import Moment
from livefeed.document.overlay import OverlayError
from livefeed.document.snapshot import Snapshot, version_of
from livefeed.exceptions import DeskError, StartError
from livefeed.feed.notice import NO_NOTICE, RULE, Notice
from livefeed.feed.state import DECISIONS, State
from livefeed.intake.candidates import Candidates
from livefeed.intake.overlay import FeedOverlay, Trial
from livefeed.storage.desk_file import Decision, DeskRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

    from livefeed.clocks import Boot
    from livefeed.document.rules import Violation
    from livefeed.document.stored_version import StoredVersion
    from livefeed.intake.archive import Archive
    from livefeed.intake.keeping import Keeping
    from livefeed.intake.waiting import Waiting
    from livefeed.storage.desk_file import Kind

STATES: Mapping[Kind, State] = {
    "hold": State.HELD,
    "pin": State.HELD,
    "withdraw": State.WITHDRAWN,
    "end": State.ENDED,
}
"""The state of the feed by each kind of decision."""

UNKNOWN_DECISIONS = "it is not known what may be shown: the file of the decisions is damaged"
"""The reason of the decision of livefeed itself."""

MAX_RELEASE_S = 86_400.0
"""The longest time in seconds for which a rule can be released."""

IDLE_S = 5.0
"""Seconds for which a stop waits for a command that is under way. The disk has three seconds for it."""

_log = Logger()


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
    :ivar chosen: when the pinned version was chosen; ``None`` if none was.
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
    chosen: Moment | None = None

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
            record = DeskRecord(Decision("withdraw", UNKNOWN_DECISIONS, "livefeed", self.wall()))
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
                self.feed.heed(self.notice_of(None))
                return
            version = None if self.feed.snapshot is None or notice.kind != "pin" else self.feed.snapshot.version
            kind: Any = notice.kind
            self.decision = Decision(kind, notice.why, "an operator, before a restart", self.wall(), version)
        elif self.overlay.edits:
            # The versions of an earlier process were restored without it.
            self.feed.heed(replace(notice, overlay=self.overlay.marks_of(newest)))

    def _take_up(self, record: DeskRecord) -> None:
        """Puts the decision of a record into effect."""
        if record.decision is not None and self.chosen is None:
            now = self.now()
            measured_s = now.measured_s - max(0.0, now.wall_s - record.decision.at)
            self.chosen = Moment(measured_s, record.decision.at, by_wall=True)
        shown, newest = record.shown, self.feed.snapshot
        if shown is not None:
            self.overlay.note(version_of(shown.data), record.marks)
        notice = self.notice_of(self.waiting, self.overlay.marks_of(newest) if shown is None else record.marks)
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
        violation = await self.refusal(data, is_pull=True, lets_through=self.decision is None)
        return self.decision is None and violation is None, violation

    def hold_back(self, data: bytes, violation: Violation | None, *, is_tick: bool) -> None:
        """Has a candidate wait. The caller has the turn since :meth:`judge`."""
        before = self.waiting
        self.keep(data, violation, self.why_held())
        assert self.waiting is not None
        self.overlay.note(self.waiting.version)
        if self.waiting.rule is not None and (before is None or before.rule != self.waiting.rule):
            text = 'feed "{feed}": a newer document is held back by the rule {rule}: {why}'
            _log.warn(text, feed=self.feed.name, rule=self.waiting.rule, why=self.waiting.why)
        notice = self.notice_of(self.waiting)
        # A notice is a sign of life already.
        is_told = notice != self.feed.notice
        self.feed.heed(notice)
        self.feed.note_held(is_tick=is_tick and not is_told)

    def notice_shown(self, snapshot: Snapshot) -> Notice:
        """Gives the notice for a pull whose document is shown."""
        return self.notice_of(None, self.overlay.note(snapshot.version))

    def note_shown(self, snapshot: Snapshot) -> None:
        """Takes note of a pull whose document is shown. The caller has the turn since :meth:`judge`."""
        if self.waiting is not None and self.decision is None:
            _log.info('feed "{feed}": no document is held back any more', feed=self.feed.name)
        self.clear()
        self.archive.note(snapshot)

    def notice_of(self, waiting: Waiting | None, marks: tuple[str, ...] | None = None) -> Notice:
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
            chosen = self.chosen if decision.kind == "pin" else None
            return Notice(state, decision.reason, since if state is State.HELD else None, decision.kind, chosen)
        return NO_NOTICE if waiting is None else Notice(State.HELD, waiting.why, since, RULE)

    def why_held(self) -> str:
        """Gives the reason of the decision in force, in words for watchers; ``""`` for none."""
        decision = self.decision
        return "" if decision is None else decision.reason or DECISIONS[STATES[decision.kind]]
