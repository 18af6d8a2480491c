"""The tables of rules in a file of settings."""

from __future__ import annotations

import tempfile
from decimal import Decimal
from pathlib import Path
from textwrap import dedent

from twisted.trial.unittest import SynchronousTestCase

from livefeed.config.layers import SettingValue, from_file
from livefeed.config.rule_settings import MAX_RELEASE_PULLS, MAX_RELEASE_S, MAX_VALUES, rules_of, without_rule
from livefeed.document.comparisons import MaxStep, NeverFalls, NeverShrinks
from livefeed.document.exact_numbers import Step
from livefeed.document.json_schema import MAX_SCHEMA_BYTES, Schema
from livefeed.document.requirements import MustBe, Required
from livefeed.document.rules import MAX_RULES, RuleSpec
from livefeed.document.selectors import parse_selector
from livefeed.exceptions import ConfigurationError
from tests.helpers.missing import missing


class RuleSettingsTests(SynchronousTestCase):
    """rules_of."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = Path(directory.name)

    def table(self, text: str) -> SettingValue:
        """Gives the table of rules of a file."""
        (self.folder / "livefeed.toml").write_text(dedent(text))
        return from_file("livefeed.toml", self.folder)["feeds"].below("night").below("rules")

    def one(self, text: str) -> RuleSpec:
        """Gives the one rule, ``r``, that has these settings."""
        (spec,) = rules_of(self.table(f"[feeds.night.rules.r]\n{dedent(text)}"))
        return spec

    def refusal(self, text: str) -> str:
        """Gives the message about the one rule that has these settings; they begin on line 2."""
        table = self.table(f"[feeds.night.rules.r]\n{dedent(text)}")
        return str(self.assertRaises(ConfigurationError, rules_of, table))

    def test_all_checks(self) -> None:
        """Each check is read, with the defaults of a rule."""
        (self.folder / "s.json").write_text('{"type": "object"}')
        specs = rules_of(
            self.table(
                """
                [feeds.night.rules.votes]
                never_falls = ["/districts/{name=*}/votes", "/counted"]
                release_pulls = 5
                release_after = 30
                [feeds.night.rules.steps]
                max_step = {pointers = ["/counted"], by = 500, percent = 2.5}
                action = "alarm"
                [feeds.night.rules]
                list.never_shrinks = "/districts"
                complete = {required = ["/districts"], action = "hold"}
                mode.must_be = {pointer = "/mode", value = "live"}
                phase.must_be = {pointer = "/phase", one_of = [1, 2.50, true, "é", [1], {a = 1}]}
                shape.schema = "s.json"
                """
            )
        )
        (districts, counted) = (parse_selector("/districts/{name=*}/votes"), parse_selector("/counted"))
        listed = (parse_selector("/districts"),)
        self.assertEqual(
            specs,
            (
                RuleSpec("votes", NeverFalls((districts, counted)), "hold", 5, 30.0),
                RuleSpec("steps", MaxStep((counted,), Step(Decimal(500), Decimal("2.5"))), "alarm"),
                RuleSpec("list", NeverShrinks(listed)),
                RuleSpec("complete", Required(listed)),
                RuleSpec("mode", MustBe((parse_selector("/mode"),), (b'"live"',))),
                RuleSpec(
                    "phase",
                    MustBe((parse_selector("/phase"),), (b"1", b"2.5", b"true", '"é"'.encode(), b"[1]", b'{"a": 1}')),
                ),
                RuleSpec("shape", Schema.compile(str(self.folder / "s.json"), b'{"type": "object"}')),
            ),
        )

    def test_places(self) -> None:
        """A rule keeps its place, which makes no difference between rules."""
        spec = self.one('required = "/x"')
        self.assertEqual(spec.place, "livefeed.toml:1: feeds.night.rules.r")
        self.assertEqual(spec, RuleSpec("r", Required((parse_selector("/x"),))))

    def test_tables(self) -> None:
        """Rules and each of them are tables."""
        table = self.table("[feeds.night]\nrules = 5")
        self.assertIn("[feeds.results.rules.votes]", str(self.assertRaises(ConfigurationError, rules_of, table)))
        table = self.table("[feeds.night.rules]\nvotes = '/votes'")
        message = str(self.assertRaises(ConfigurationError, rules_of, table))
        self.assertIn("livefeed.toml:2: feeds.night.rules.votes: is not a table", message)

    def test_names(self) -> None:
        """A wrong name is told with its line."""
        table = self.table('[feeds.night.rules.a]\nrequired = "/x"\n[feeds.night.rules."No name"]\nrequired = "/x"')
        message = str(self.assertRaises(ConfigurationError, rules_of, table))
        self.assertIn('livefeed.toml:3: feeds.night.rules."No name": is not a name', message)
        text = "".join(f'[feeds.night.rules.r{number}]\nrequired = "/x"\n' for number in range(MAX_RULES + 1))
        self.assertIn("at most", str(self.assertRaises(ConfigurationError, rules_of, self.table(text))))

    def test_unknown_keys(self) -> None:
        """The message names the closest key, at any depth."""
        message = self.refusal('never_fall = "/x"')
        self.assertIn("livefeed.toml:2: feeds.night.rules.r.never_fall: there is no such setting of a rule", message)
        self.assertIn("did you mean never_falls?", message)
        message = self.refusal('max_step = {pointers = ["/x"], percen = 5}')
        self.assertIn("livefeed.toml:2: feeds.night.rules.r.max_step.percen: there is no such", message)
        self.assertIn("did you mean percent?", message)

    def test_one_check(self) -> None:
        """A rule has one check, since it is released as a whole."""
        self.assertIn("this one has none", self.refusal('action = "hold"'))
        message = self.refusal('required = "/x"\nnever_falls = "/x"')
        self.assertIn("livefeed.toml:3: feeds.night.rules.r.never_falls: a rule has exactly one check", message)
        self.assertIn("this one has required and never_falls", message)

    def test_pointers(self) -> None:
        """One pointer or a list of them; an error names the pointer and the character."""
        self.assertEqual(self.one('required = "/x"'), self.one('required = ["/x"]'))
        for wrong in ("5", "[]", "[5]", "{}", "true"):
            self.assertIn("is not a list of pointers", self.refusal(f"required = {wrong}"))
        message = self.refusal('required = ["/a", "/ab/{name}"]')
        self.assertIn("feeds.night.rules.r.required: '/ab/{name}' is no pointer: at character 5, the {", message)
        self.assertIn("33 pointers, and 32 at most", self.refusal("required = [" + '"/x",' * 33 + "]"))

    def test_actions(self) -> None:
        """hold or alarm; an alarm holds nothing that could be released."""
        self.assertIn("'warn' is not hold or alarm", self.refusal('required = "/x"\naction = "warn"'))
        for key in ("release_pulls", "release_after"):
            message = self.refusal(f'required = "/x"\naction = "alarm"\n{key} = 5')
            self.assertIn(f"livefeed.toml:4: feeds.night.rules.r.{key}: has no effect", message)
        self.assertEqual(self.one('required = "/x"\naction = "alarm"\nrelease_after = 0').action, "alarm")

    def test_releases(self) -> None:
        """Numbers of pulls and of seconds are bounded; 0 is never."""
        spec = self.one(f'required = "/x"\nrelease_pulls = {MAX_RELEASE_PULLS}\nrelease_after = {MAX_RELEASE_S}')
        self.assertEqual((spec.release_pulls, spec.release_after_s), (MAX_RELEASE_PULLS, float(MAX_RELEASE_S)))
        self.assertEqual(self.one('required = "/x"\nrelease_after = 0.5').release_after_s, 0.5)
        for wrong in ("-1", "2.0", "true", '"2"', f"{MAX_RELEASE_PULLS + 1}"):
            self.assertIn("is not a whole number", self.refusal(f'required = "/x"\nrelease_pulls = {wrong}'))
        self.assertIn("first pull is never shown", self.refusal('required = "/x"\nrelease_pulls = 1'))
        for wrong in ("-1", "nan", "true", '"2"', f"{MAX_RELEASE_S + 1}"):
            self.assertIn("is not a number of seconds", self.refusal(f'required = "/x"\nrelease_after = {wrong}'))

    def test_steps(self) -> None:
        """A distance above 0, and exact."""
        check = self.one('max_step = {pointers = "/x", by = 0.1}').check
        self.assertEqual(check, MaxStep((parse_selector("/x"),), Step(Decimal("0.1"))))
        check = self.one('max_step = {pointers = "/x", by = 1, direction = "down"}').check
        self.assertEqual(check, MaxStep((parse_selector("/x"),), Step(Decimal(1), None, "down")))
        for wrong in ('"left"', "5", "[]"):
            message = self.refusal(f'max_step = {{pointers = "/x", by = 1, direction = {wrong}}}')
            self.assertIn("is not up, down or both", message)
        for wrong in ("0", "-1", "nan", "inf", "true", '"5"', "1" + "0" * 300):
            self.assertIn("is not a number above 0", self.refusal(f'max_step = {{pointers = "/x", percent = {wrong}}}'))
        for wrong in ('{pointers = "/x"}', "{by = 5}", "{}"):
            self.assertIn("needs pointers and by or percent", self.refusal(f"max_step = {wrong}"))
        self.assertIn("is not a table", self.refusal('max_step = "/x"'))

    def test_values(self) -> None:
        """Values that JSON has, one or a list."""
        for wrong in ('{pointer = "/x"}', "{value = 5}"):
            self.assertIn("needs pointer and value or one_of", self.refusal(f"must_be = {wrong}"))
        self.assertIn("has both", self.refusal('must_be = {pointer = "/x", value = 1, one_of = [1]}'))
        self.assertIn("is not a pointer", self.refusal('must_be = {pointer = ["/x"], value = 1}'))
        for wrong in ("2026-11-30", "nan", "[1, 12:00:00]", "inf"):
            self.assertIn("that JSON has", self.refusal(f'must_be = {{pointer = "/x", value = {wrong}}}'))
            self.assertIn("that JSON has", self.refusal(f'must_be = {{pointer = "/x", one_of = [{wrong}]}}'))
        for wrong in ("5", "[]", f"[{'1,' * (MAX_VALUES + 1)}]"):
            self.assertIn("is not a list of one", self.refusal(f'must_be = {{pointer = "/x", one_of = {wrong}}}'))

    def test_schemas(self) -> None:
        """A file is read and compiled; the message names it and the place of the setting."""
        message = self.refusal('schema = "none.json"')
        self.assertIn(
            f"livefeed.toml:2: feeds.night.rules.r.schema: {self.folder}/none.json: cannot be read: No", message
        )
        (self.folder / "s.json").write_text('{"$ref": "http://127.0.0.1:9/"}')
        self.assertIn(f"{self.folder}/s.json: at /$ref, it refers to", self.refusal('schema = "s.json"'))
        (self.folder / "s.json").write_bytes(b" " * (MAX_SCHEMA_BYTES + 1))
        self.assertIn("larger than", self.refusal('schema = "s.json"'))
        self.assertIn("null", self.refusal(r'schema = "a\u0000b"'))
        for wrong in ("5", '""', '["s.json"]'):
            self.assertIn("is not the path of a file", self.refusal(f"schema = {wrong}"))

    def test_missing_package(self) -> None:
        """The message names the place of the setting, and the command that installs the package."""
        (self.folder / "s.json").write_text("{}")
        with missing("jsonschema_rs"):
            message = self.refusal('schema = "s.json"')
        place = r"livefeed\.toml:2: feeds\.night\.rules\.r\.schema: "
        self.assertRegex(message, rf"{place}a JSON Schema needs .*livefeed\[schema\]")

    def test_without_the_wrong_rule(self) -> None:
        """livefeed check leaves out the rule with an error, and goes on."""
        table = self.table(
            """
            [feeds.night.rules]
            a.required = "/x"
            ab = {max_step = {pointers = "/x", by = 0}}
            """
        )
        error = self.assertRaises(ConfigurationError, rules_of, table)
        self.assertEqual(without_rule(table, error.place), {"a": {"required": "/x"}})
        self.assertEqual(without_rule(table, table.below("ab").place), {"a": {"required": "/x"}})
        self.assertIsNone(without_rule(table, "livefeed.toml:2: feeds.night.rules"))
        self.assertIsNone(without_rule(table, "livefeed.toml:2: feeds.night.source"))
        self.assertIsNone(without_rule(self.table("[feeds.night]\nrules = 5"), "x"))
