"""Varnish behind hitch."""

from __future__ import annotations

from tests.bench.peers.nginx import Nginx
from tests.bench.peers.server import CIPHERSUITE, HOST, Server, wait_for_port


class VarnishHitch(Server):
    """Varnish, with hitch in front of it for TLS, and nginx's file behind it."""

    def start(self) -> None:
        directory, certificate = self.setting.directory / self.slug, self.setting.certificate
        directory.mkdir(exist_ok=True)
        self._origin = Nginx(f"{self.name}, origin", self.setting)
        self._origin.__enter__()
        pem = directory / "both.pem"
        pem.write_bytes(certificate.key.read_bytes() + certificate.cert.read_bytes())
        vcl = directory / "default.vcl"
        vcl.write_text(
            f'vcl 4.1; backend default {{ .host = "{HOST}"; .port = "{self._origin.plain_port}"; }}\n'
            # By itself it takes nothing from memory for a request that has cookies.
            "sub vcl_recv { unset req.http.Cookie; }\n"
            "sub vcl_backend_response { set beresp.ttl = 1h; }\n"
        )
        # While it is paused, its two processes hear nothing of each other.
        self.run("varnishd", "-F", "-n", directory / "work", "-a", f"{HOST}:{self.plain_port}", "-f", vcl,
                 "-s", "malloc,64m", "-p", "cli_timeout=3600")  # fmt: skip
        wait_for_port(self.plain_port, self.processes)
        configuration = directory / "hitch.conf"
        configuration.write_text(f'ciphersuites = "{CIPHERSUITE}"\n')
        self.run("hitch", f"--config={configuration}", f"--frontend=[{HOST}]:{self.port}",
                 f"--backend=[{HOST}]:{self.plain_port}", "--workers=1", "--user=nobody", pem)  # fmt: skip

    def pause(self) -> None:
        super().pause()
        self._origin.pause()

    def resume(self) -> None:
        if hasattr(self, "_origin"):
            self._origin.resume()
        super().resume()

    def stop(self) -> None:
        super().stop()
        if hasattr(self, "_origin"):
            self._origin.stop()
