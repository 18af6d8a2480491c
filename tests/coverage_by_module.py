"""``make coverage``: how much of each module do the tests that mirror it reach, and no others?

It runs the test file of each module alone, and measures which lines and branches of the module that reaches. The table
``tests/coverage.toml`` has the percentage that each module must reach, rounded down, and the modules that have no test
file. The command exits with 1 if a module falls below its entry or has none, and with 2 if a test fails.

``--write`` raises the entries, adds those of new modules, and removes those of modules that are gone. It lowers none:
where that is right, a person lowers the entry, and says in the commit why.
"""

from __future__ import annotations

import argparse
import ast
import json
import math
import os
import subprocess
import sys
import tempfile
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parent.parent
TABLE = ROOT / "tests" / "coverage.toml"
AT_A_TIME = 2
LIMIT_S = 600
"""The time in seconds that the tests of one module may take, on a machine that has other work."""

_HEAD = """\
# The lowest branch coverage of each module by its own test file alone, in percent. See tests/coverage_by_module.py.
"""


class FailedError(Exception):
    """The tests of a module fail; the message is their output."""


def has_logic(source: str) -> bool:
    """Tells whether a module has a function that does something. Constants, imports and interfaces need no tests."""
    return any(
        not isinstance(statement, ast.Pass | ast.Raise)
        and not (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for statement in node.body
    )


def modules_under(root: Path) -> list[str]:
    """Gives the modules that have logic, such as ``feed/parts``, in order."""
    package = root / "livefeed"
    return sorted(
        path.relative_to(package).with_suffix("").as_posix()
        for path in package.rglob("*.py")
        if has_logic(path.read_text("utf-8"))
    )


def mirror_of(module: str) -> Path:
    """Gives the path of the test file of a module. That of a package is named after its folder."""
    path = Path(module)
    if path.name == "__init__":
        return Path("tests", path.parent, f"test_{path.parent.name}.py")
    return Path("tests", path.with_name(f"test_{path.name}.py"))


def measure(module: str) -> float:
    """Gives the percentage of a module's lines and branches that its own test file reaches.

    :raises FailedError: if the tests fail, or take too long.
    """
    with tempfile.TemporaryDirectory() as directory:
        environment = os.environ | {"COVERAGE_FILE": str(Path(directory) / "data")}
        result = Path(directory) / "result.json"
        coverage = (sys.executable, "-m", "coverage")
        include = f"--include=livefeed/{module}.py"
        # The same examples each time, or the figures would differ.
        pytest = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--hypothesis-profile=ci", str(mirror_of(module)))
        for command in (
            (*coverage, "run", "--branch", include, *pytest),
            (*coverage, "json", "--quiet", include, "-o", str(result)),
        ):
            try:
                done = subprocess.run(
                    command,
                    check=False,
                    cwd=ROOT,
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    timeout=LIMIT_S,
                )
            except subprocess.TimeoutExpired as error:
                raise FailedError(f"{mirror_of(module)} takes longer than {LIMIT_S} s") from error
            if done.returncode:
                raise FailedError(f"{mirror_of(module)} fails:\n{done.stdout.decode(errors='replace')}")
        return float(json.loads(result.read_text())["totals"]["percent_covered"])


@dataclass(slots=True)
class Table:
    """The committed figures.

    :ivar percent: the percentage that each module must reach, by its name.
    :ivar without_tests: the modules that have no test file of their own.
    """

    percent: dict[str, int] = field(default_factory=dict)
    without_tests: set[str] = field(default_factory=set)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads the table from TOML."""
        read = tomllib.loads(text)
        return cls(read["percent"], set(read["without_tests"]))

    def __str__(self) -> str:
        without = "".join(f'    "{module}",\n' for module in sorted(self.without_tests))
        percent = "".join(f'"{module}" = {self.percent[module]}\n' for module in sorted(self.percent))
        return f"{_HEAD}\nwithout_tests = [\n{without}]\n\n[percent]\n{percent}"

    def complaints(self, measured: dict[str, float], untested: Iterable[str]) -> list[str]:
        """Gives the complaints about a measurement, one line for each module.

        :param untested: the modules that have no test file.
        """
        wrong = [
            f"{module} has no entry" if module not in self.percent else f"{module} must reach {self.percent[module]} %"
            for module, percent in measured.items()
            if percent < self.percent.get(module, math.inf)
        ]
        return wrong + [
            f"{module} has no {mirror_of(module)}" for module in untested if module not in self.without_tests
        ]

    def raised(self, measured: dict[str, float], untested: Iterable[str], modules: Iterable[str]) -> Table:
        """Gives the table with higher entries where more was measured, for the modules that there are."""
        percent = {module: max(math.floor(each), self.percent.get(module, 0)) for module, each in measured.items()}
        kept = {module: each for module, each in self.percent.items() if module in set(modules) - set(untested)}
        return Table(kept | percent, set(untested))


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--module", action="append", metavar="PREFIX", help="only modules that begin so; repeatable")
    parser.add_argument("--write", action="store_true", help="raise the entries of the table")
    options = parser.parse_args()
    modules = modules_under(ROOT)
    chosen = [module for module in modules if not options.module or module.startswith(tuple(options.module))]
    untested = [module for module in modules if not (ROOT / mirror_of(module)).exists()]
    table = Table.parse(TABLE.read_text("utf-8")) if TABLE.exists() else Table()
    measured: dict[str, float] = {}
    failed = is_below = False

    def measured_of(module: str) -> float | FailedError:
        try:
            return measure(module)
        except FailedError as error:
            return error

    with ThreadPoolExecutor(AT_A_TIME) as executor:
        tested = [module for module in chosen if module not in untested]
        for module, outcome in zip(tested, executor.map(measured_of, tested), strict=True):
            if isinstance(outcome, FailedError):
                failed = True
                print(outcome, flush=True)
                continue
            measured[module] = outcome
            print(f"{outcome:6.1f} %  {module}", flush=True)
    for module in untested:
        print(f"no tests  {module}")
    if options.write:
        TABLE.write_text(str(table.raised(measured, untested, modules)), "utf-8")
    else:
        for complaint in table.complaints(measured, [module for module in chosen if module in untested]):
            is_below = True
            print(complaint)
    return 2 if failed else int(is_below)


if __name__ == "__main__":
    sys.exit(main())
