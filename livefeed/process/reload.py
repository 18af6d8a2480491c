"""Reload: the settings are read again, checked, and swapped in at once, while all connections stay.

Rules: a reload succeeds completely or changes nothing. First everything that can fail is prepared; what was prepared is
then committed, which cannot fail, or abandoned. A setting that no part can change needs a restart: it keeps its value,
and the report says so.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import structs
from twisted.internet.defer import Deferred, DeferredList, TimeoutError  # noqa: A004
from twisted.logger import Logger

from livefeed.config.settings import Settings
from livefeed.exceptions import CommandError, ConfigurationError, LivefeedError, StartError, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from twisted.internet.interfaces import IReactorTime

    from livefeed.document.rules import RuleSpec

READ_S = 10.0
"""Seconds that reading the settings and the certificates may take: a network file system may hang."""

_log = Logger()


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between the settings in use and those that were read.

    :ivar setting: the name of the setting, as the file has it: ``max_connections``, ``feeds.results.interval``,
        ``feeds.results`` for a whole feed.
    :ivar before: the value in use; ``None`` if there is none. It has no credentials.
    :ivar after: the value that was read; ``None`` if there is none. It has no credentials.
    """

    setting: str
    before: Any
    after: Any

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.setting} is added: {shown(self.after)}"
        if self.after is None:
            return f"{self.setting} is removed: it was {shown(self.before)}"
        return f"{self.setting}: {shown(self.before)} -> {shown(self.after)}"


@dataclass(frozen=True, slots=True)
class ReloadReport:
    """The outcome of a reload that has succeeded.

    :ivar changed: the changes that have taken effect.
    :ivar needs_restart: the changes that take effect at the next start. The value before is still in use.
    :ivar counts: the number of feeds that were ``added``, ``changed``, ``removed`` and are ``unchanged``.
    """

    changed: tuple[Change, ...]
    needs_restart: tuple[Change, ...]
    counts: dict[str, int]

    def to_json(self) -> dict[str, Any]:
        """Gives the report as values of JSON."""
        return {
            "changed": [structure(each) for each in self.changed],
            "needs_restart": [structure(each) for each in self.needs_restart],
            "feeds": dict(self.counts),
        }

    def log(self) -> None:
        """Logs one line for each change, and one about the reload."""
        for change in self.changed:
            _log.info("reload: {change}", change=change)
        for change in self.needs_restart:
            _log.warn("reload: a restart is needed for {change}", change=change)
        _log.info(
            "reloaded (changes: {changed}, waiting for a restart: {waiting}, feeds: {feeds})",
            changed=len(self.changed),
            waiting=len(self.needs_restart),
            feeds=sum(self.counts.values()) - self.counts.get("removed", 0),
        )


def structure(change: Change) -> dict[str, Any]:
    """Gives a change as values of JSON."""
    return {"setting": change.setting, "before": change.before, "after": change.after}


class Prepared(Protocol):
    """A part of the process that can take the new settings."""

    def changes(self) -> Iterable[Change]:
        """Gives the changes that a commit brings about. It is called before the commit."""

    def commit(self) -> Deferred[None] | None:
        """Takes the new settings. It cannot fail.

        :returns: fires when something old has ended, without which no other reload can begin.
        """

    def abandon(self) -> None:
        """Frees everything that was made. The part stays as it is."""


class Reloadable(Protocol):
    """A part of the process that can take other settings while it runs."""

    @property
    def names(self) -> frozenset[str]:
        """The names of the settings that it takes."""

    def prepare(self, before: Settings, after: Settings) -> Prepared:
        """Makes and checks everything for other settings.

        :param before: the settings in use.
        :param after: the new settings, in which those that need a restart have their old values.
        :raises LivefeedError: if the settings are impossible; nothing that was made is left then.
        :raises StartError: if a feed that is new cannot start.
        """


class Checked(Protocol):
    """A check of settings that need a restart, so that the restart will work."""

    def __call__(self, settings: Settings, /) -> object:
        """Checks settings as they were read.

        :raises LivefeedError: if they are impossible.
        """


@dataclass(frozen=True, slots=True)
class SimplePart:
    """A part whose settings were checked when they were read, and that takes them by one call.

    :ivar names: the names of its settings.
    :ivar take: takes the new settings; it cannot fail.
    """

    names: frozenset[str]
    take: Callable[[Settings], object]

    def prepare(self, before: Settings, after: Settings) -> PreparedSettings:
        """Reloadable API."""
        return PreparedSettings(self, before, after)


