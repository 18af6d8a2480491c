"""h2o, which serves a file."""

from __future__ import annotations

import shutil
import subprocess

from tests.bench.peers.server import CIPHERSUITE, HOST, Server

H2O = """
user: root
num-threads: 1
max-connections: 30000
tcp-fastopen: 0
error-log: {directory}/error.log
pid-file: {directory}/h2o.pid
http1-request-timeout: 75
file.send-compressed: ON
file.mime.setdefaulttype: application/json
header.add: "Cache-Control: public, max-age=1"
header.add: "Access-Control-Allow-Origin: *"
listen:
  host: {host}
  port: {plain_port}
listen:
  host: {host}
  port: {port}
  ssl:
    certificate-file: {cert}
    key-file: {key}
hosts:
  default:
    paths:
      /:
        file.dir: {directory}/www
"""

OPENSSL = f"""
openssl_conf = servers
[servers]
ssl_conf = parts
[parts]
system_default = ciphers
[ciphers]
Ciphersuites = {CIPHERSUITE}
"""
"""h2o has no setting for the ciphers of TLS 1.3, but OpenSSL reads its own file."""


class H2o(Server):
    """h2o, one thread, a static file."""

    def start(self) -> None:
        directory, certificate = self.setting.directory / self.slug, self.setting.certificate
        (directory / "www").mkdir(parents=True, exist_ok=True)
        shutil.copy(self.setting.document, directory / "www" / "feed")
        subprocess.run(["gzip", "-kf", str(directory / "www" / "feed")], check=True)
        configuration = directory / "h2o.conf"
        configuration.write_text(
            H2O.format(
                directory=directory, cert=certificate.cert, key=certificate.key, host=HOST, port=self.port,
                plain_port=self.plain_port,
            )
        )  # fmt: skip
        openssl = directory / "openssl.cnf"
        openssl.write_text(OPENSSL)
        self.run("env", f"OPENSSL_CONF={openssl}", "h2o", "-m", "worker", "-c", configuration)
