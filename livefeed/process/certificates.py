"""The certificates of the process: the choice of the default one, and the daily check for expiry."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from livefeed import clocks
from livefeed.exceptions import ConfigurationError
from livefeed.tls.development import default_directory, development_certificate

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from twisted.internet.interfaces import IReactorTime

    from livefeed.tls.options import Validity

CHECK_S = 86_400.0
"""Seconds between two checks of the certificates."""

_log = Logger()


@dataclass(frozen=True, slots=True)
class CertificateFiles:
    """The PEM files of a server's certificate and its private key."""

    cert: Path
    key: Path


@dataclass(slots=True)
class CertificateChoice:
    """The certificate of the endpoints that name none: the operator's, or else a development certificate.

    The development certificate is made when the first endpoint asks for it.

    :ivar cert: the operator's certificate; ``None`` for a development certificate.
    :ivar key: the private key of the operator's certificate.
    :ivar place: where the operator has set the certificate; messages begin with it.
    """

    # required parameters
    cert: Path | None
    key: Path | None
    place: str

    # internal state
    _is_used: bool = False

    def __call__(self) -> CertificateFiles:
        """Gives the files of the certificate.

        :raises LivefeedError: if a development certificate is needed and cannot be made.
        """
        self._is_used = True
        if self.cert is not None and self.key is not None:
            return CertificateFiles(self.cert, self.key)
        made = development_certificate(default_directory())
        _log.warn(
            "serving a development certificate, {cert}, of the CA {ca}; its SHA-256 fingerprint is {fingerprint}",
            cert=made.cert,
            ca=made.ca,
            fingerprint=made.fingerprint,
        )
        return CertificateFiles(made.cert, made.key)

    def check_unused(self) -> None:
        """Warns if the operator has set a certificate and no endpoint has asked for it.

        :raises ConfigurationError: if one of the files is missing.
        """
        if self._is_used or self.cert is None or self.key is None:
            return
        for name, file in (("cert", self.cert), ("key", self.key)):
            if not file.is_file():
                raise ConfigurationError(f"{file}: there is no such file", name)
        _log.warn("{place} has no effect: no endpoint uses it; only endpoints of the kind tls: do", place=self.place)


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
