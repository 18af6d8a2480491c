"""The desk of a feed: it decides which candidates are shown, by the rules and by the commands of an operator.

Each command gives the answer that the operator is sent, or raises :class:`.CommandError`: nothing has changed then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from livefeed.clocks import Moment
from livefeed.document.rules import Rules
from livefeed.exceptions import CommandError
from livefeed.intake.archive import Archive
from livefeed.intake.deciding import MAX_RELEASE_S
from livefeed.intake.desk_report import report_of
from livefeed.intake.enacting import Plan
from livefeed.intake.keeping import Keeping
from livefeed.intake.making import Maker
from livefeed.intake.overlaying import Overlaying

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IReactorTime

    from livefeed.clocks import Boot
    from livefeed.feed.feed import Feed
    from livefeed.intake.keeping import Audit, Records
    from livefeed.storage.desk_file import Decision


NO_RULES = Rules()


@dataclass(slots=True, eq=False)
class Desk(Overlaying):
    """The desk of one feed."""

    @classmethod
    def of(  # noqa: PLR0913 - the owner decides on all of them
        cls,
        feed: Feed,
        clock: IReactorTime,
        in_thread: Callable[..., Deferred[Any]],
        wall: Callable[[], float],
        *,
        rules: Rules = NO_RULES,
        file: Records | None = None,
        audit: Audit | None = None,
        place: str = "",
        boot: Boot | None = None,
    ) -> Self:
        """Makes the desk of a feed.

        :param clock: measures.
        :param in_thread: calls a function in a thread.
        :param wall: gives the time for display, in seconds since 1970.
        :param rules: the rules.
        :param file: keeps the decisions; ``None`` if a restart forgets them.
        :param audit: has a line for each command; ``None`` for none.
        :param place: the beginning of the message if the file cannot be used.
        :param boot: the machine's boot; ``None`` if the system does not tell it.
        """
        return cls(
            feed,
            clock,
            wall,
            Maker(feed, clock, in_thread),
            rules,
            archive=Archive(feed, lambda: Moment(clock.seconds(), wall())),
            keeping=Keeping(feed.name, clock, in_thread, file, audit),
            place=place,
            boot=boot,
        )

    def report(self) -> dict[str, Any]:
        """Gives the report about everything at the desk, which can be converted to JSON."""
        return report_of(self)

    async def hold(self, *, by: str, reason: str = "") -> dict[str, Any]:
        """Has watchers keep the document that is shown, until :meth:`release`.

        :param by: the name under which the operator had access; this, and ``reason``, are the same for all commands.
        :param reason: the operator's text for watchers.
        """

        async def plan() -> Plan:
            self.refuse_if("withdraw", "end")
            self.refuse_if("pin", instead="what is shown stays as it is already; `unpin` ends that")
            return Plan(self.decide("hold", by, reason))

        return await self.run("hold", by, {"reason": reason}, plan)

    async def release(  # noqa: PLR0913 - each is an option of the command
        self,
        *,
        by: str,
        reason: str = "",
        once: bool = False,
        rule: str | None = None,
        for_s: float | None = None,
        version: str | None = None,
    ) -> dict[str, Any]:
        """Shows the waiting document, and takes a hold back.

        :param once: whether a hold stays in force.
        :param rule: the rule that is to hold nothing for some time, in the place of this.
        :param for_s: that time in seconds.
        :param version: the version, or its beginning, that must be the waiting one; ``None`` for any.
        """
        arguments = {"reason": reason, "once": once, "rule": rule, "for_s": for_s, "version": version}

        async def plan() -> Plan:
            self.refuse_if("withdraw", "end")
            self.refuse_if("pin", instead="`unpin` shows the newest version")
            waiting = self.waiting
            if version is not None and (waiting is None or not waiting.version.startswith(version)):
                found = "none" if waiting is None else waiting.version
                raise CommandError(f"the waiting version is another one than {version} by now: {found}")
            if rule is not None:
                return await self._plan_release_of_rule(rule, for_s)
            decision = self.decision
            if waiting is None and (decision is None or once):
                raise CommandError("nothing waits: the newest document is shown")
            shows, confirmed = (None, None) if waiting is None else (waiting.data, waiting.pulled)
            return Plan(decision if once else None, shows, confirmed)

        return await self.run("release", by, arguments, plan)

    async def _plan_release_of_rule(self, rule: str, for_s: float | None) -> Plan:
        names = self.rules.names
        if rule not in names:
            raise CommandError(f"the feed has no rule {rule}; its rules: {', '.join(names) or 'none'}")
        if for_s is None or not 0 < for_s <= MAX_RELEASE_S:
            raise CommandError(f"a rule is released for a time: more than 0 s, and {MAX_RELEASE_S:g} s at most")
        self.released_now()
        released = {**self.released, rule: self.clock.seconds() + for_s}
        return await self._plan_without_decision(self.decision, released)

    async def pin(self, *, version: str, by: str, reason: str = "") -> dict[str, Any]:
        """Shows an earlier version, until :meth:`unpin`. Newer ones wait.

        :param version: the version, its first characters, or its sequence.
        """

        async def plan() -> Plan:
            self.refuse_if("end")
            try:
                found = await self.archive.find(version)
            except CommandError:
                if self.waiting is not None and version and self.waiting.version.startswith(version):
                    show = "unpin" if self.decision is not None and self.decision.kind == "pin" else "release"
                    why = f"watchers were not shown version {version} yet: it waits, and `livefeed ctl {show}` shows it"
                    raise CommandError(why) from None
                raise
            return Plan(self.decide("pin", by, reason, found.version), found.data, found.at, waits=True)

        return await self.run("pin", by, {"version": version, "reason": reason}, plan)

    async def rollback(self, *, by: str, reason: str = "") -> dict[str, Any]:
        """Pins the version that was shown before the present one."""

        async def plan() -> Plan:
            self.refuse_if("end")
            if self.feed.snapshot is None:
                raise CommandError("nothing was shown yet, so there is nothing to go back to")
            found = self.archive.before(self.feed.snapshot.version)
            decision = self.decide("pin", by, reason, found.version)
            return Plan(decision, found.data, found.at, waits=True, passed=found.passed)

        return await self.run("rollback", by, {"reason": reason}, plan)

    async def unpin(self, *, by: str, reason: str = "") -> dict[str, Any]:
        """Takes a pin back: the newest version is shown, unless a rule holds it."""

        async def plan() -> Plan:
            if self.decision is None or self.decision.kind != "pin":
                raise CommandError("no version is pinned")
            return await self._plan_without_decision(None)

        return await self.run("unpin", by, {"reason": reason}, plan)

    async def withdraw(self, *, by: str, reason: str = "") -> dict[str, Any]:
        """Has nothing shown, until :meth:`resume`."""

        async def plan() -> Plan:
            return Plan(self.decide("withdraw", by, reason))

        return await self.run("withdraw", by, {"reason": reason}, plan)

    async def end(self, *, by: str, reason: str = "") -> dict[str, Any]:
        """Makes the version that is shown the last one, until :meth:`resume`."""

        async def plan() -> Plan:
            self.refuse_if("withdraw")
            if self.feed.snapshot is None:
                raise CommandError("nothing was shown yet that could be the last version")
            return Plan(self.decide("end", by, reason))

        return await self.run("end", by, {"reason": reason}, plan)

    async def resume(self, *, by: str, reason: str = "") -> dict[str, Any]:
        """Takes :meth:`withdraw` or :meth:`end` back: the newest version is shown, unless a rule holds it."""

        async def plan() -> Plan:
            if self.decision is None or self.decision.kind not in ("withdraw", "end"):
                raise CommandError("the feed is neither withdrawn nor ended")
            return await self._plan_without_decision(None)

        return await self.run("resume", by, {"reason": reason}, plan)

    async def _plan_without_decision(
        self, decision: Decision | None, released: Mapping[str, float] | None = None
    ) -> Plan:
        """Gives the plan by which the waiting document is shown, unless a rule or the decision holds it."""
        waiting = self.waiting
        if waiting is None:
            return Plan(decision, released=released)
        refusal = await self.refusal(waiting.data, released=released)
        if decision is not None or refusal is not None:
            return Plan(decision, refusal=refusal, released=released)
        return Plan(None, waiting.data, waiting.pulled, released=released)
