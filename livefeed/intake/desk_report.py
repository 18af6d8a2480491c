"""The reports about a desk: values that can be converted to JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from livefeed.document.timestamps import timestamp
from livefeed.exceptions import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from livefeed.clocks import Moment
    from livefeed.document.rules import Rules
    from livefeed.feed.feed import Feed
    from livefeed.intake.archive import Archive
    from livefeed.intake.keeping import Keeping
    from livefeed.intake.overlay import FeedOverlay
    from livefeed.intake.waiting import Alarm, Waiting
    from livefeed.storage.desk_file import Decision

NOT_KEPT = "there is no --state-dir: a restart forgets the decisions"
"""The warning if decisions are not kept."""


class Reported(Protocol):
    """A desk, as far as reports show it."""

    @property
    def feed(self) -> Feed:
        """The feed."""

    @property
    def archive(self) -> Archive:
        """The earlier versions."""

    @property
    def keeping(self) -> Keeping:
        """Keeps the decisions."""

    @property
    def decision(self) -> Decision | None:
        """The decision in force."""

    @property
    def damage(self) -> str:
        """Why the decisions of before the start are not known."""

    @property
    def waiting(self) -> Waiting | None:
        """The newest candidate that is held back."""

    @property
    def held_also(self) -> str | None:
        """The rule that would hold it once the first one lets it through by itself."""

    @property
    def alarms(self) -> Mapping[str, Alarm]:
        """The violations of rules that only raise an alarm."""

    @property
    def rules(self) -> Rules:
        """The rules."""

    @property
    def released(self) -> Mapping[str, float]:
        """The rules that hold nothing for a time."""

    def until_release(self, rule: str) -> tuple[int | None, float | None]:
        """Gives the number of pulls, and the seconds, until a rule lets the refused value through by itself."""

    @property
    def overlay(self) -> FeedOverlay:
        """An editor's values in the documents."""

    def now(self) -> Moment:
        """Gives the present time by both clocks."""


def answer_of(desk: Reported) -> dict[str, Any]:
    """Gives the answer to a command: how the feed is from then on."""
    snapshot = desk.feed.snapshot
    answer = {
        "feed": desk.feed.name,
        "state": desk.feed.state.value,
        "decision": decision_of(desk.decision),
        "version": None if snapshot is None else snapshot.version,
        "sequence": None if snapshot is None else str(snapshot.sequence),
        "waiting": waiting_of(desk),
        "failing": failing_of(desk.feed),
    }
    warning = desk.damage or (NOT_KEPT if desk.keeping.file is None else "")
    return {**answer, "warning": warning} if warning else answer


def report_of(desk: Reported) -> dict[str, Any]:
    """Gives the report about everything at a desk."""
    now, feed = desk.now(), desk.feed
    snapshot = feed.snapshot
    return {
        **answer_of(desk),
        "reason": feed.reason or None,
        "shown": None
        if snapshot is None
        else {
            "version": snapshot.version,
            "sequence": str(snapshot.sequence),
            "bytes": len(snapshot.data),
            "age_s": round(feed.age_s(), 3),
            "confirmed_at": timestamp(feed.confirmed_at),
        },
        "rules": rules_of(desk),
        "alarms": alarms_of(desk),
        "overlay": desk.overlay.report(),
        "rollback_to": _rollback_to(desk),
        "versions": [
            {"version": each.version, "sequence": each.sequence, "at": timestamp(each.at.displayed(now))}
            for each in desk.archive.recent()
        ],
    }


def _rollback_to(desk: Reported) -> str | None:
    """Gives the version to which ``rollback`` would lead; ``None`` for none."""
    snapshot = desk.feed.snapshot
    if snapshot is None:
        return None
    try:
        return desk.archive.before(snapshot.version).version
    except CommandError:
        return None


def failing_of(feed: Feed) -> dict[str, Any] | None:
    """Gives the reason why pulls give nothing, and for how long; ``None`` if they are good, or the feed has ended.

    A decision hides it in the state.
    """
    why = feed.why_failing()
    return {"why": why, "for_s": round(feed.failing_s(), 3)} if why else None


def decision_of(decision: Decision | None) -> dict[str, Any] | None:
    """Gives the decision in force."""
    if decision is None:
        return None
    return {
        "kind": decision.kind,
        "reason": decision.reason or None,
        "by": decision.by,
        "at": timestamp(decision.at),
        "version": decision.version,
    }


def waiting_of(desk: Reported) -> dict[str, Any] | None:
    """Gives the document that waits, without its bytes.

    A time until it is shown by itself is there only if nothing else holds it then: neither another rule nor a decision.
    """
    waiting, now = desk.waiting, desk.now()
    if waiting is None:
        return None
    pulls = seconds = None
    if waiting.rule is not None and desk.held_also is None and desk.decision is None:
        pulls, seconds = desk.until_release(waiting.rule)
    return {
        "version": waiting.version,
        "bytes": len(waiting.data),
        "since": timestamp(waiting.since.displayed(now)),
        "for_s": round(waiting.since.age_s(now), 3),
        "rule": waiting.rule,
        "pointer": waiting.pointer or None,
        "why": waiting.why,
        "pulls": waiting.pulls,
        "held_also": desk.held_also if waiting.rule is not None else None,
        "releases_in_s": None if seconds is None else round(max(0.0, seconds), 3),
        "releases_after_pulls": None if pulls is None else max(0, pulls),
    }


def rules_of(desk: Reported) -> list[dict[str, Any]]:
    """Gives the rules of the feed."""
    now = desk.now()
    ends = {rule: now.wall_s + until_s - now.measured_s for rule, until_s in desk.released.items()}
    return [
        {
            "name": each.name,
            "kind": each.check.kind,
            "action": each.action,
            "released_until": timestamp(ends[each.name]) if ends.get(each.name, 0.0) > now.wall_s else None,
        }
        for each in desk.rules.specs
    ]


def alarms_of(desk: Reported) -> list[dict[str, Any]]:
    """Gives the alarms of rules that hold nothing."""
    now = desk.now()
    return [
        {
            "rule": each.rule,
            "pointer": each.pointer,
            "why": each.why,
            "since": timestamp(each.since.displayed(now)),
        }
        for each in desk.alarms.values()
    ]
