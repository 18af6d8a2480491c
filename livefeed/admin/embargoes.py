"""Embargoes on the operator's port: a document that is set aside for a time, and the commands about all of them.

Rules: a document that is set aside is shown to operators only. Nothing of it is in the answers about the stored
document, in the versions, in the metrics or in the status.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from livefeed.admin.publish_edits import EditRefusedError, sentence
from livefeed.document.embargo import Embargo
from livefeed.document.gate import check_document
from livefeed.document.snapshot import version_of
from livefeed.document.timestamps import length_of, parse_timestamp, timestamp
from livefeed.exceptions import CommandError, DocumentError, PullError, closest, shown
from livefeed.feed.embargo_effects import ConditionError
from livefeed.feed.embargoes import TooManyEmbargoesError, new_id
from livefeed.intake.enacting import MAX_REASON_CHARACTERS
from livefeed.web import operator_problems
from livefeed.web.conditional import listed_tags, strong_tags

if TYPE_CHECKING:
    from collections.abc import Mapping

    from livefeed.admin.commands import Arguments
    from livefeed.admin.publish_edits import Conditions
    from livefeed.feed.embargoes import Embargoes

MAX_AHEAD_S = 366 * 86_400.0
"""Seconds until the latest time of an embargo, a year: a later one is a wrong year."""

_FORM = "a time with its offset from UTC, such as 2026-11-30T21:30:00+01:00 (RFC 3339)"


class Foreseen(Protocol):
    """The foreseeable effect of an embargo."""

    @property
    def ruled(self) -> str | None:
        """The version that waits now, and that a rule holds back; ``None`` if there is none."""

    @property
    def doubt(self) -> str:
        """Why it would not have the wanted effect if it happened now."""


class EmbargoedFeed(Protocol):
    """A feed that may have embargoes."""

    @property
    def embargoes(self) -> Embargoes:
        """Its embargoes."""

    async def foresee(self, data: bytes | None) -> Foreseen:
        """Foresees the publication of a document; without one, the end of the hold."""


def time_of(text: str, now: float) -> float:
    """Reads the time of an embargo, and gives its seconds since 1970.

    :param now: the present time by the wall clock.
    :raises EditRefusedError: if it is none, has passed, or is a year ahead.
    """
    try:
        at = parse_timestamp(text)
    except ValueError:
        raise EditRefusedError(operator_problems.MALFORMED_TIME, f"The time {shown(text)} is not {_FORM}.") from None
    if at <= now:
        ago = length_of(now - at)
        why = f"The time {timestamp(at)} was {ago} s ago: it is {timestamp(now)} by the clock of livefeed."
        raise EditRefusedError(operator_problems.TIME_OUT_OF_RANGE, why)
    if at - now > MAX_AHEAD_S:
        raise EditRefusedError(
            operator_problems.TIME_OUT_OF_RANGE, f"The time {timestamp(at)} is more than a year ahead."
        )
    return at


@dataclass(frozen=True, slots=True)
class SetAside:
    """The wish to have a document set aside.

    :ivar at: the time, as it was sent.
    :ivar conditions: the conditions, which are evaluated at that time.
    :ivar by: the user.
    :ivar max_bytes: the size in bytes of the largest document.
    """

    at: str
    conditions: Conditions
    by: str
    max_bytes: int


async def set_aside(served: EmbargoedFeed, data: bytes, wish: SetAside) -> dict[str, Any]:
    """Sets a document aside until a time. It is durable when this returns.

    :returns: the report.
    :raises EditRefusedError: if the time or the document is refused.
    :raises StoreError: if the disk refuses it.
    """
    embargoes = served.embargoes
    now = embargoes.keeping.wall()
    ends_at = time_of(wish.at, now)
    try:
        await embargoes.keeping.in_thread(partial(check_document, data, max_bytes=wish.max_bytes))
    except DocumentError as error:
        raise EditRefusedError(operator_problems.INVALID_DOCUMENT, sentence(error)) from None
    conditions = wish.conditions
    if_match = None if conditions.if_match is None else _versions(strong_tags(conditions.if_match))
    if_none_match = None if conditions.if_none_match is None else _versions(listed_tags(conditions.if_none_match))
    embargo = Embargo(new_id(), ends_at, now, wish.by, "", data, if_match, if_none_match)
    try:
        await embargoes.add(embargo)
    except TooManyEmbargoesError as error:
        raise EditRefusedError(operator_problems.TOO_MANY_EMBARGOES, sentence(error)) from None
    why = f"it is set aside until {timestamp(ends_at)}, and nothing of it is visible before"
    foreseen = await _foreseen(served, data)
    doubt = {"warning": foreseen.doubt} if foreseen is not None and foreseen.doubt else {}
    return {**described(embargoes, embargo), "live": False, "why": why, **doubt}


async def _foreseen(served: EmbargoedFeed, data: bytes | None) -> Foreseen | None:
    """Foresees the effect of an embargo; ``None`` if the rules cannot be checked now."""
    try:
        return await served.foresee(data)
    except PullError:
        return None


def described(embargoes: Embargoes, embargo: Embargo) -> dict[str, Any]:
    """Gives the report about an embargo."""
    return {
        "feed": embargoes.feed.name,
        "id": embargo.id,
        "kind": embargo.kind.value,
        "at": timestamp(embargo.at),
        "in_s": round(max(0.0, embargo.at - embargoes.keeping.wall()), 1),
        "by": embargo.by,
        "asked_at": timestamp(embargo.asked_at),
        "reason": embargo.reason,
        "version": None if embargo.data is None else version_of(embargo.data),
        "bytes": None if embargo.data is None else embargo.size,
        "if_match": embargo.if_match,
        "if_none_match": embargo.if_none_match,
        "failed": embargo.failed or None,
    }


@dataclass(frozen=True, slots=True)
class EmbargoCommands:
    """The commands about embargoes.

    :ivar feeds: the feeds, by their names; read again at each command.
    """

    feeds: Mapping[str, EmbargoedFeed]

    async def list(self, _: Arguments) -> list[dict[str, Any]]:
        """Gives all embargoes, the next one first; those that have failed are behind the others."""
        found = [(each.embargoes, entry) for each in self.feeds.values() for entry in each.embargoes.listed()]
        found.sort(key=lambda pair: (bool(pair[1].failed), pair[1].at, pair[1].asked_at))
        return [described(embargoes, entry) for embargoes, entry in found]

    async def run(self, arguments: Arguments) -> dict[str, Any]:
        """Cancels an embargo (``action`` and ``id``), ends it now, or has a hold end at a time (``feed`` and ``at``).

        :raises CommandError: if that is not possible.
        """
        action, by = arguments.get("action"), str(arguments.get("by") or "")
        if action == "release":
            return await self._release(arguments, by)
        if action not in ("cancel", "publish"):
            raise CommandError(f"the action {shown(action)} is none of cancel, publish, release")
        name = arguments.get("id")
        if not isinstance(name, str) or not name:
            raise CommandError("the id of an embargo is needed; `livefeed ctl embargo` lists them")
        embargoes = self._holding(name)
        if action == "cancel":
            embargo = await embargoes.cancel(name, by)
        else:
            embargo = await self._publish(embargoes, name, by, any_version=arguments.get("any_version") is True)
        return {**described(embargoes, embargo), "failed": None, "action": action, "done": True}

    @staticmethod
    async def _publish(embargoes: Embargoes, name: str, by: str, *, any_version: bool) -> Embargo:
        try:
            return await embargoes.end_now(name, by, any_version=any_version)
        except ConditionError as error:
            raise CommandError(f"{error}; --any-version passes over that") from None

    async def _release(self, arguments: Arguments, by: str) -> dict[str, Any]:
        found = self._named(arguments.get("feed"))
        embargoes, now = found.embargoes, found.embargoes.keeping.wall()
        reason = arguments.get("reason") or ""
        if not isinstance(reason, str) or len(reason) > MAX_REASON_CHARACTERS or not reason.isprintable():
            raise CommandError(f"a reason is one line of {MAX_REASON_CHARACTERS} characters at most")
        try:
            at = time_of(str(arguments.get("at")), now)
        except EditRefusedError as error:
            raise CommandError(str(error)) from None
        # A rule holds the version that the operator has seen. Another one that a rule holds by then is not released.
        foreseen = await _foreseen(found, None)
        ruled = None if foreseen is None else foreseen.ruled
        embargo = Embargo(new_id(), at, now, by, reason, None, None if ruled is None else (ruled,))
        await embargoes.add(embargo)
        doubts = [] if foreseen is None or not foreseen.doubt else [foreseen.doubt]
        if embargoes.keeping.file is None:
            doubts.append("without --state-dir, a restart forgets it")
        return {**described(embargoes, embargo), **({"warning": "; ".join(doubts)} if doubts else {})}

    def _holding(self, name: str) -> Embargoes:
        """Gives the embargoes that have one with an id."""
        every = [each.embargoes for each in self.feeds.values()]
        found = [each for each in every if any(entry.id == name for entry in each.listed())]
        if found:
            return found[0]
        ids = [entry.id for each in every for entry in each.listed()]
        why = f"no embargo has the id {shown(name)}: it has happened, or was cancelled"
        raise CommandError(f"{why}{closest(name, ids)}")

    def _named(self, name: object) -> EmbargoedFeed:
        if name is None and len(self.feeds) == 1:
            return next(iter(self.feeds.values()))
        found = self.feeds.get(name) if isinstance(name, str) else None
        if found is None:
            why = "a feed must be named" if name is None else f"there is no feed {shown(name)}"
            raise CommandError(f"{why}; the feeds: {', '.join(self.feeds)}")
        return found


def _versions(tags: list[bytes]) -> tuple[str, ...]:
    return tuple(tag.strip(b'"').decode("latin-1") for tag in tags)
