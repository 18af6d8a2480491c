"""The example alert rules, checked by Prometheus's own tool, and against livefeed's metrics."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.helpers.documentation import code_block
from tests.helpers.peers import peer
from tests.integration.harness import TLS, WORKERS, Process

if TYPE_CHECKING:
    from tests.integration.conftest import Start

pytestmark = pytest.mark.processes

RULES = Path(__file__).resolve().parents[2] / "examples" / "grafana" / "alerts.yml"
DASHBOARD = RULES.parent / "dashboards" / "livefeed.json"
TESTS = Path(__file__).with_name("alerts_test.yml")
_NAME = re.compile(r"\blivefeed_\w+")
_SERIES = re.compile(r"series: '(\w+)\{(.*)\}'")
_LABEL = re.compile(r'(\w+)="')

OF_PROMETHEUS = {"job", "instance"}
"""The labels that Prometheus adds."""


@pytest.mark.startup
def test_rules_are_right(tmp_path: Path) -> None:
    """Each goes off where it should, and nothing does while all is well."""
    promtool = peer("promtool", "prometheus")
    for arguments in (("check", "rules", "--lint-fatal", str(RULES)), ("test", "rules", str(TESTS))):
        process = Process([promtool, *arguments], directory=tmp_path)
        try:
            assert process.wait() == 0, process.text()
        finally:
            process.close()
    alerts = set(re.findall(r"alert: (\w+)", RULES.read_text()))
    assert len(alerts) > 10
    assert {alert for alert in alerts if f'alertname="{alert}"' not in TESTS.read_text()} == set()


@pytest.mark.startup
def test_settings_of_prometheus_are_right(tmp_path: Path) -> None:
    """Prometheus reads the settings of the page about monitoring, with the rules."""
    promtool = peer("promtool", "prometheus")
    shutil.copy(RULES, tmp_path)
    token = tmp_path / "token"
    token.touch()
    settings = code_block("howto/monitoring.md", "yaml").replace("/etc/prometheus/livefeed.token", str(token))
    (tmp_path / "prometheus.yml").write_text(settings)
    process = Process([promtool, "check", "config", "prometheus.yml"], directory=tmp_path)
    try:
        assert process.wait() == 0, process.text()
    finally:
        process.close()


@pytest.mark.startup
def test_dashboard_is_understood(tmp_path: Path) -> None:
    """Prometheus can read each expression in it, once Grafana has put the values of its variables in."""
    promtool = peer("promtool", "prometheus")
    panels = json.loads(DASHBOARD.read_text())["panels"]
    found = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    assert len(found) > 20
    rules = [
        {"record": f"x{number}", "expr": re.sub(r"\$\w+", "x", expression.replace("$__rate_interval", "1m"))}
        for number, expression in enumerate(found)
    ]
    # JSON is YAML, too.
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    process = Process([promtool, "check", "rules", "rules.yml"], directory=tmp_path)
    try:
        assert process.wait() == 0, process.text()
    finally:
        process.close()


def test_rules_ask_for_what_is_exported(start: Start) -> None:
    """The rules name existing metrics, with the labels that the tests of the rules give them."""
    livefeed = start(listen=(TLS,))
    assert livefeed.http.get("/feed").status_code == 200
    text = livefeed.metrics_with(r"livefeed_answers_total\{")
    exported = {
        sample.name: {*sample.labels} for family in text_string_to_metric_families(text) for sample in family.samples
    }
    asked = {*_NAME.findall(RULES.read_text())}
    assert len(asked) > 10
    if not WORKERS:
        asked = {name for name in asked if not re.search("worker|canary", name)}
    assert asked - {*exported} == set()
    tested = {name: {*_LABEL.findall(labels)} for name, labels in _SERIES.findall(TESTS.read_text())}
    assert asked - {*tested} == set()
    for name in asked:
        assert tested[name] == exported[name] | OF_PROMETHEUS, name
