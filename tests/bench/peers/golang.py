"""Go's net/http."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.bench.peers.server import HOST, Server


class Go(Server):
    """Go's net/http."""

    def start(self) -> None:
        certificate = self.setting.certificate
        binary = self.setting.directory / "gobench"
        if not binary.exists():
            source = Path(__file__).parents[1] / "go"
            subprocess.run(["go", "build", "-o", str(binary), "."], cwd=source, check=True)
        for port, kind in ((self.port, "tls"), (self.plain_port, "tcp")):
            self.run(binary, f"{HOST}:{port}", kind, certificate.cert, certificate.key, self.setting.document)