@dataclass(frozen=True, slots=True)
class PreparedSettings:
    """New settings of a simple part."""

    part: SimplePart
    before: Settings
    after: Settings

    def changes(self) -> list[Change]:
        """Prepared API."""
        return list(differences(self.before, self.after, self.part.names))

    def commit(self) -> None:
        """Prepared API."""
        if self.changes():
            self.part.take(self.after)

    def abandon(self) -> None:
        """Prepared API."""


def differences(before: Any, after: Any, names: Iterable[str], prefix: str = "") -> Iterable[Change]:
    """Gives the settings that differ, by name.

    :param before: ``Settings`` or ``FeedSettings``.
    :param after: the same.
    :param names: the names of the settings that are compared.
    :param prefix: the beginning of the names in the result.
    """
    for name in sorted(names):
        one, other = getattr(before, name), getattr(after, name)
        if name == "rules":
            yield from _differences_of_rules(one, other, f"{prefix}{name}.")
        elif one != other:
            yield Change(f"{prefix}{name}", as_json(one), as_json(other))


def _differences_of_rules(before: Sequence[RuleSpec], after: Sequence[RuleSpec], prefix: str) -> Iterable[Change]:
    """Gives a change for each rule that differs. A schema differs if the content of its file does."""
    one, other = ({spec.name: spec for spec in specs} for specs in (before, after))
    for rule in sorted(one.keys() | other.keys()):
        if one.get(rule) != other.get(rule):
            yield Change(f"{prefix}{rule}", *(str(specs[rule]) if rule in specs else None for specs in (one, other)))


