"""The end of a hold at a time that an operator has given before.

Rule: a document that a rule holds back is shown only if the operator has seen that it waits. Another one that a rule
holds back at that time needs an operator then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from livefeed.exceptions import CommandError

if TYPE_CHECKING:
    from livefeed.document.embargo import Embargo
    from livefeed.intake.desk import Desk


def ruled_version(desk: Desk) -> str | None:
    """Gives the version that a rule holds back at this moment; ``None`` if none does."""
    waiting = desk.waiting
    return None if waiting is None or waiting.rule is None else waiting.version


async def end_hold(desk: Desk, embargo: Embargo) -> None:
    """Ends the hold, so that watchers are shown the document that waits. If nothing is held any more, that is fine.

    :param embargo: the wish; its ``if_match`` has the version that a rule held back when it was made.
    :raises CommandError: if the feed is in another state, or a rule holds another document back by now.
    """
    decision, waiting = desk.decision, desk.waiting
    if decision is None and waiting is None:
        return
    ruled = ruled_version(desk)
    if ruled is not None and waiting is not None and ruled not in (embargo.if_match or ()):
        why = f"the rule {waiting.rule} holds the document back that waits: {waiting.why}"
        raise CommandError(f"{why}; look at it, and then `livefeed ctl release {desk.feed.name}`")
    await desk.release(by=embargo.by, reason=embargo.reason, version=ruled)
