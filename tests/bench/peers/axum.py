"""axum with rustls and tungstenite: the program in ``tests/bench/peers/rust``, which ``make bench-build`` builds."""

from __future__ import annotations

from tests.bench.peers.server import BUILT, HOST, KINDS_OF_FOLLOWING, Server, post

AXUM = BUILT / "axum-peer"


class Axum(Server):
    """A server in Rust with one thread, which has the document in memory."""

    followed_by = KINDS_OF_FOLLOWING

    def start(self) -> None:
        certificate = self.setting.certificate
        self.publish = self._publish
        self.run(
            AXUM, f"{HOST}:{self.port}", f"{HOST}:{self.plain_port}", certificate.cert, certificate.key,
            self.setting.document,
        )  # fmt: skip

    def _publish(self, document: bytes) -> None:
        post(self.plain_port, "/publish", document)
