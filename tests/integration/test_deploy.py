"""The configurations of ``docs/howto/deploy/``, with the real programs as far as they can be run here."""

from __future__ import annotations

import json
import shlex
import ssl
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from livefeed.config.settings import OPTIONS, Settings
from livefeed.feed.persistence import STOP_S
from livefeed.process.drain import LONGEST_STOP_S
from tests.helpers.container import instructions
from tests.helpers.documentation import DOCS, EXAMPLES, code_block
from tests.helpers.peers import peer
from tests.integration.harness import HOST, WAIT_S, Livefeed, Process, free_port, replace_file
from tests.integration.proxies import replaced

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from livefeed.tls.development import DevelopmentCertificate
    from tests.integration.conftest import Start

pytestmark = pytest.mark.peers

BEHIND_A_PROXY = ("--trusted-proxy", f"{HOST}/32", "--ready-public", "true")


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
                    *BEHIND_A_PROXY, *source, directory=tmp_path / name, certificate=certificate, listen=listen
                )
            yield nodes
        finally:
            for node in nodes.values():
                node.__exit__(None, None, None)

    def configured(self, directory: Path, port: int, nodes: Iterable[int]) -> Path:
        """Writes the configuration of the page, with other addresses."""
        text = code_block("howto/deploy/haproxy.md", "haproxy")
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


class TestContainer:
    """The recipe of the image; the packaging tests run the steps that install livefeed."""

    def only(self, name: str) -> str:
        """Gives the argument of an instruction that stands once in the last stage."""
        (found,) = [value for stage, each, value in instructions() if each == name and stage == 1]
        return found

    def test_process(self) -> None:
        """It is not root, runs without a shell, and is told to end by the signal that livefeed drains at."""
        assert all(int(number) > 0 for number in self.only("USER").split(":"))
        assert json.loads(self.only("ENTRYPOINT")) == ["twistd", "--nodaemon", "--pidfile=", "livefeed"]
        assert json.loads(self.only("CMD")) == ["--config", "/etc/livefeed/livefeed.toml"]
        assert self.only("STOPSIGNAL") == "SIGTERM"
        assert {each for stage, each, _ in instructions() if stage == 1} >= {"FROM", "COPY", "ENV"}
        assert "RUN" not in {each for stage, each, _ in instructions() if stage == 1}, "the tests do not run it"

    def test_health(self, start: Start, tmp_path: Path) -> None:
        """The command says whether livefeed answers: 0 while it does, and otherwise 1."""
        options, _, command = self.only("HEALTHCHECK").partition(" CMD ")
        assert "--interval=10s" in options
        program, *arguments = json.loads(command)
        assert program == "python"
        livefeed = start()
        variables = dict(each.split("=", 1) for each in shlex.split(self.only("ENV")))
        socket = f"{variables['LIVEFEED_RUNTIME_DIR']}/admin.sock"
        arguments[1] = replaced(arguments[1], {socket: str(livefeed.runtime_dir / "admin.sock")})

        def check() -> int:
            return subprocess.run(
                [sys.executable, *arguments], capture_output=True, timeout=WAIT_S, check=False
            ).returncode

        assert check() == 0
        assert livefeed.terminate() == 0
        assert check() == 1

    def test_settings(self) -> None:
        """They are possible, and fit the ports and volumes of the composition."""
        settings = tomllib.loads((DOCS / "container" / "livefeed.toml").read_text())
        compose = yaml.safe_load((DOCS / "container" / "compose.yaml").read_text())["services"]["livefeed"]
        assert {each.rpartition(":")[2] for each in compose["ports"]} == {settings["listen"][0].removeprefix("tls:")}
        assert settings["state_dir"] in {each.split(":")[1] for each in compose["volumes"]}
        assert compose["read_only"] is True
        assert settings["listen"] == [f"tls:{self.only('EXPOSE')}"]
        assert set(settings) <= set(OPTIONS)
        defaults = Settings()
        phases = defaults.drain_delay + defaults.drain + LONGEST_STOP_S + STOP_S
        assert int(compose["stop_grace_period"].removesuffix("s")) > phases
        # The operator's socket is in the only other folder that may be written to.
        assert f"{compose['tmpfs'][0].partition(':')[0]}/" in self.only("ENV")


