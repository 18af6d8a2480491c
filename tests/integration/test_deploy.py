"""The configurations of ``docs/deploy/``, with the real programs as far as they can be run here."""

from __future__ import annotations

import ssl
import subprocess
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.helpers.documentation import code_block
from tests.integration.harness import HOST, TRANSPORT, WAIT_S, Livefeed, Process, free_port, peer, replace_file
from tests.integration.proxies import replaced

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from livefeed.tls.development import DevelopmentCertificate

OPTIONS = ("--trusted-proxy", f"{HOST}/32", "--ready-public", "true")


@pytest.mark.skipif(TRANSPORT != "fast", reason="Twisted's transport reads no PROXY header before TLS")
class TestHAProxy:
    """HAProxy in front of two nodes, with TLS passed through."""

    @pytest.fixture
    def nodes(self, tmp_path: Path, certificate: DevelopmentCertificate) -> Iterator[dict[int, Livefeed]]:
        """Starts two nodes with one source, a file, and gives them by their ports."""
        (tmp_path / "feed.json").write_text('{"a": 1}')
        nodes: dict[int, Livefeed] = {}
        source = ("--source", f"file:{tmp_path / 'feed.json'}", "--interval", "0.2")
        try:
            for name in ("one", "two"):
                (tmp_path / name).mkdir()
                port = free_port()
                listen = (f"haproxy:tls:{port}:interface={HOST}",)
                nodes[port] = Livefeed(
                    *OPTIONS, *source, directory=tmp_path / name, certificate=certificate, listen=listen
                )
            yield nodes
        finally:
            for node in nodes.values():
                node.__exit__(None, None, None)

    def configured(self, directory: Path, port: int, nodes: Iterable[int]) -> Path:
        """Writes the configuration of the page, with other addresses."""
        text = code_block("deploy/haproxy.md", "haproxy")
        for number, node in enumerate(nodes, 1):
            assert text.count(f"10.0.0.{number}:8443") == 2
            text = text.replace(f"10.0.0.{number}:8443", f"{HOST}:{node}")
        file = directory / "haproxy.cfg"
        file.write_text(replaced(text, {"bind :443\n": f"bind {HOST}:{port}\n", "maxconn 50000": "maxconn 500"}))
        return file

    def test_configuration_is_valid(self, tmp_path: Path) -> None:
        """HAProxy accepts it without a warning."""
        command = [peer("haproxy", "haproxy"), "-c", "-dW", "-f", str(self.configured(tmp_path, 443, [1, 2]))]
        done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
        assert done.returncode == 0, done.stderr

    def test_nodes_that_fail(
        self, tmp_path: Path, nodes: dict[int, Livefeed], certificate: DevelopmentCertificate
    ) -> None:
        """Clients get the old document while no node is ready, and are led away from a node that is gone."""
        port = free_port()
        trust = ssl.create_default_context(cafile=certificate.ca)

        def get() -> httpx.Response:
            """Asks for the document on a new connection."""
            return httpx.get(f"https://{HOST}:{port}/feed", verify=trust, trust_env=False, timeout=WAIT_S)

        file = self.configured(tmp_path, port, nodes)
        proxy = Process([peer("haproxy", "haproxy"), "-W", "-f", str(file)], directory=tmp_path)
        try:
            proxy.wait_for("Loading success")
            assert get().headers["Livefeed-State"] == "live"
            (tmp_path / "feed.json").unlink()
            proxy.wait_for("backend 'livefeed' has no server available")
            answer = get()
            assert (answer.status_code, answer.headers["Livefeed-State"]) == (200, "stale")
            replace_file(tmp_path / "feed.json", b'{"a": 2}')
            for name in ("one", "two"):
                proxy.wait_for(f"Server livefeed/{name} is UP")
            assert next(iter(nodes.values())).terminate() == 0
            proxy.wait_for("Server livefeed/one is DOWN", count=2)
            for _ in range(4):
                assert get().json() == {"a": 2}
        finally:
            proxy.close()
