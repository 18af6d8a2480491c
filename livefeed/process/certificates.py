"""The certificates of the process: the default ones, their renewal while the process runs, and the check for expiry."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from livefeed import clocks
from livefeed.exceptions import ConfigurationError
from livefeed.process.reload import Change
from livefeed.tls.development import default_directory, development_certificate
from livefeed.tls.options import day
from livefeed.tls.reloading import EndpointCertificates, PairSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from twisted.internet.interfaces import IReactorTime

    from livefeed.config.settings import Settings
    from livefeed.tls.options import ServedCertificates, Validity
    from livefeed.tls.reloading import Certificates

CHECK_S = 86_400.0
"""Seconds between two checks of the certificates."""

_log = Logger()


@dataclass(slots=True)
class CertificateChoice:
    """The certificates of the endpoints that name none: the operator's, or else a development certificate.

    The development certificate is made when the first endpoint asks for it.

    :ivar certs: the files of the operator's certificates; empty for a development certificate.
    :ivar keys: the files of their private keys.
    :ivar place: where the operator has set the certificates; messages begin with it.
    :ivar is_used: whether an endpoint has asked for them.
    """

    # required parameters
    certs: Sequence[Path]
    keys: Sequence[Path]
    place: str

    # internal state
    is_used: bool = False
    _is_logged: bool = False

    def __call__(self) -> PairSource:
        """Gives the files of the certificates. It may block.

        :raises LivefeedError: if a development certificate is needed and cannot be made.
        """
        self.is_used = True
        if self.certs:
            return PairSource(tuple(zip(self.certs, self.keys, strict=True)))
        try:
            made = development_certificate(default_directory())
        except ConfigurationError as error:
            raise ConfigurationError(f"{error.why}; or give --cert and --key") from None
        if not self._is_logged:
            self._is_logged = True
            _log.warn(
                "serving a development certificate, {cert}, of the CA {ca}; its SHA-256 fingerprint is {fingerprint}",
                cert=made.cert,
                ca=made.ca,
                fingerprint=made.fingerprint,
            )
        return PairSource(((made.cert, made.key),), is_development=True)

    def check_unused(self) -> None:
        """Warns if the operator has set certificates and no endpoint has asked for them.

        :raises ConfigurationError: if one of the files is missing.
        """
        if self.is_used or not self.certs:
            return
        for name, files in (("cert", self.certs), ("key", self.keys)):
            for file in files:
                if not file.is_file():
                    raise ConfigurationError(f"{file}: there is no such file", name)
        _log.warn("{place} has no effect: no endpoint uses it; only endpoints of the kind tls: do", place=self.place)


@dataclass(frozen=True, slots=True)
class _PreparedCertificates:
    """Certificates that were read and checked, and the endpoints that will serve with them."""

    loaded: Sequence[tuple[EndpointCertificates, Certificates]]

    def changes(self) -> list[Change]:
        """Prepared API. One for each file whose certificate is another one."""
        found: dict[str, Change] = {}
        for endpoint, certificates in self.loaded:
            before = {each.file: each for each in endpoint.certificates.validities()}
            after = {each.file: each for each in certificates.validities()}
            for file in sorted({*before, *after}):
                ends = [None if each is None else day(each.not_after) for each in (before.get(file), after.get(file))]
                is_same = endpoint.certificates.contents.get(file) == certificates.contents.get(file)
                if not is_same or None in ends:
                    name = f"certificate {file}"
                    found[name] = Change(name, *(end and f"valid until {end}" for end in ends))
        return list(found.values())

    def commit(self) -> None:
        """Prepared API."""
        for endpoint, certificates in self.loaded:
            certificates.log_notes()
            endpoint.take(certificates)

    def abandon(self) -> None:
        """Prepared API. Contexts hold nothing open."""


@dataclass(eq=False)
class ReloadedCertificates:
    """The certificates of all endpoints, as a part of a reload.

    A process without workers, and a parent, read the files in a thread, by :meth:`look`, before the reload. A worker
    first replaces ``served.files`` by those that its parent has read.

    :ivar served: the endpoints' certificates.
    :ivar names: the settings that it takes.
    """

    # required parameters
    served: ServedCertificates
    names: frozenset[str] = frozenset({"cert", "key"})

    # internal state
    _looked: tuple[object, _PreparedCertificates] | None = None

    def endpoints(self) -> list[EndpointCertificates]:
        """Gives the certificates of each endpoint."""
        return [each for each in self.served.users if isinstance(each, EndpointCertificates)]

    def contents(self) -> dict[Path, bytes]:
        """Gives the bytes of all files in use, by path: for workers, which have no rights on them. Secret."""
        return {path: data for each in self.endpoints() for path, data in each.certificates.contents.items()}

    def look(self, settings: Settings) -> None:
        """Reads and checks the certificates for settings that :meth:`prepare` is given next. It may block.

        :raises LivefeedError: if a certificate or a key cannot be used.
        """
        self._looked = None
        self._looked = (settings.cert, settings.key), self._load(settings)

    def prepare(self, before: Settings, after: Settings) -> _PreparedCertificates:
        """Reloadable API."""
        looked, self._looked = self._looked, None
        return looked[1] if looked is not None and looked[0] == (after.cert, after.key) else self._load(after)

    def _load(self, settings: Settings) -> _PreparedCertificates:
        now = clocks.wall()
        choice = CertificateChoice(settings.cert, settings.key, settings.place("cert"))
        endpoints = self.endpoints()
        with settings.named():
            default = choice() if any(each.is_default for each in endpoints) else None
            read = [(each, each.load(now, default if each.is_default else None)) for each in endpoints]
        # One that is the same stays, with its contexts.
        return _PreparedCertificates([(each, found) for each, found in read if not is_same(each.certificates, found)])


def is_same(one: Certificates, other: Certificates) -> bool:
    """Tells whether certificates were read from the same files with the same contents."""
    return one.source == other.source and one.contents == other.contents


@dataclass(eq=False)
class CertificateWatch(Service):
    """Warns at the start and once a day of certificates that clients refuse, or soon will refuse.

    :ivar certificates: the certificates in use; read again at each check.
    """

    # required parameters
    certificates: Iterable[Validity]
    clock: IReactorTime

    # internal state
    _loop: LoopingCall = field(init=False)

    def __post_init__(self) -> None:
        self._loop = LoopingCall(self._check)
        self._loop.clock = self.clock

    def startService(self) -> None:
        """IService API."""
        super().startService()
        self._loop.start(CHECK_S)

    def stopService(self) -> None:
        """IService API."""
        super().stopService()
        self._loop.stop()

    def _check(self) -> None:
        for complaint in (validity.complaint(clocks.wall()) for validity in self.certificates):
            if complaint is not None:
                _log.warn("{complaint}", complaint=complaint)
