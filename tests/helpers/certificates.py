"""Endpoints with certificates in a folder, for tests of their renewal and their reload."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from livefeed import clocks
from livefeed.process.certificates import ReloadedCertificates
from livefeed.tls.files import LocalFiles
from livefeed.tls.options import ServedCertificates
from livefeed.tls.reloading import Certificates, EndpointCertificates, PairSource
from tests.authority import Holder

if TYPE_CHECKING:
    from livefeed.tls.reloading import CertificateSource


class CertificatesTestCase(SynchronousTestCase):
    """Endpoints with certificates in a folder."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = Path(directory.name)
        self.ca = Holder("CA")
        self.served = ServedCertificates()
        self.part = ReloadedCertificates(self.served)
        self.cert, self.key = self.folder / "a.pem", self.folder / "a.key"
        self.write("a.test")
        self.lines: list[str] = []

        def record(event: Any) -> None:
            self.lines.append(formatEvent(event))

        observer: Any = record
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def write(self, name: str, days: int = 90) -> None:
        """Writes a certificate and its key."""
        holder = Holder(name)
        self.cert.write_bytes(self.ca.issue(holder, [name], days=days))
        self.key.write_bytes(holder.pem())

    def endpoint(self, source: CertificateSource | None = None, *, is_default: bool = True) -> EndpointCertificates:
        read = Certificates.load(source or PairSource(((self.cert, self.key),)), LocalFiles(), clocks.wall())
        return EndpointCertificates(read, self.served, is_default)

    def name(self, endpoint: EndpointCertificates) -> str:
        """Gives the name for which an endpoint has a certificate."""
        return endpoint.certificates.names()
