"""The tables of the documentation that are made of the code."""

from __future__ import annotations

import json
import re
from textwrap import dedent

from twisted.trial.unittest import SynchronousTestCase

from livefeed import testing
from livefeed.client import asyncio
from livefeed.config.setting_texts import TEXTS
from livefeed.feed.state import State
from livefeed.web.operator_problems import ALL
from tests.helpers.regions import fill_regions, names_of_regions
from tests.reference import explained, javascript, log_lines, options, settings, wire
from tests.reference.pages import KIND, PARTS, ROOT, fill, pages
from tests.reference.tables import linked_from, table


class PageTests(SynchronousTestCase):
    """The pages."""

    def test_pages_are_as_the_code(self) -> None:
        """`make reference` writes them anew."""
        for path in pages():
            text = path.read_text("utf-8")
            self.assertEqual(fill(text), text, f"{path.relative_to(ROOT)}: run `make reference`")

    def test_explanations_are_as_the_code(self) -> None:
        """The file of `livefeed explain` is made together with the pages, and leads to headings that there are."""
        self.assertEqual(explained.FILE.read_text("utf-8"), explained.explained(), "run `make reference`")
        for entry in json.loads(explained.explained()):
            path, _, anchor = entry["page"].partition("#")
            headings = re.findall(r"^#+ (.*)$", (ROOT / path).read_text("utf-8"), re.MULTILINE)
            anchors = ["", *(re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings)]
            self.assertIn(anchor, anchors, entry)
            self.assertTrue(entry["texts"], entry)

    def test_each_part_is_on_one_page(self) -> None:
        """None is forgotten, and none stands twice."""
        names = [name for path in pages() for name in names_of_regions(path.read_text("utf-8"), KIND)]
        self.assertEqual(sorted(names), sorted(PARTS))


class RegionTests(SynchronousTestCase):
    """Parts of pages."""

    def test_parts(self) -> None:
        """Only those of the kind are made anew, and the text around them stays."""
        text = "a\n<!-- x: one -->\nold\n<!-- x: end -->\nb\n<!-- y: one -->\nold\n<!-- y: end -->\n"
        self.assertEqual(fill_regions(text, "x", lambda name: f"{name}!\n"), text.replace("old", "one!", 1))
        self.assertEqual(names_of_regions(text, "x"), ["one"])
        self.assertRaises(KeyError, fill_regions, text, "y", {}.__getitem__)

    def test_links(self) -> None:
        """They lead from the page, and an anchor of the same page stands alone."""
        page = "docs/reference/metrics.md"
        for text, expected in (
            ("[x](howto/b.md#c)", "[x](../howto/b.md#c)"),
            ("[x](reference/b.md)", "[x](b.md)"),
            ("[x](reference/metrics.md#c)", "[x](#c)"),
            ("[x](https://a.example/b)", "[x](https://a.example/b)"),
        ):
            self.assertEqual(linked_from(page, text), expected)

    def test_cells(self) -> None:
        """A bar and a line end are no end of a cell."""
        self.assertEqual(table(("a", ""), [["x|y\nz", ""]]), "| a | |\n|---|---|\n| x\\|y z | |")


class SettingTests(SynchronousTestCase):
    """The table of settings."""

    def test_each_setting_is_there(self) -> None:
        """With its option, its variable and its default."""
        lines = settings.setting_table().splitlines()[2:]
        self.assertEqual(len(lines), len(TEXTS))
        for name, value in settings.defaults().items():
            (line,) = [each for each in lines if f"| `{name}`<br>" in each]
            self.assertIn(f"`LIVEFEED_{name.upper()}`", line)
            if isinstance(value, int | float | str):
                self.assertIn(f"| `{json.dumps(value)}` |", line)

    def test_most_important(self) -> None:
        """README has twelve."""
        self.assertEqual(len(settings.readme_table().splitlines()), 2 + 12)


class OptionTests(SynchronousTestCase):
    """The commands."""

    def test_each_command_is_there(self) -> None:
        """Also those below others."""
        text = options.command_list()
        for name in (
            "livefeed serve",
            "livefeed watch",
            "livefeed ctl status",
            "livefeed ctl overlay",
            "livefeed keys",
        ):
            self.assertRegex(text, rf"(?m)^## {name}( |$)")
        for each in options.commands():
            self.assertIn(f"## {each.prog}\n", f"{text}\n")

    def test_each_option_is_there(self) -> None:
        """With its help, and without the defaults of argparse in it."""
        text = options.command_list()
        for parser in options.commands():
            for word in re.findall(r"--[a-z][a-z-]+", parser.format_usage()):
                self.assertIn(word, text)
        self.assertNotIn("%(", text)


class WireTests(SynchronousTestCase):
    """Close codes and states."""

    def test_each_state_has_its_texts(self) -> None:
        """A meaning, and what clients show."""
        texts = wire.state_texts()
        self.assertEqual({*texts}, {each.name for each in State})
        for text in texts.values():
            self.assertRegex(text, r"\A[A-Z][^\n]*\.\n\nClients show [^\n]*\.\Z")


