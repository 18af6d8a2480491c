"""The example with Prometheus and Grafana: a real Prometheus, and what Grafana would read.

Grafana itself is not started: the tests read its settings, and ask Prometheus what its panels would ask.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from livefeed.config.settings import OPTIONS
from tests.helpers.container import instructions
from tests.helpers.documentation import EXAMPLES
from tests.helpers.peers import peer
from tests.helpers.waiting import wait_until
from tests.integration.harness import HOST, START_S, TCP, WAIT_S, Process, free_port
from tests.integration.proxies import replaced

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import Start

pytestmark = pytest.mark.peers

FOLDER = EXAMPLES / "grafana"
DASHBOARD = FOLDER / "dashboards" / "livefeed.json"
TOKEN = "0123456789abcdefghijklmnop"


def composition() -> dict[str, Any]:
    """Gives the services of the composition."""
    services: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    return services


def mounts(service: str) -> dict[str, str]:
    """Gives the files and folders of the example that a service sees, by their paths in the container."""
    return {path: name for name, path, _ in (each.split(":") for each in composition()[service]["volumes"])}


def targets() -> list[str]:
    """Gives the expressions of the dashboard."""
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", [])]


def test_prometheus(start: Start, tmp_path: Path) -> None:
    """It reads the metrics with the token, has the rules, and answers each question of the dashboard."""
    prometheus = peer("prometheus", "prometheus")
    token, admin, port = tmp_path / "token", free_port(), free_port()
    token.write_text(TOKEN)
    token.chmod(0o600)
    livefeed = start("--admin", f"tcp:{admin}:interface={HOST}", "--admin-token", str(token), listen=(TCP,))
    text = replaced(
        (FOLDER / "prometheus.yml").read_text(),
        {"livefeed:9090": f"{HOST}:{admin}", "scrape_interval: 5s": "scrape_interval: 1s"},
    )
    (tmp_path / "prometheus.yml").write_text(text)
    (tmp_path / "alerts.yml").write_text((FOLDER / "alerts.yml").read_text())
    command = [
        prometheus,
        "--config.file=prometheus.yml",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address={HOST}:{port}",
    ]
    process = Process(command, directory=tmp_path)
    try:
        process.wait_for("Server is ready", START_S)
        with httpx.Client(base_url=f"http://{HOST}:{port}/api/v1", trust_env=False, timeout=WAIT_S) as client:

            def ask(expression: str) -> list[Any]:
                answer = client.get("/query", params={"query": expression}).json()
                assert answer["status"] == "success", (expression, answer)
                found: list[Any] = answer["data"]["result"]
                return found

            wait_until(lambda: ask('up{job="livefeed"} == 1'), process.text, look_s=0.2)
            groups = client.get("/rules").json()["data"]["groups"]
            assert sum(len(group["rules"]) for group in groups) > 10
            values = {"job": "livefeed", "instance": ".*", "feed": ".*", "__rate_interval": "1m"}
            assert livefeed.http.get("/feed").status_code == 200
            # Rates need two readings.
            wait_until(lambda: ask("rate(livefeed_answers_total[1m])"), process.text, look_s=0.2)
            found = {each: ask(re.sub(r"\$(\w+)", lambda name: values[name[1]], each)) for each in targets()}
            livefeed.assert_unbroken()
    finally:
        process.close()
    empty = [each for each, results in found.items() if not results]
    # Without workers there is nothing about them; without a certificate nothing about its end.
    assert [each for each in empty if not re.search("worker|canary|certificate|ticket|handshake", each)] == [], empty


def test_token_is_asked_for(start: Start, tmp_path: Path) -> None:
    """Without it, the metrics are served to nobody."""
    token, admin = tmp_path / "token", free_port()
    token.write_text(TOKEN)
    token.chmod(0o600)
    start("--admin", f"tcp:{admin}:interface={HOST}", "--admin-token", str(token), listen=(TCP,))
    assert httpx.get(f"http://{HOST}:{admin}/metrics", trust_env=False).status_code == 401


def test_composition() -> None:
    """Names of hosts, ports, files and folders fit together."""
    services = composition()
    settings = (FOLDER / "livefeed.toml").read_text()
    names = set(re.findall(r"^(\w+) =", settings, re.MULTILINE))
    assert names <= {*OPTIONS}
    assert mounts("livefeed")["/etc/livefeed/token"] == mounts("prometheus")["/etc/prometheus/token"] == "./token"
    assert 'admin_token = "/etc/livefeed/token"' in settings
    (scrape,) = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    host, _, port = scrape["static_configs"][0]["targets"][0].partition(":")
    assert services[host]["hostname"] == host
    assert f'admin = ["tcp:{port}"]' in settings
    assert not any(each.endswith(f":{port}") for each in services["livefeed"]["ports"])
    (user,) = [value for stage, each, value in instructions() if each == "USER" and stage == 1]
    assert services["prometheus"]["user"] == user
    for service in services:
        for name in mounts(service).values():
            assert (FOLDER / name).exists() or name == "./token", name


def test_grafana() -> None:
    """It finds the dashboard and Prometheus where the composition puts them."""
    grafana = mounts("grafana")
    (source,) = yaml.safe_load((FOLDER / "provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    host, _, port = source["url"].removeprefix("http://").partition(":")
    assert host in composition()
    assert (source["type"], source["isDefault"], port) == ("prometheus", True, "9090")
    (provider,) = yaml.safe_load((FOLDER / "provisioning/dashboards/livefeed.yaml").read_text())["providers"]
    assert grafana[provider["options"]["path"]] == "./dashboards"
    assert grafana["/etc/grafana/provisioning"] == "./provisioning"
    home = composition()["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/{DASHBOARD.name}"
    variables = {each["name"]: each for each in json.loads(DASHBOARD.read_text())["templating"]["list"]}
    assert variables["datasource"]["query"] == source["type"]
