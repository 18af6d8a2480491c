"""Centrifugo: subscribers on its one-way WebSockets and event streams, which are told the channel in the URL."""

from __future__ import annotations

import json
from urllib.parse import quote

from tests.bench.peers.server import BUILT, HOST, Server, post

CENTRIFUGO = BUILT / "centrifugo"

CONNECT = quote(json.dumps({"subs": {"feed": {"recover": True}}}, separators=(",", ":")))
"""The subscription. With the recovery mode "cache", the last publication comes at once."""


class Centrifugo(Server):
    """Centrifugo with one core, and with its engine in memory. It answers no polls."""

    polls = False
    followed_by = ("websocket", "events")

    def start(self) -> None:
        certificate = self.setting.certificate
        self.publish = self._publish
        self.subscribe_path = f"/connection/uni_websocket?cf_connect={CONNECT}"
        self.events_path = f"/connection/uni_sse?cf_connect={CONNECT}"
        channel = {
            "allow_subscribe_for_client": True,
            "allow_subscribe_for_anonymous": True,
            "history_size": 1,
            "history_ttl": "1h",
            "force_recovery": True,
            "force_recovery_mode": "cache",
        }
        configuration = {
            "http_server": {
                "address": HOST,
                "port": str(self.port),
                "internal_address": HOST,
                "internal_port": str(self.plain_port),
                "tls_external": True,
                "tls": {"enabled": True, "cert_pem": str(certificate.cert), "key_pem": str(certificate.key)},
            },
            "client": {"allow_anonymous_connect_without_token": True, "queue_max_size": 64 << 20},
            "channel": {"without_namespace": channel},
            "http_api": {"insecure": True},
            "uni_websocket": {"enabled": True},
            "uni_sse": {"enabled": True},
            "usage_stats": {"disabled": True},
            "log": {"level": "error"},
        }
        path = self.setting.directory / f"{self.slug}.json"
        path.write_text(json.dumps(configuration))
        self.run(CENTRIFUGO, "--config", path)

    def _publish(self, document: bytes) -> None:
        post(self.plain_port, "/api/publish", b'{"channel":"feed","data":%s}' % document, "application/json")