def as_json(value: Any) -> Any:
    """Gives the value of a setting as JSON has it; ``""`` for a setting without a value."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return [as_json(each) for each in value]
    return str(value) if isinstance(value, Path) else value


@dataclass(eq=False)
class Reload:
    """Applies other settings to the parts of a process.

    The process without workers and the parent read the settings; a worker is sent them.

    :ivar settings: the settings in use.
    :ivar parts: the parts that can take other settings, in the order in which they are prepared. The last one is the
        one whose preparation costs most if it is abandoned.
    """

    # required parameters
    settings: Settings
    parts: Sequence[Reloadable]

    # internal state
    _ending: list[Deferred[None]] = field(default_factory=list)

    @property
    def names(self) -> frozenset[str]:
        """The names of the settings that need no restart."""
        return frozenset(name for part in self.parts for name in part.names)

    @property
    def fixed(self) -> frozenset[str]:
        """The names of the settings that need a restart."""
        return frozenset(Settings.__struct_fields__) - self.names - {"places"}

    def merge(self, read: Settings) -> Settings:
        """Gives the settings that were read, in which those that need a restart have the values in use."""
        return structs.replace(read, **{name: getattr(self.settings, name) for name in self.fixed})

    def apply(self, read: Settings) -> ReloadReport:
        """Applies settings completely, or raises and changes nothing.

        :raises LivefeedError: if the settings are impossible.
        """
        after = self.merge(read)
        prepared: list[Prepared] = []
        try:
            for part in self.parts:
                prepared.append(part.prepare(self.settings, after))  # noqa: PERF401 - those before an error count
        except Exception:
            for each in reversed(prepared):
                each.abandon()
            raise
        changed = [change for each in prepared for change in each.changes()]
        waiting = tuple(differences(self.settings, read, self.fixed))
        counts = count_feeds(self.settings, after)
        for each in prepared:
            try:
                ending = each.commit()
            except Exception:
                # The others go on: half of a change would be worse.
                _log.failure("a part of the reload broke")
                continue
            if ending is not None:
                self._ending.append(ending)
        self.settings = after
        return ReloadReport(tuple(changed), waiting, counts)

    def ended(self) -> Deferred[None]:
        """Fires when everything that the last reload has removed has ended. The next one must wait for it."""
        ending, self._ending = self._ending, []
        return DeferredList(ending, consumeErrors=True).addCallback(lambda _: None)


def count_feeds(before: Settings, after: Settings) -> dict[str, int]:
    """Gives the number of feeds that are added, changed, removed and unchanged."""
    old, new = ({feed.feed: structs.replace(feed, places={}) for feed in each.feeds} for each in (before, after))
    both = old.keys() & new.keys()
    changed = sum(old[name] != new[name] for name in both)
    return {
        "added": len(new.keys() - old.keys()),
        "changed": changed,
        "removed": len(old.keys() - new.keys()),
        "unchanged": len(both) - changed,
    }


@dataclass(eq=False)
class Reloading:
    """Reads the settings anew at SIGHUP and at the operator's command, and applies them.

    Requests that come while a reload is under way have one more reload together, since it may have read before the
    file was changed.

    :ivar reload_parts: applies the settings.
    :ivar read: reads and checks the settings; it may block.
    :ivar checks: check the settings that need a restart; they may block.
    :ivar reopen: opens the log files again.
    :ivar in_thread: calls a function in a thread of its own.
    :ivar clock: limits the time of reading.
    :ivar begin: called when a reload begins, as for the service manager.
    :ivar end: called when it has ended, with or without success.
    :ivar refusal: why nothing can be reloaded now; ``""`` if it can.
    """

    # required parameters
    reload_parts: Reload
    read: Callable[[], Settings]
    checks: Sequence[Checked]
    reopen: Callable[[], object]
    in_thread: Callable[..., Deferred[Any]]
    clock: IReactorTime
    begin: Callable[[], object]
    end: Callable[[], object]

    # internal state
    refusal: str = ""
    _is_under_way: bool = False
    _waiting: list[Deferred[ReloadReport]] = field(default_factory=list)
    _is_reading: bool = False

    @property
    def is_under_way(self) -> bool:
        """Whether a reload runs."""
        return self._is_under_way

    def hang_up(self) -> None:
        """Reloads after SIGHUP. The log has the outcome."""
        if self.refusal:
            _log.warn("SIGHUP has changed nothing: {why}", why=self.refusal)
            return
        self.reload().addErrback(lambda _: None)

    async def command(self, _arguments: object) -> dict[str, Any]:
        """Reloads at the operator's command.

        :returns: the report as JSON.
        :raises CommandError: if nothing was changed.
        """
        try:
            report = await self.reload()
        except LivefeedError as error:
            raise CommandError(f"nothing has changed: {error}") from None
        return report.to_json()

    def reload(self) -> Deferred[ReloadReport]:
        """Opens the log files again, reads the settings anew, and applies them. The log has the outcome, too.

        :returns: the report; fails with a ``LivefeedError`` if nothing was changed. Its message names file, line and
            key.
        """
        outcome: Deferred[ReloadReport] = Deferred()
        self._waiting.append(outcome)
        if not self._is_under_way:
            self._is_under_way = True
            Deferred.fromCoroutine(self._run())
        return outcome

    async def _run(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            self.begin()
            try:
                report = await self._reload()
            except Exception as error:
                self.end()
                for outcome in waiting:
                    outcome.errback(error)
            else:
                self.end()
                for outcome in waiting:
                    outcome.callback(report)
        self._is_under_way = False

    async def _reload(self) -> ReloadReport:
        try:
            self.reopen()
            report = self.reload_parts.apply(await self._read())
        except StartError as error:
            failure = ConfigurationError(str(error).removeprefix("livefeed: "))
            _log.error("the reload has changed nothing: {why}", why=failure)
            raise failure from None
        except LivefeedError as error:
            _log.error("the reload has changed nothing: {why}", why=error)
            raise
        except Exception:
            _log.failure("the reload broke, and has changed nothing")
            raise ConfigurationError("an error inside livefeed; the log has it") from None
        await self.reload_parts.ended()
        report.log()
        return report

    async def _read(self) -> Settings:
        """Reads and checks the settings, in a thread."""
        if self._is_reading:
            raise ConfigurationError(f"an earlier reload has been reading files for more than {READ_S:g} s")

        def work() -> Settings:
            settings = self.read()
            for check in self.checks:
                check(settings)
            return settings

        def end(result: Any) -> Any:
            self._is_reading = False
            return result

        self._is_reading = True
        try:
            reading = self.in_thread(work)
        except OSError as error:
            self._is_reading = False
            raise ConfigurationError(f"the settings cannot be read: {error.strerror}") from None
        outcome: Deferred[Settings] = Deferred()
        # Not a timeout of the reading itself: while its thread hangs, no other is started.
        reading.addBoth(end).addBoth(lambda result: None if outcome.called else outcome.callback(result))
        try:
            return await outcome.addTimeout(READ_S, self.clock)
        except TimeoutError:
            raise ConfigurationError(f"the settings could not be read within {READ_S:g} s") from None
