"""What is done with a block, by its language. Each function gives what is wrong, or an empty text."""

from __future__ import annotations

import ast
import configparser
import json
import shlex
import tomllib
from typing import TYPE_CHECKING, Final, TypeVar

import yaml

from tests.docs import servers
from tests.docs.blocks import Preparation
from tests.docs.machine import ROOT
from tests.docs.marks import File, Hidden, Needs, NotRun, OtherTest, Run, Script
from tests.docs.page import PageError, require
from tests.docs.running import run_script, run_session
from tests.docs.sessions import SessionError, commands_of
from tests.docs.shell import ShellError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.docs.blocks import Block, Part
    from tests.docs.page import Page

T = TypeVar("T")


def fault_of(block: Block, page: str) -> str:
    """Gives the reason why a block can neither be run nor is marked, or an empty text.

    :param page: the path of the page in the repository.
    """
    if block.fault:
        return block.fault
    kinds = [type(mark) for mark in block.marks]
    if len({*kinds}) < len(kinds):
        return "two marks of one kind"
    if mark_in(block, NotRun):
        return ""
    if tested := mark_in(block, OtherTest):
        return _fault_of_test(tested.path, page)
    if block.language in LANGUAGES or mark_in(block, File) is not None:
        return ""
    named = f"a block of {block.language}" if block.language else "a block without a language"
    return f"{named} is not run. Mark it <!-- not run: REASON -->, or name one of {', '.join(sorted(LANGUAGES))}"


def _fault_of_test(path: str, page: str) -> str:
    """Gives what is wrong with the test that is said to run a block."""
    file = ROOT / path
    if not file.is_file():
        return f"there is no {path}"
    folder, _, name = page.rpartition("/")
    if name == "README.md" and folder:
        # A folder is known by its own name.
        name = folder.rpartition("/")[2]
    return "" if name in file.read_text("utf-8") else f"{path} does not name {name}"


def run_part(page: Page, part: Part) -> str:
    """Runs a block, or what prepares the page for the next ones, and gives what is wrong, or an empty text.

    :raises MissingError: if a program that it needs is not installed.
    """
    try:
        return _prepare(page, part.mark) if isinstance(part, Preparation) else _run_block(page, part)
    except (ShellError, PageError, SessionError) as error:
        return str(error)


def _prepare(page: Page, mark: Hidden | Needs) -> str:
    if isinstance(mark, Hidden):
        return run_session(page.shell, mark.session, mark.run)
    for name in mark.names:
        page.provide(name)
    return ""


def _run_block(page: Page, block: Block) -> str:
    run = mark_in(block, Run) or Run()
    file = mark_in(block, File)
    if file is not None:
        page.write(file.path, block.text)
    if run.parse or (file is not None and block.language not in _WHOLE_FILES):
        parse = PARSERS.get(block.language)
        return parse(page, block) if parse else ""
    return LANGUAGES[block.language](page, block, run)


def mark_in(block: Block, kind: type[T]) -> T | None:
    """Gives the mark of a kind in front of a block."""
    return next((mark for mark in block.marks if isinstance(mark, kind)), None)


def _console(page: Page, block: Block, run: Run) -> str:
    return run_session(page.shell, block.text, run)


def _script(page: Page, block: Block, run: Run) -> str:
    return run_script(page.shell, block.text, run)


def _python(page: Page, block: Block, run: Run) -> str:
    """Runs Python: in the page's namespace, or as a program of its own if it does not end by itself."""
    file = page.file(".py", block.text)
    if run.until or run.exit:
        return run_script(page.shell, f"python {file}", run)
    page.start_interpreter()
    return run_script(page.shell, f"interpret {file}", Run())


def _web(page: Page, block: Block, run: Run) -> str:
    """Opens HTML or JavaScript in a browser."""
    require("chromium", "Debian: chromium")
    require("chromedriver", "Debian: chromium-driver")
    text = f'<script type="module">\n{block.text}</script>\n' if block.language == "js" else block.text
    words = ["visit", str(page.file(".html", text)), "--shows", run.shows, "--on", run.on]
    if script := mark_in(block, Script):
        words += ["--script", script.text]
    return run_script(page.shell, shlex.join(words), Run())


def _configuration(page: Page, block: Block, run: Run) -> str:
    """Has livefeed check a configuration of its own."""
    problem = PARSERS["toml"](page, block)
    if problem or {"project", "tool", "build-system"} & {*tomllib.loads(block.text)}:
        return problem
    file = mark_in(block, File)
    path = "block.toml" if file is None else file.path
    if file is None:
        page.write(path, block.text)
    return run_script(page.shell, f"livefeed check {shlex.quote(path)}", run)


def _server(page: Page, block: Block, run: Run) -> str:
    servers.start(page, block.language, block.text)
    return ""


def _check_server(page: Page, block: Block) -> str:
    servers.check(page, block.language, block.text)
    return ""


def _readable(read: Callable[[str], object], error: type[Exception], what: str) -> Callable[[Page, Block], str]:
    """Gives the check of blocks that something must be able to read."""

    def check(page: Page, block: Block) -> str:
        try:
            read(block.text)
        except error as why:
            return f"this is no {what}: {why}"
        return ""

    return check


def _parse_json(page: Page, block: Block) -> str:
    """Reads one value, or one on each line."""
    try:
        json.loads(block.text)
    except json.JSONDecodeError as error:
        try:
            for line in block.text.splitlines():
                json.loads(line)
        except json.JSONDecodeError:
            return f"this is no JSON: {error}"
    return ""


def _read_ini(text: str) -> None:
    configparser.ConfigParser(strict=False, interpolation=None).read_string(text)


def _parse_shell(page: Page, block: Block) -> str:
    text = block.text
    if block.language == "console":
        text = "\n".join(command.text for command in commands_of(text))
    return run_script(page.shell, f"bash -n {page.file('.sh', text)}", Run())


def _parse_js(page: Page, block: Block) -> str:
    return run_script(page.shell, f"node --check {page.file('.mjs', block.text)}", Run())


PARSERS: Final[dict[str, Callable[[Page, Block], str]]] = {
    "console": _parse_shell,
    "sh": _parse_shell,
    "python": _readable(ast.parse, SyntaxError, "Python"),
    "js": _parse_js,
    "json": _parse_json,
    "toml": _readable(tomllib.loads, tomllib.TOMLDecodeError, "TOML"),
    "yaml": _readable(lambda text: [*yaml.safe_load_all(text)], yaml.YAMLError, "YAML"),
    "ini": _readable(_read_ini, configparser.Error, "file of settings"),
    **dict.fromkeys(servers.SERVERS, _check_server),
}
"""What is done with a block that is only parsed, or written into a file."""


def _parsed(language: str) -> Callable[[Page, Block, Run], str]:
    return lambda page, block, run: PARSERS[language](page, block)


LANGUAGES: Final[dict[str, Callable[[Page, Block, Run], str]]] = {
    "console": _console,
    "sh": _script,
    "python": _python,
    "js": _web,
    "html": _web,
    "toml": _configuration,
    **{language: _parsed(language) for language in ("json", "yaml", "ini")},
    **dict.fromkeys(servers.SERVERS, _server),
}
"""What is done with a block that is run."""

_WHOLE_FILES = frozenset({"toml", *servers.SERVERS})
"""Languages of which a file with a name is checked as well as a block without one."""
