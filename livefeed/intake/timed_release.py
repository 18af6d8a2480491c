"""The end of a hold at a time that an operator has given before, and what can be foreseen about that time.

Rule: a document that a rule holds back is shown only if the operator has seen that it waits. Another one that a rule
holds back at that time needs an operator then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from livefeed.exceptions import CommandError

if TYPE_CHECKING:
    from livefeed.document.embargo import Embargo
    from livefeed.intake.desk import Desk


@dataclass(frozen=True, slots=True)
class Foresight:
    """What can be said about something that is to happen at a time.

    :ivar ruled: the version that waits now, and that a rule holds back; ``None`` if there is none.
    :ivar doubt: why it would not have the wanted effect if it happened now; empty if it would.
    """

    ruled: str | None = None
    doubt: str = ""


async def foresee_release(desk: Desk) -> Foresight:
    """Foresees the end of a hold."""
    waiting, decision = desk.waiting, desk.decision
    if decision is not None and decision.kind != "hold":
        state = {"pin": "a version is pinned", "withdraw": "the feed is withdrawn", "end": "the feed has ended"}
        remedy = "unpin" if decision.kind == "pin" else "resume"
        return Foresight(None, f"{state[decision.kind]}, which only `livefeed ctl {remedy}` ends")
    if waiting is None:
        nothing = "nothing is held back now; `livefeed ctl hold` has watchers keep what they see until then"
        return Foresight(None, nothing if decision is None else "")
    violation = await desk.refusal(waiting.data)
    if violation is None:
        return Foresight()
    why = f"the rule {violation.rule} holds back what waits now: {violation.why}"
    return Foresight(waiting.version, f"{why}; if it still waits at that time, watchers are shown it all the same")


async def foresee_document(desk: Desk, data: bytes) -> Foresight:
    """Foresees the publication of a document."""
    decision = desk.decision
    if decision is not None:
        return Foresight(None, f"newer documents wait now ({decision.kind} by {decision.by})")
    violation = await desk.refusal(data)
    if violation is None:
        return Foresight()
    return Foresight(None, f"the rule {violation.rule} would hold it back now: {violation.why}")


async def end_hold(desk: Desk, embargo: Embargo) -> None:
    """Ends the hold, so that watchers are shown the document that waits. If nothing is held any more, that is fine.

    :param embargo: the wish; its ``if_match`` has the version that a rule held back when it was made.
    :raises CommandError: if the feed is in another state, or a rule holds another document back by now.
    :raises SourceError: if the rules cannot be checked.
    """
    decision, waiting = desk.decision, desk.waiting
    if decision is None and waiting is None:
        return
    # Not by the reason that was noted when it was pulled: a decision may have replaced that.
    violation = None if waiting is None else await desk.refusal(waiting.data)
    if violation is not None and waiting is not None and waiting.version not in (embargo.if_match or ()):
        why = f"the rule {violation.rule} holds the document back that waits: {violation.why}"
        raise CommandError(f"{why}; look at it, and then `livefeed ctl release {desk.feed.name}`")
    # Another document may wait by the time at which the command has its turn.
    version = None if violation is None or waiting is None else waiting.version
    await desk.release(by=embargo.by, reason=embargo.reason, version=version)
