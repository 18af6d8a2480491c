"""The runbook has a section for each alert, and each section says everything that an operator needs at night."""

from __future__ import annotations

import re

import yaml
from twisted.trial.unittest import SynchronousTestCase

from tests.helpers.documentation import EXAMPLES
from tests.helpers.runbook import PAGE, PARTS, pattern_of, sections

_LINK = re.compile(r"\]\(#([\w-]+)\)")


def rules() -> dict[str, dict[str, str]]:
    """Gives the annotations of the alert rules, by the names of the alerts."""
    (group,) = yaml.safe_load((EXAMPLES / "grafana" / "alerts.yml").read_text("utf-8"))["groups"]
    return {rule["alert"]: rule["annotations"] for rule in group["rules"]}


class RunbookTests(SynchronousTestCase):
    """The page, and the links to it."""

    def setUp(self) -> None:
        self.sections = sections()
        self.faults = [each for each in self.sections.values() if each.is_about_a_fault]

    def test_each_alert_has_a_section(self) -> None:
        """And each alert that a section names exists."""
        named = {alarm for each in self.faults for alarm in each.alarms}
        self.assertEqual(named, {*rules()})

    def test_each_alert_leads_to_a_section_that_names_it(self) -> None:
        """The link is in the message that reaches the operator's telephone."""
        by_anchor = {each.anchor: each for each in self.faults}
        for alert, messages in rules().items():
            page, _, anchor = messages["runbook_url"].partition("#")
            self.assertTrue(page.endswith("/" + PAGE.replace(".md", ".html")), messages)
            self.assertIn(alert, by_anchor[anchor].alarms)

    def test_each_section_says_everything(self) -> None:
        """The meaning, what watchers see, commands, how to know that they worked, and what not to do; in this order."""
        self.assertGreater(len(self.faults), 15)
        for each in self.faults:
            places = [each.text.find(f"**{part}**") for part in PARTS]
            self.assertNotIn(-1, places, each.heading)
            self.assertEqual(places, sorted(places), each.heading)
            self.assertTrue(each.commands(), each.heading)

    def test_each_section_is_found(self) -> None:
        """The table of symptoms at the top, or the alarm, leads to it."""
        linked = {*_LINK.findall(self.sections["Look first"].text)}
        anchors = {each.anchor for each in self.faults}
        self.assertLessEqual(linked, anchors)
        for each in self.faults:
            self.assertTrue(each.anchor in linked or each.alarms or each.log_lines, each.heading)

    def test_the_check_before_the_night_has_twelve_lines(self) -> None:
        """So that it is really done."""
        numbered = re.findall(r"^\d+\. ", self.sections["Before the night"].text, re.MULTILINE)
        self.assertEqual(len(numbered), 12)

    def test_pattern(self) -> None:
        """An ellipsis stands for any text, and everything else for itself."""
        self.assertRegex("a (x) is b", f"^{pattern_of('a (…) is b')}$")
        self.assertNotRegex("a x is b", pattern_of("a (…) is b"))
