"""All checks of a start, without a start: nothing is bound, made or pulled.

Rule: each check is on its own, so that an operator is told all problems at once.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredList, TimeoutError  # noqa: A004

from livefeed import clocks
from livefeed.admin.access import read_token
from livefeed.auth.material import Content
from livefeed.document.gate import check_document
from livefeed.document.rules import Rules
from livefeed.document.snapshot import version_of
from livefeed.exceptions import ConfigurationError, JournalError, LivefeedError, PullError, RuntimeDirError, first_line
from livefeed.process.certificates import CertificateChoice
from livefeed.process.descriptions import PROXIED
from livefeed.process.endpoints import make_endpoint
from livefeed.process.instance import group_number
from livefeed.process.runtime_dir import default_runtime_dir, inspect
from livefeed.process.signing import read_signing_keys
from livefeed.serving import trusted_networks
from livefeed.sources import is_store, make_source, needs_state_dir
from livefeed.storage.embargo_file import EmbargoFile
from livefeed.storage.journal import Journal, check_folder
from livefeed.storage.store import Store
from livefeed.tls.development import development_certificate
from livefeed.tls.options import ServedCertificates, day
from livefeed.tls.reloading import EndpointCertificates, PairSource
from livefeed.web.cors import Origins

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from livefeed.config.settings import FeedSettings, Settings
    from livefeed.serving import ServiceReactor
    from livefeed.sources import Source
    from livefeed.tls.options import KeyPair

MIN_PULL_S, MAX_PULL_S = 1.0, 10.0
"""The limits of the time in seconds of a pull that tries a source, otherwise its interval; those of the puller."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that keeps livefeed from serving, or that an operator should know.

    :ivar place: where it was set: file, line and key, variable or option; empty if it was set nowhere.
    :ivar why: what is wrong, and what to do.
    :ivar is_warning: whether livefeed starts all the same.
    """

    place: str
    why: str
    is_warning: bool = False

    def __str__(self) -> str:
        text = f"{self.place}: {self.why}" if self.place else self.why
        return f"warning: {text}" if self.is_warning else text


@dataclass(frozen=True, slots=True)
class Pulled:
    """The outcome of a pull that tries a source.

    :ivar feed: the feed's name.
    :ivar bytes: the size of the document; ``None`` if there is none.
    :ivar version: its version; ``None`` if there is none.
    :ivar why: why the pull has failed, or the gate refuses the document; ``None`` if it may be served.
    """

    feed: str
    bytes: int | None
    version: str | None
    why: str | None


@dataclass(eq=False)
class StartChecks:
    """Checks settings as a start does.

    :param settings: the settings.
    :param reactor: the reactor that sources and endpoints are made for. It need not run, except for :meth:`pull`.
    :param environment: all variables.
    :ivar problems: everything that was found.
    """

    # required parameters
    settings: Settings
    reactor: ServiceReactor
    environment: Mapping[str, str]

    # internal state
    problems: list[Problem] = field(default_factory=list)
    _sources: dict[str, Source] = field(default_factory=dict)
    _served: ServedCertificates = field(default_factory=ServedCertificates)

    def run(self) -> None:
        """Does all checks. It may block."""
        for feed in self.settings.feeds:
            self._check_feed(feed)
        with self._reported():
            trusted_networks(self.settings)
        with tempfile.TemporaryDirectory() as scratch:
            self._check_endpoints(Path(scratch))
        self._check_state_dir()
        self._check_operators_port()

    def close(self) -> None:
        """Closes the sources."""
        for source in self._sources.values():
            source.close()

    def summary(self) -> dict[str, Any]:
        """Gives what would be served, as values of JSON."""
        settings = self.settings
        return {
            "feeds": [
                {
                    "feed": feed.feed,
                    "source": str(self._sources.get(feed.feed, "")),
                    "interval_s": feed.interval,
                    "rules": {spec.name: str(spec) for spec in feed.rules},
                }
                for feed in settings.feeds
            ],
            "listen": list(settings.listen),
            "admin": list(settings.admin),
            "certificates": [
                {"file": str(pair.file), "names": pair.names(), "valid_until": day(pair.validity.not_after)}
                for pair in self.pairs()
            ],
            "state_dir": None if settings.state_dir is None else str(settings.state_dir),
        }

    async def pull(self) -> list[Pulled]:
        """Pulls each source once, all at the same time. Needs a reactor that runs.

        Stores are left out: only the livefeed that runs may open them.
        """
        feeds = [feed for feed in self.settings.feeds if feed.feed in self._sources and not is_store(feed.source)]
        pulls = [Deferred.fromCoroutine(self._pull(feed, self._sources[feed.feed])) for feed in feeds]
        pulled = [outcome for _, outcome in await DeferredList(pulls)]
        for feed, outcome in zip(feeds, pulled, strict=True):
            if outcome.why is not None:
                self.problems.append(Problem(feed.place("source"), outcome.why, is_warning=True))
        return pulled

    async def _pull(self, feed: FeedSettings, source: Source) -> Pulled:
        size = version = None
        timeout_s = min(max(feed.interval, MIN_PULL_S), MAX_PULL_S)
        try:
            fetching = Deferred.fromCoroutine(source.fetch())
            data = await fetching.addTimeout(timeout_s, self.reactor)
            if data is None:
                return Pulled(feed.feed, None, None, "it says that nothing has changed, and has given nothing before")
            size, version = len(data), version_of(data)
            check_document(data, max_bytes=feed.max_bytes)
            self._check_rules(feed, data)
        except PullError as error:
            return Pulled(feed.feed, size, version, str(error))
        except TimeoutError:
            return Pulled(feed.feed, None, None, f"no answer within {timeout_s:g} s")
        except Exception as error:
            return Pulled(feed.feed, None, None, f"the source broke: {type(error).__name__}: {first_line(error)}")
        return Pulled(feed.feed, size, version, None)

    def _check_rules(self, feed: FeedSettings, data: bytes) -> None:
        """Warns of rules that would hold the document of a source back, and of pointers that find nothing in it."""
        rules = Rules.compile(feed.rules)
        places = {spec.name: spec.place for spec in feed.rules}
        held = rules.check(None, data).held
        if held is not None:
            self._add(
                Problem(
                    places[held.rule], f"would hold the document that the source gives: {held.why}", is_warning=True
                )
            )
        for rule, pointer in rules.idle(data):
            why = f"there is no {pointer} in the document that the source gives, so this pointer checks nothing"
            self._add(Problem(places[rule], why, is_warning=True))

    @contextmanager
    def _reported(self, place: str = "", *, is_warning: bool = False) -> Iterator[None]:
        """Takes note of an error in the block."""
        try:
            yield
        except ConfigurationError as error:
            setting = self.settings.places.get(error.setting, "") or error.place
            self._add(Problem(place or setting, error.why, is_warning))
        except LivefeedError as error:
            self._add(Problem(place, str(error), is_warning))

    def _add(self, problem: Problem) -> None:
        # Several endpoints may have the same certificate.
        if problem not in self.problems:
            self.problems.append(problem)

    def _check_feed(self, feed: FeedSettings) -> None:
        with self._reported(feed.place("allow_origin")):
            Origins.parse(feed.allow_origin)
        with self._reported(feed.place("auth_tokens")):
            Content.read([feed])
        with self._reported(feed.place("source")):
            if is_store(feed.source) and self.settings.state_dir is None:
                raise needs_state_dir()
            source = make_source(feed.source, reactor=self.reactor, max_bytes=feed.max_bytes)
            self._sources[feed.feed] = source
            scheme, _, path = str(source).partition(":")
            if scheme == "file" and not os.access(path, os.R_OK):
                why = "cannot be read" if Path(path).exists() else "there is no such file"
                why = f"{path}: {why}; the feed has no document until there is one"
                self._add(Problem(feed.place("source"), why, is_warning=True))

    def _check_endpoints(self, scratch: Path) -> None:
        """Makes the endpoints, with their certificates.

        :param scratch: a folder for a development certificate: a check makes no file that stays.
        """
        settings = self.settings
        choice = CertificateChoice(settings.cert, settings.key, settings.place("cert"))
        is_development = False

        def certificate() -> PairSource:
            nonlocal is_development
            if settings.cert:
                return choice()
            is_development = True
            made = development_certificate(scratch)
            return PairSource(((made.cert, made.key),))

        for setting, descriptions in (("listen", settings.listen), ("admin", settings.admin)):
            for each in descriptions:
                with self._reported():
                    is_proxied = settings.transport == "fast" and setting == "listen"
                    description = each.removeprefix(PROXIED) if is_proxied else each
                    make_endpoint(self.reactor, description, certificate, setting, self._served)
        if is_development:
            why = "there is none: clients get a development certificate, which none of them trusts; set cert and key"
            self._add(Problem(settings.place("cert"), why, is_warning=True))
            self._served = ServedCertificates()
        with self._reported():
            if settings.cert and not choice.is_used:
                why = "has no effect: no endpoint uses it; only endpoints of the kind tls: do"
                self._add(Problem(settings.place("cert"), why, is_warning=True))
                choice.check_unused()
        now = clocks.wall()
        for validity in self._served:
            complaint = validity.complaint(now)
            if complaint is not None:
                is_valid = validity.not_before <= now <= validity.not_after
                self._add(Problem(settings.place("cert"), complaint, is_warning=is_valid))

    def _check_state_dir(self) -> None:
        folder, place = self.settings.state_dir, self.settings.place("state_dir")
        if folder is None:
            return
        try:
            check_folder(folder)
        except JournalError as error:
            self._add(Problem(place, str(error)))
            return
        existing = next((path for path in (folder, *folder.parents) if path.exists()), Path("/"))
        if not os.access(existing, os.W_OK | os.X_OK):
            self._add(Problem(place, f"{existing}: this user may not write there"))
        for feed in self.settings.feeds:
            with self._reported(place):
                Journal(folder / f"{feed.feed}.versions", feed.max_bytes).inspect()
                EmbargoFile(folder / f"{feed.feed}.embargoes").inspect()
                if is_store(feed.source):
                    Store(folder / f"{feed.feed}.store", clocks.wall).inspect()

    def _check_operators_port(self) -> None:
        settings = self.settings
        with self._reported():
            if settings.admin_token is not None:
                read_token(settings.admin_token)
        with self._reported():
            read_signing_keys(settings)
        with self._reported():
            if settings.admin_group is not None:
                group_number(settings.admin_group)
        path = settings.runtime_dir or default_runtime_dir(self.environment, os.geteuid(), settings.instance)
        try:
            inspect(path)
        except RuntimeDirError as error:
            # livefeed serves without the default one.
            is_chosen = settings.runtime_dir is not None
            self._add(Problem(settings.place("runtime_dir"), str(error), is_warning=not is_chosen))

    def pairs(self) -> Iterable[KeyPair]:
        """Gives the certificates of all endpoints, with their keys, after :meth:`run`."""
        for user in self._served.users:
            if isinstance(user, EndpointCertificates):
                yield from user.certificates.read.pairs
