"""Certificates that are renewed while the process runs: their files are looked at every few seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from livefeed import clocks
from livefeed.exceptions import ConfigurationError
from livefeed.process.certificates import is_same
from livefeed.tls.development import RENEW_BEFORE, development_certificate
from livefeed.tls.options import day
from livefeed.tls.reloading import PairSource

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from twisted.internet.interfaces import IReactorTime

    from livefeed.process.certificates import ReloadedCertificates
    from livefeed.tls.options import Validity
    from livefeed.tls.reloading import Certificates, EndpointCertificates

LOOK_S = 5.0
"""Seconds between two looks at the files. A change is read when two looks in a row have found the same files, so that a
certificate and its key, which are written one after the other, are read together."""

_log = Logger()


@dataclass(eq=False)
class CertificateRenewal(Service):
    """Serves with files that have changed.

    Files that cannot be used are refused, with one line in the log, and the certificates in use stay. They are tried
    again when they change again. Each endpoint is on its own: a mistake in one delays no renewal of another. A
    development certificate that is about to expire is made anew.

    :ivar part: the certificates of all endpoints.
    :ivar in_thread: calls a function in a thread of its own, since a disk may hang.
    :ivar on_change: called after certificates were replaced; a parent passes them on to its workers.
    """

    # required parameters
    part: ReloadedCertificates
    in_thread: Callable[..., Deferred[Any]]
    clock: IReactorTime
    on_change: Callable[[], object] = lambda: None

    # internal state
    _loop: LoopingCall = field(init=False)
    _is_looking: bool = False
    _found: dict[int, object] = field(default_factory=dict)  # what the last look has found, by the endpoint's id
    _refused: dict[int, object] = field(default_factory=dict)  # what cannot be used, and is not tried again
    _why: dict[int, str] = field(default_factory=dict)  # the reason, by the same ids

    def __post_init__(self) -> None:
        self._loop = LoopingCall(self._begin)
        self._loop.clock = cast("IReactorTime", clocks.Beat(self.clock))

    def startService(self) -> None:
        """IService API."""
        super().startService()
        if self.part.endpoints():
            self._loop.start(LOOK_S, now=False)

    def stopService(self) -> None:
        """IService API."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()

    def _begin(self) -> None:
        # While a disk hangs, no other thread is started.
        if not self._is_looking:
            self._is_looking = True
            Deferred.fromCoroutine(self._look())

    async def _look(self) -> None:
        try:
            endpoints = self.part.endpoints()
            stamps: list[object] = await self.in_thread(self._stamps, endpoints)
            due = []
            for endpoint, stamp in zip(endpoints, stamps, strict=True):
                is_settled = self._found.get(id(endpoint)) == stamp
                self._found[id(endpoint)] = stamp
                if is_settled and stamp not in (endpoint.certificates.stamp, self._refused.get(id(endpoint))):
                    due.append((endpoint, stamp))
            if due:
                self._take(due, await self.in_thread(self._load, [endpoint for endpoint, _ in due]))
            for endpoint, stamp in zip(endpoints, stamps, strict=True):
                # A reload may have read these files, or named other ones.
                if stamp == endpoint.certificates.stamp or stamp != self._refused.get(id(endpoint)):
                    self._refused.pop(id(endpoint), None)
            self.part.served.refusals = list(
                dict.fromkeys(self._why[id(each)] for each in endpoints if id(each) in self._refused)
            )
        except Exception:
            _log.failure("looking at the files of certificates broke")
        finally:
            self._is_looking = False

    def _take(
        self, due: Sequence[tuple[EndpointCertificates, object]], loaded: Sequence[Certificates | ConfigurationError]
    ) -> None:
        """Serves with what was read, unless a reload was faster, and logs what is new."""
        refused: dict[str, None] = {}
        replaced: dict[str, None] = {}
        for (endpoint, stamp), found in zip(due, loaded, strict=True):
            if isinstance(found, ConfigurationError):
                self._refused[id(endpoint)], self._why[id(endpoint)] = stamp, found.why
                refused[found.why] = None
                continue
            before = endpoint.certificates
            # Files that change while they are read are read again.
            if found.source != before.source or found.stamp != stamp:
                continue
            self._refused.pop(id(endpoint), None)
            endpoint.take(found)
            if not is_same(before, found):
                found.log_notes()
                replaced.update(
                    {f"{each.file}, valid until {day(each.not_after)}": None for each in new(before, found)}
                )
        for why in refused:
            _log.warn("{why}; the certificates that were read before are used", why=why)
        for what in replaced:
            _log.info("the certificate is renewed: {what}", what=what)
        if replaced:
            self.on_change()

    def _stamps(self, endpoints: Sequence[EndpointCertificates]) -> list[object]:
        """Looks at the files, in a thread."""
        stamps: list[object] = []
        for endpoint in endpoints:
            source = endpoint.certificates.source
            try:
                if isinstance(source, PairSource) and source.is_development:
                    renew_development_certificate(endpoint.certificates)
                stamps.append(source.stamp(self.part.served.files))
            except ConfigurationError as error:
                stamps.append(error.why)
        return stamps

    def _load(self, endpoints: Sequence[EndpointCertificates]) -> list[Certificates | ConfigurationError]:
        """Reads the files, in a thread."""
        loaded: list[Certificates | ConfigurationError] = []
        for endpoint in endpoints:
            try:
                loaded.append(endpoint.load(clocks.wall()))
            except ConfigurationError as error:
                loaded.append(error)
        return loaded


def new(before: Certificates, after: Certificates) -> list[Validity]:
    """Gives the validity of each certificate that was not there before."""
    old = {pair.chain[0] for pair in before.read.pairs}
    return [pair.validity for pair in after.read.pairs if pair.chain[0] not in old]


def renew_development_certificate(certificates: Certificates) -> None:
    """Makes the files of a development certificate anew if it is about to expire.

    :raises ConfigurationError: if they cannot be made.
    """
    due_at = clocks.wall() + RENEW_BEFORE.total_seconds()
    for pair in certificates.read.pairs:
        if pair.validity.not_after < due_at:
            development_certificate(pair.file.parent)
