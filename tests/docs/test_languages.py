"""What is done with a block, with a page that only keeps what it is asked."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, cast

from twisted.trial.unittest import SynchronousTestCase

from tests.docs import languages, servers
from tests.docs.blocks import Block, Preparation
from tests.docs.languages import LANGUAGES, PARSERS, fault_of, mark_in, run_part
from tests.docs.marks import File, Hidden, Needs, NotRun, OtherTest, Run, Script
from tests.docs.page import PageError
from tests.docs.shell import Outcome, ShellError

if TYPE_CHECKING:
    from tests.docs.marks import Mark
    from tests.docs.page import Page


class MemoryShell:
    """Keeps the commands, and answers each with one outcome, or raises an error."""

    def __init__(self) -> None:
        self.outcome: Outcome | Exception = Outcome(0, "")
        self.asked: list[str] = []

    def run(self, text: str, *, script: bool = False) -> Outcome:
        self.asked.append(text)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def start(self, text: str, until: str, *, stop: bool = False, script: bool = False) -> Outcome:
        return self.run(f"{'until' if stop else 'background'} {until}: {text}")


class MemoryPage:
    """Keeps what a page is asked."""

    def __init__(self) -> None:
        self.shell = MemoryShell()
        self.written: dict[str, str] = {}
        self.provided: list[str] = []
        self.server = ""

    def file(self, suffix: str, text: str) -> Path:
        self.written[f"block{suffix}"] = text
        return Path(f"block{suffix}")

    def write(self, path: str, text: str) -> None:
        self.written[path] = text

    def must(self, text: str) -> None:
        self.shell.asked.append(text)

    def provide(self, name: str) -> None:
        if name == "clone":
            raise PageError("there is no git")
        self.provided.append(name)

    def start_interpreter(self) -> None:
        self.provided.append("interpreter")


class RunTests(SynchronousTestCase):
    def setUp(self) -> None:
        for module in (languages, servers):
            self.patch(module, "require", lambda program, package: program)
        self.page = MemoryPage()

    def run_block(self, language: str, text: str, *marks: Mark) -> str:
        return run_part(cast("Page", self.page), Block(language, text, 0, 1, marks))

    def test_commands(self) -> None:
        """Sessions are run command by command, scripts as a whole."""
        self.assertEqual(self.run_block("console", "$ a\n$ b\n"), "")
        self.assertEqual(self.run_block("sh", "a\nb\n", Run(until="x")), "")
        self.assertEqual(self.page.shell.asked, ["a", "b", "until x: a\nb\n"])
        self.assertIn("a session begins with a command", self.run_block("console", "a\n"))

    def test_errors_of_the_shell(self) -> None:
        """They are what is wrong with the block."""
        self.page.shell.outcome = ShellError("the shell has ended")
        self.assertEqual(self.run_block("sh", "exit\n"), "the shell has ended")

    def test_preparations(self) -> None:
        """Hidden commands are run like shown ones; what is needed is provided, or the reason why not is told."""
        page = cast("Page", self.page)
        self.assertEqual(run_part(page, Preparation(Hidden("$ a\n", Run(background=True, until="x")), 0, 1)), "")
        self.assertEqual(self.page.shell.asked, ["background x: a"])
        self.assertEqual(run_part(page, Preparation(Needs(("redis", "pip")), 0, 1)), "")
        self.assertEqual(self.page.provided, ["redis", "pip"])
        self.assertEqual(run_part(page, Preparation(Needs(("clone",)), 0, 1)), "there is no git")

    def test_python(self) -> None:
        """Python is run in the namespace of the page, or as a program if it does not end by itself."""
        self.assertEqual(self.run_block("python", "x = 1\n"), "")
        self.assertEqual(self.run_block("python", "x = 1\n", Run(until="live")), "")
        self.assertEqual(self.page.shell.asked, ["interpret block.py", "until live: python block.py"])
        self.assertEqual(self.page.provided, ["interpreter"])

    def test_web(self) -> None:
        """HTML and JavaScript are opened in the browser, and what it says is what is wrong."""
        self.assertEqual(self.run_block("html", "<p>", Run(shows="a b"), Script("x = 1")), "")
        self.page.shell.outcome = Outcome(1, "no module\n")
        self.assertIn("no module", self.run_block("js", "f();\n", Run(on="http://localhost:8080/feed")))
        self.assertEqual(
            [shlex.split(each) for each in self.page.shell.asked],
            [
                ["visit", "block.html", "--shows", "a b", "--on", "", "--script", "x = 1"],
                ["visit", "block.html", "--shows", "", "--on", "http://localhost:8080/feed"],
            ],
        )
        self.assertEqual(self.page.written["block.html"], '<script type="module">\nf();\n</script>\n')

    def test_settings(self) -> None:
        """Settings of livefeed are checked by livefeed; other TOML is read."""
        self.assertEqual(self.run_block("toml", "interval = 1\n"), "")
        self.assertEqual(self.run_block("toml", "interval = 1\n", File("/etc/livefeed/livefeed.toml")), "")
        checks = ["livefeed check block.toml", "livefeed check /etc/livefeed/livefeed.toml"]
        self.assertEqual(self.page.shell.asked, checks)
        self.assertEqual(self.run_block("toml", '[project]\nname = "a"\n'), "")
        self.assertIn("this is no TOML", self.run_block("toml", "interval\n"))
        self.assertEqual(self.page.shell.asked, checks)
        self.page.shell.outcome = Outcome(1, "line 1: nobody knows x")
        self.assertIn("nobody knows x", self.run_block("toml", "x = 1\n"))

    def test_servers(self) -> None:
        """Servers are started with their configurations, or only read them."""
        self.assertEqual(self.run_block("nginx", "server {}\n", Run(parse=True)), "")
        self.assertEqual(self.page.shell.asked, ["mkdir -p /var/cache/nginx && nginx -q -t"])
        self.assertEqual(self.run_block("nginx", "server {}\n"), "")
        self.assertEqual(self.page.shell.asked[2:], ["nginx"])
        self.assertEqual(self.page.server, "nginx")
        self.assertEqual(self.page.written["/etc/nginx/conf.d/livefeed.conf"], "server {}\n")

    def test_files(self) -> None:
        """A block that is the content of a file is written, and read by its language."""
        self.assertEqual(self.run_block("html", "<p>", File("page.html")), "")
        self.assertEqual(self.run_block("text", "a token\n", File("tokens")), "")
        self.assertIn("this is no JSON", self.run_block("json", "{", File("results.json")))
        self.assertEqual(self.page.written, {"page.html": "<p>", "tokens": "a token\n", "results.json": "{"})
        self.assertEqual(self.page.shell.asked, [])

    def test_parsing(self) -> None:
        """Each language has its errors."""
        for language, good, bad in (
            ("json", '{"a": 1}\n{"b": 2}\n', '{"a": 1}\n{"b"}\n'),
            ("yaml", "a: 1\n---\nb: 2\n", "a: [\n"),
            ("ini", "[Service]\nExecStart=a\nExecStart=%b\n", "ExecStart=a\n"),
        ):
            self.assertEqual(self.run_block(language, good), "")
            self.assertIn("this is no", self.run_block(language, bad))
        self.assertEqual(self.run_block("python", "x\n", Run(parse=True)), "")
        self.assertIn("this is no Python", self.run_block("python", "def\n", Run(parse=True)))
        self.assertEqual(self.page.shell.asked, [])
        for language, command in (
            ("sh", "bash -n block.sh"),
            ("console", "bash -n block.sh"),
            ("js", "node --check block.mjs"),
        ):
            self.assertEqual(self.run_block(language, "$ a\n", Run(parse=True)), "")
            self.assertEqual(self.page.shell.asked.pop(), command)
        self.assertEqual(self.page.written["block.sh"], "a")
        self.assertEqual(self.run_block("html", "<p>", Run(parse=True)), "")


class FaultTests(SynchronousTestCase):
    def fault(self, language: str, *marks: Mark, page: str = "docs/howto/rules.md") -> str:
        return fault_of(Block(language, "", 0, 1, marks), page)

    def test_languages(self) -> None:
        """Each block is run by its language, or is marked."""
        for language in LANGUAGES:
            self.assertEqual(self.fault(language), "")
        self.assertIn("a block of cobol is not run. Mark it", self.fault("cobol"))
        self.assertIn("a block without a language is not run.", self.fault(""))
        self.assertEqual(self.fault("cobol", NotRun("nobody has a compiler")), "")
        self.assertEqual(self.fault("text", File("tokens")), "")
        self.assertEqual(fault_of(Block("sh", "", 0, 1, (), "indented"), ""), "indented")

    def test_marks(self) -> None:
        """Two marks of one kind contradict each other."""
        self.assertEqual(self.fault("sh", Run(), Run(exit=1)), "two marks of one kind")

    def test_other_tests(self) -> None:
        """A test that is said to run a block is there, and names the page."""
        self.assertEqual(self.fault("text", OtherTest("tests/integration/test_rules.py")), "")
        self.assertEqual(self.fault("text", OtherTest("tests/none.py")), "there is no tests/none.py")
        fault = self.fault("text", OtherTest("tests/integration/test_rules.py"), page="docs/explanation/chaos.md")
        self.assertEqual(fault, "tests/integration/test_rules.py does not name chaos.md")

    def test_marks_of_a_block(self) -> None:
        """A mark is found by its kind."""
        block = Block("sh", "", 0, 1, (File("a"), Run(exit=1)))
        self.assertEqual((mark_in(block, Run), mark_in(block, NotRun)), (Run(exit=1), None))

    def test_tables(self) -> None:
        """Whatever is parsed can be run."""
        self.assertLessEqual({*PARSERS}, {*LANGUAGES})
        self.assertLessEqual(languages._WHOLE_FILES, {*LANGUAGES})
