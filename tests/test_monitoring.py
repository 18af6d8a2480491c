"""The dashboard and the alert rules in the docs ask for metrics that livefeed has."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from livefeed.admin.exposition import PREFIX
from livefeed.admin.samples import FAMILIES
from livefeed.feed.state import State
from tests.helpers.documentation import DOCS

_NAME = re.compile(rf"\b{PREFIX}\w+")


def dashboard() -> dict[str, Any]:
    """Gives the dashboard of Grafana."""
    found: dict[str, Any] = json.loads((DOCS / "monitoring" / "grafana.json").read_text())
    return found


class NameTests(SynchronousTestCase):
    """The names of metrics."""

    def assert_known(self, text: str) -> None:
        names = set(_NAME.findall(text))
        self.assertGreater(len(names), 10)
        self.assertEqual({name for name in names if name.removeprefix(PREFIX) not in FAMILIES}, set())

    def test_of_the_alert_rules(self) -> None:
        """A rule about a metric that does not exist would never fire."""
        self.assert_known((DOCS / "alerts.yml").read_text())

    def test_of_the_dashboard(self) -> None:
        """A panel about a metric that does not exist would stay empty."""
        self.assert_known(json.dumps([panel.get("targets", []) for panel in dashboard()["panels"]]))

    def test_of_the_documentation(self) -> None:
        """The table of metrics names each family, and no other."""
        lines = (DOCS / "reference" / "metrics.md").read_text().splitlines()
        table = [line.split("|")[1] for line in lines if line.startswith("| `")]
        names = {name for cell in table for name in _NAME.findall(cell)}
        self.assertEqual(names, {PREFIX + name for name in FAMILIES})


class DashboardTests(SynchronousTestCase):
    """The form of the dashboard."""

    def setUp(self) -> None:
        self.dashboard = dashboard()
        self.panels = [panel for panel in self.dashboard["panels"] if panel["type"] != "row"]

    def test_panels_do_not_overlap(self) -> None:
        """Each has a number and a place of its own."""
        numbers = [panel["id"] for panel in self.dashboard["panels"]]
        self.assertEqual(len(set(numbers)), len(numbers))
        for one, other in combinations(self.dashboard["panels"], 2):
            a, b = one["gridPos"], other["gridPos"]
            beside = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
            above = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
            self.assertTrue(beside or above, (one["title"], other["title"]))
            self.assertLessEqual(a["x"] + a["w"], 24)

    def test_panels_are_described(self) -> None:
        """An operator at night can read what a panel shows."""
        for panel in self.panels:
            self.assertTrue(panel["title"] and panel["description"].endswith("."), panel["title"])
            for target in panel["targets"]:
                self.assertTrue(target["legendFormat"], panel["title"])

    def test_states(self) -> None:
        """The panel of states has a name and a colour of its own for each state, and for one that it does not know."""
        (panel,) = (panel for panel in self.panels if panel["title"] == "State")
        asked = dict(re.findall(r'(\d) \* livefeed_state\{[^}]*state="(\w+)"\}', panel["targets"][0]["expr"]))
        options = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
        self.assertEqual({number: each["text"] for number, each in options.items()}, {"0": "another state", **asked})
        self.assertEqual(sorted(asked.values()), sorted(state.value for state in State))
        self.assertEqual(len({each["color"] for each in options.values()}), len(options))

    def test_variables(self) -> None:
        """No panel belongs to one installation: data source, job, instance and feed are chosen."""
        names = {each["name"] for each in self.dashboard["templating"]["list"]}
        self.assertEqual(names, {"datasource", "job", "instance", "feed"})
        for panel in self.panels:
            for target in panel["targets"]:
                self.assertEqual(target["datasource"]["uid"], "${datasource}")
                for selector in re.findall(r"\{(.*?)\}", target["expr"]):
                    self.assertIn('job="$job"', selector)
                used = set(re.findall(r"\$(\w+)", target["expr"])) - {"__rate_interval"}
                self.assertLessEqual(used, names)
