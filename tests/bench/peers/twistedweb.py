"""twisted.web without livefeed."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.bench.peers.server import CIPHERSUITE, Server


class TwistedWeb(Server):
    """twisted.web as its documentation has it."""

    def start(self) -> None:
        certificate = self.setting.certificate
        here = Path(__file__).parents[1]
        self.run(
            sys.executable, here / "twisted_web.py", str(self.port), str(self.plain_port),
            certificate.cert, certificate.key, self.setting.document, CIPHERSUITE,
        )  # fmt: skip