class ProblemTests(SynchronousTestCase):
    """The problems."""

    def test_each_has_a_section(self) -> None:
        """Under its name, to which the table of statuses leads."""
        text, statuses = PARTS["problems"](), PARTS["statuses"]()
        for kind in ALL:
            self.assertIn(f"### {kind.name}\n", text)
            self.assertIn(f"(problems.md#{kind.name})", statuses)


class JavascriptTests(SynchronousTestCase):
    """The declarations."""

    def test_exports(self) -> None:
        """Functions, types and interfaces with their members and comments."""
        text = dedent("""\
            /** A state. */
            export type State = "live" | (string & {});

            export interface Feed<T = unknown> {
              /**
               * The data,
               * or nothing.
               */
              readonly data?: T;
              close(): void;
            }

            /** Follows. @param url Where. */
            export function follow(
              url: string,
              options?: number,
            ): Feed;
            """)
        state, feed, follow = javascript.exports_of(text)
        self.assertEqual((state.kind, state.name, state.text), ("type", "State", "A state."))
        self.assertEqual([each.name for each in feed.members], ["data", "close"])
        data, close = feed.members
        self.assertEqual((data.form, data.text, data.is_optional), ("T", "The data, or nothing.", True))
        self.assertEqual((close.form, close.text, close.is_optional), ("(): void", "", False))
        self.assertEqual(
            (follow.form, follow.text), ("(url: string, options?: number): Feed;", "Follows. @param url Where.")
        )

    def test_each_export_is_there(self) -> None:
        """All files, and all words behind ``export``."""
        text = javascript.api_list()
        files = sorted(path.name for path in javascript.FOLDER.glob("*.d.ts"))
        self.assertEqual(files, sorted(javascript.DECLARATIONS))
        for file in files:
            source = (javascript.FOLDER / file).read_text("utf-8")
            names = re.findall(r"^export \w+ (\w+)", source, re.MULTILINE)
            self.assertEqual(names, [each.name for each in javascript.exports_of(source)], file)
            for name in names:
                self.assertIn(f"`{name}", text)


class PythonTests(SynchronousTestCase):
    """The page of the public modules."""

    def test_each_public_name_is_there(self) -> None:
        """Those that the client and the sources export, and those of the module for tests."""
        text = (ROOT / "docs" / "reference" / "python-api.md").read_text("utf-8")
        named = set(re.findall(r"^\.\. auto\w+:: (\w+)$", text, re.MULTILINE))
        of_tests = {
            name for name, value in vars(testing).items() if getattr(value, "__module__", "") == testing.__name__
        }
        public = {*asyncio.__all__, "Follower", "Source", "MakeSource", "make_source", *of_tests}
        self.assertEqual({name for name in public if not name.startswith("_")} - named, set())


class LogLineTests(SynchronousTestCase):
    """The log lines."""

    def test_each_line_has_a_meaning(self) -> None:
        """Every meaning is that of a line; every line has one, except a defect, whose meaning is always the same."""
        lines = log_lines.log_lines()
        known = log_lines.meanings()
        needed = {line.text for line in lines if line.method != "failure"}
        self.assertEqual(needed - known.keys(), set(), "docs/reference/log-lines.toml lacks these lines")
        self.assertEqual(known.keys() - {line.text for line in lines}, set(), "no code writes these lines")

    def test_lines_that_ask_for_something_say_what(self) -> None:
        """Most warnings and each error say what to do."""
        known = log_lines.meanings()
        for line in log_lines.log_lines():
            if line.level == "error":
                self.assertTrue(known[line.text].get("do"), line.text)

    def test_formats_are_found(self) -> None:
        """Where they are written, where one is chosen, and in tables of the module."""
        source = dedent("""\
            _TEXTS = {"a": ("table a", "table b"), "b": ("table c", "table d")}
            _TEXT = "constant {x}"

            def one(x):
                _log.info("plain {x}", x=x)
                text = "skipped" if x else "chosen"
                text = "last one" if x else "last two"
                _log.warn(text)

            def two(x):
                text = "before"
                if x:
                    text = "instead"
                self._log.error(text)
                _log.failure(_TEXT, x=x)

            def three(kind):
                fails, works = _TEXTS[kind]
                _log.warn(fails)
                _log.info(_TEXTS["a"][1])

            def four(x):
                if x:
                    text = "if"
                    _log.info(text)
                else:
                    text = "else"
                    _log.warn(text)
                other.info("no logger")
            """)
        self.assertEqual(
            [*log_lines.formats_in(source)],
            [
                ("info", "plain {x}"),
                ("warn", "last one"),
                ("warn", "last two"),
                ("error", "instead"),
                ("error", "before"),
                ("failure", "constant {x}"),
                ("warn", "table a"),
                ("warn", "table c"),
                ("info", "table b"),
                ("info", "if"),
                ("warn", "else"),
            ],
        )

    def test_computed_format(self) -> None:
        """It would be missing from the list."""
        for argument in ("f'{x}'", "text()", "unknown", "_TABLE[x]"):
            with self.assertRaises(log_lines.UnknownFormatError):
                [*log_lines.formats_in(f"_log.info({argument})")]