class TestKubernetes:
    """The manifests."""

    @pytest.fixture
    def manifests(self) -> dict[str, Any]:
        """Gives them by their kinds."""
        return {
            each["kind"]: each for each in yaml.safe_load_all((EXAMPLES / "kubernetes" / "livefeed.yaml").read_text())
        }

    def pod(self, manifests: dict[str, Any]) -> dict[str, Any]:
        pod: dict[str, Any] = manifests["Deployment"]["spec"]["template"]["spec"]
        return pod

    def settings(self, manifests: dict[str, Any]) -> dict[str, Any]:
        return tomllib.loads(manifests["ConfigMap"]["data"]["livefeed.toml"])

    def test_there_is_time_to_stop(self, manifests: dict[str, Any]) -> None:
        """The grace period is longer than the phases of the drain; a balancer needs its time before."""
        settings = self.settings(manifests)
        phases = settings["drain_delay"] + settings["drain"] + LONGEST_STOP_S + STOP_S
        assert self.pod(manifests)["terminationGracePeriodSeconds"] > phases
        probe = self.pod(manifests)["containers"][0]["readinessProbe"]
        assert settings["drain_delay"] > probe["failureThreshold"] * (probe["periodSeconds"] + probe["timeoutSeconds"])

    def test_parts_fit_together(self, manifests: dict[str, Any]) -> None:
        """Names of ports, volumes and labels, and the paths in the settings."""
        pod = self.pod(manifests)
        (container,) = pod["containers"]
        ports = {each["name"]: each["containerPort"] for each in container["ports"]}
        settings = self.settings(manifests)
        assert [int(each.rpartition(":")[2]) for each in settings["listen"]] == [*ports.values()]
        assert {each["targetPort"] for each in manifests["Service"]["spec"]["ports"]} <= {*ports}
        for kind in ("startup", "readiness", "liveness"):
            assert container[f"{kind}Probe"]["httpGet"]["port"] == "http"
        assert {each["name"] for each in container["volumeMounts"]} == {each["name"] for each in pod["volumes"]}
        mounts = {each["mountPath"] for each in container["volumeMounts"]}
        assert {settings[name].rpartition("/")[0] for name in ("cert", "key")} <= mounts
        labels = manifests["Deployment"]["spec"]["template"]["metadata"]["labels"]
        assert manifests["Deployment"]["spec"]["selector"]["matchLabels"] == labels
        assert manifests["Service"]["spec"]["selector"] == labels
        assert manifests["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
        (user,) = [value for stage, each, value in instructions() if each == "USER" and stage == 1]
        assert user == f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"

    def test_probes(self, manifests: dict[str, Any], tmp_path: Path, certificate: DevelopmentCertificate) -> None:
        """With the settings of the manifest, the endpoint for them answers: not ready without a source, but alive."""
        port = free_port()
        text = replaced(
            manifests["ConfigMap"]["data"]["livefeed.toml"],
            {
                "tcp:8080": f"tcp:{port}:interface={HOST}",
                "haproxy:tls:8443": f"haproxy:tls:{free_port()}:interface={HOST}",
                "/etc/livefeed-tls/tls.crt": str(certificate.cert),
                "/etc/livefeed-tls/tls.key": str(certificate.key),
                "redis://redis/0/results": f"file:{tmp_path}/missing.json",
            },
        )
        (tmp_path / "livefeed.toml").write_text(text)
        options = ("--config", str(tmp_path / "livefeed.toml"))
        container = self.pod(manifests)["containers"][0]
        with Livefeed(*options, directory=tmp_path, certificate=None, listen=(), live=False) as livefeed:
            livefeed.wait_for_log("is stale")
            livefeed.process.wait_for("listening on ", count=2)
            for kind, status in (("startup", 503), ("readiness", 200), ("liveness", 200)):
                path = container[f"{kind}Probe"]["httpGet"]["path"]
                assert httpx.get(f"http://{HOST}:{port}{path}", trust_env=False).status_code == status
