"""The changes of an overlay: a command of an operator, by which another document is shown at once, or waits.

Rule: an overlay is judged like a document of the source. If a rule refuses the result, it waits; the command says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import TimeoutError  # noqa: A004

from livefeed.document.codings import is_large
from livefeed.document.gate import check_document
from livefeed.document.overlay import Edit, OverlayError, with_edit, without_edit
from livefeed.exceptions import CommandError, DocumentError, SourceError
from livefeed.intake.desk_report import answer_of
from livefeed.intake.enacting import Enacting, Plan
from livefeed.intake.overlay import Trial, report_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from livefeed.clocks import Moment

ACTIONS = ("set", "add", "remove", "drop", "clear")
"""The actions of the command."""


@dataclass(frozen=True, slots=True)
class OverlayChange:
    """A change of an overlay.

    :ivar action: one of :data:`ACTIONS`.
    :ivar pointer: the selector of the entry.
    :ivar value: the JSON of the new value, as text.
    :ivar expect: the JSON of the value that the source must have, as text.
    """

    action: str
    pointer: str = ""
    value: str | None = None
    expect: str | None = None

    def arguments(self) -> dict[str, Any]:
        """Gives the members, for the audit."""
        return {"action": self.action, "pointer": self.pointer, "value": self.value, "expect": self.expect}

    def applied(self, edits: Sequence[Edit], by: str, at: float, reason: str) -> Sequence[Edit]:
        """Gives the entries after the change.

        :raises OverlayError: if it is malformed, or there is nothing to drop.
        """
        match self.action:
            case "set" | "add" | "remove" as action:
                return with_edit(edits, Edit(self.pointer, action, self.value, self.expect, by, at, reason))
            case "drop":
                return without_edit(edits, self.pointer)
            case "clear" if edits:
                return ()
            case "clear":
                raise OverlayError("the overlay has no entries")
            case _:
                raise OverlayError(f"there is no action {self.action[:100]!r}: one of {', '.join(ACTIONS)}")


@dataclass(frozen=True, slots=True)
class LastPull:
    """The last good pull.

    :ivar source: the document as it was pulled.
    :ivar at: when it was pulled.
    :ivar max_bytes: the size in bytes of the largest document.
    """

    source: bytes
    at: Moment
    max_bytes: int


@dataclass(slots=True, eq=False)
class Overlaying(Enacting):
    """The part of a desk that puts an editor's values into documents."""

    # internal state
    _last: LastPull | None = None

    async def overlaid(self, source: bytes) -> bytes:
        """Gives a document of the source with the overlay. The caller has the turn.

        :raises SourceError: if that takes too long.
        """
        if not self.overlay.edits:
            return source
        self.overlay.take(await self._tried(source, self.overlay.trial.on))
        return self.overlay.trial.result.data

    def note_source(self, source: bytes, max_bytes: int) -> None:
        """Takes note of a good pull: the next overlay is put into its document.

        :param max_bytes: the size in bytes of the largest document.
        """
        self._last = LastPull(source, self.now(), max_bytes)

    async def _tried(self, source: bytes, work: Callable[[bytes], Trial]) -> Trial:
        """Puts entries into a document, in a thread if it is large."""
        if not is_large(source) or source == self.overlay.trial.source:
            return work(source)
        try:
            trial: Trial = await self.maker.thread(work, source)
        except OSError:
            # There is no thread, and the reactor's thread does it.
            return work(source)
        except TimeoutError:
            raise SourceError("to put the overlay into the document takes too long") from None
        return trial

    async def edit_overlay(self, change: OverlayChange, *, by: str, reason: str = "") -> dict[str, Any]:
        """Changes the overlay, and shows the last document of the source with it, unless something holds it.

        :param by: the name under which the operator had access.
        :param reason: the operator's text about it.
        :returns: the answer, with the entries.
        :raises CommandError: if the entry is malformed, or could not be kept. Nothing has changed then.
        """

        async def plan() -> Plan:
            return await self._planned(change, by, reason)

        answer = await self.run("overlay", by, {**change.arguments(), "reason": reason}, plan)
        return {**answer, "overlay": self.overlay.report()}

    async def preview_overlay(self, change: OverlayChange, *, by: str, reason: str = "") -> dict[str, Any]:
        """Tells what a change of the overlay would do now, and changes nothing.

        :returns: how the feed is, with the entries as they would be, and ``effect``: ``shown`` if watchers would be
            shown another document, ``waits`` if that would wait, ``none`` if the document would be the one that they
            are shown now, and ``unknown`` before the first pull. ``rule`` and ``why`` tell of the rule that would hold
            it back.
        :raises CommandError: if the command would be refused.
        """
        await self.turn.acquire()
        try:
            plan = await self._planned(change, by, reason)
        except SourceError as error:
            raise CommandError(str(error)) from None
        finally:
            self.turn.release()
        trial, shown, refusal = plan.trial, self.feed.snapshot, plan.refusal
        assert trial is not None
        if trial.source is None:
            effect = "unknown"
        elif plan.shows is not None:
            effect = "shown"
        else:
            effect = "none" if shown is not None and shown.data == trial.result.data else "waits"
        why = {"rule": None, "why": None} if refusal is None else {"rule": refusal.rule, "why": refusal.why}
        return {**answer_of(self), "overlay": report_of(trial), "effect": effect, **why}

    async def _planned(self, change: OverlayChange, by: str, reason: str) -> Plan:
        """Gives the plan of a change. The caller has the turn.

        :raises CommandError: if it is refused.
        """
        self.check_reason(reason)
        try:
            edits = change.applied(self.overlay.edits, by, self.wall(), reason)
        except OverlayError as error:
            raise CommandError(str(error)) from None
        return await self._plan_of(edits)

    async def _plan_of(self, edits: Sequence[Edit]) -> Plan:
        """Gives the plan by which other entries take effect.

        :raises CommandError: if the gate refuses the document with them.
        """
        last = self._last
        if last is None:
            # The next pull has a document for them.
            return Plan(self.decision, trial=Trial.of(edits, None))
        try:
            trial = await self._tried(last.source, lambda source: Trial.of(edits, source))
            data = trial.result.data
            check_document(data, max_bytes=last.max_bytes)
        except (DocumentError, SourceError) as error:
            raise CommandError(f"nothing has changed: {error}") from None
        shown = self.feed.snapshot
        if shown is not None and shown.data == data:
            return Plan(self.decision, trial=trial, confirmed=last.at)
        refusal = await self.refusal(data)
        if self.decision is not None or refusal is not None:
            return Plan(self.decision, refusal=refusal, trial=trial)
        return Plan(None, data, last.at, trial=trial)
