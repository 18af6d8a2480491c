"""Caddy, which serves a file."""

from __future__ import annotations

import shutil
import subprocess

from tests.bench.peers.server import BUILT, HOST, Server

CADDY = BUILT / "caddy"

CADDYFILE = """
{{
    admin off
    auto_https off
    persist_config off
    default_bind {host}
    servers {{
        protocols h1
    }}
}}
(feed) {{
    header Content-Type application/json
    header Cache-Control "public, max-age=1"
    header Access-Control-Allow-Origin *
    root * {directory}/www
    file_server {{
        precompressed gzip
    }}
}}
http://:{plain_port} {{
    import feed
}}
https://:{port} {{
    tls {cert} {key}
    import feed
}}
"""


class Caddy(Server):
    """Caddy, one core, a static file. Go's TLS prefers the cipher of all servers."""

    def start(self) -> None:
        directory, certificate = self.setting.directory / self.slug, self.setting.certificate
        (directory / "www").mkdir(parents=True, exist_ok=True)
        shutil.copy(self.setting.document, directory / "www" / "feed")
        subprocess.run(["gzip", "-kf", str(directory / "www" / "feed")], check=True)
        configuration = directory / "Caddyfile"
        configuration.write_text(
            CADDYFILE.format(
                directory=directory, cert=certificate.cert, key=certificate.key, host=HOST, port=self.port,
                plain_port=self.plain_port,
            )
        )  # fmt: skip
        self.run("env", f"HOME={directory}", CADDY, "run", "--adapter", "caddyfile", "--config", configuration)
