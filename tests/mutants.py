"""``make mutants``: shows which changes of the core the unit tests do not notice.

It changes a module in one place, as a slip of the keyboard would, and runs the tests that mirror the module. A mutant
is killed if they fail, or take too long; one that survives stands for a mistake that no test would notice. Each runs in
a copy of the sources, two at a time. The same seed samples the same mutants of the same sources.

It exits with 1 if fewer are killed than ``--require`` says, and with 2 if the tests fail without any change.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePath
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

ROOT = Path(__file__).parent.parent

FOLDERS = ("document", "feed", "intake", "storage", "transport", "web", "delivery", "delivery/websocket")
"""The folders whose modules decide which bytes a watcher is sent, and when."""

ALSO = ("clocks", "process/memory")

LEFT_OUT = frozenset(
    {
        *("document/exact_json", "document/timestamps"),
        *("transport/endpoint", "transport/sockets", "transport/tls_connection"),
        *("web/channel", "web/channel_state", "web/closing", "web/handing_over", "web/head_checks", "web/pipelining"),
        *("web/time_limits", "web/cors", "web/resources", "web/site"),
        *("delivery/pages", "delivery/published_feed"),
    }
)
"""Modules of these folders that mostly adapt Twisted or OpenSSL. Integration tests notice their mistakes."""


def mirror_of(module: str) -> PurePath:
    """Gives where the tests are that mirror a module."""
    path = PurePath("tests", module)
    return path.with_name(f"test_{path.name}.py")


def modules_of(root: Path) -> tuple[str, ...]:
    """Gives the modules of the core below a folder of sources: those that have a test file of their own."""
    found = [
        f"{folder}/{path.stem}" for folder in FOLDERS for path in sorted((root / "livefeed" / folder).glob("[!_]*.py"))
    ]
    return tuple(each for each in (*found, *ALSO) if each not in LEFT_OUT and (root / mirror_of(each)).exists())


CORE = modules_of(ROOT)
"""The modules of the core, such as ``feed/feed``."""

SEED = 12
COUNT = 60
AT_A_TIME = 2

TIMES, EXTRA_S = 4, 20
"""A mutant may take this multiple of the time that its tests take without it, plus these seconds for other work of the
machine."""

MEMORY_BYTES = 4 << 30
"""The memory limit of each process, in bytes: a loop that does not end may fill a list."""

SHORT = 5
"""A replaced text of up to this number of characters is shown with its line."""

# Tests that try examples at random try the same ones each time, and need not find the smallest that fails.
_CONFTEST = """
from pathlib import Path
from hypothesis import Phase, settings
import livefeed
assert Path(livefeed.__file__).is_relative_to(Path(__file__).parent), "these are other sources than the mutant's"
settings.register_profile("mutants", derandomize=True, database=None, phases=(Phase.explicit, Phase.generate))
settings.load_profile("mutants")
"""

_SWAPPED: dict[type[ast.cmpop], ast.cmpop] = {
    first: second()
    for pair in ((ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Eq, ast.NotEq), (ast.Is, ast.IsNot), (ast.In, ast.NotIn))
    for first, second in (pair, pair[::-1])
}
_CONSTANTS = {"True": "False", "False": "True", "None": "0", "0": "1", "1": "2", "0.0": "1.0", "1.0": "2.0"}


@dataclass(frozen=True, slots=True, order=True)
class Mutant:
    """A change of a source in one place.

    :ivar module: such as ``transport/rooms``.
    :ivar start: where the text begins that is replaced, in bytes; ``end`` is where it ends.
    :ivar context: the line in which it begins.
    """

    module: str
    line: int
    start: int
    end: int
    old: str
    new: str
    context: str

    def apply(self, source: str) -> str:
        """Gives the source with the change."""
        data = source.encode()
        return (data[: self.start] + self.new.encode() + data[self.end :]).decode()

    def __str__(self) -> str:
        old, new = (" ".join(text.split()) for text in (self.old, self.new))
        within = "" if len(old) > SHORT else f"  in  {self.context}"
        return f"livefeed/{self.module}.py:{self.line}: {old}  ->  {new}{within}"


def mutants_of(module: str, source: str) -> list[Mutant]:
    """Gives all mutants of a source, in its order."""
    lines = source.encode().splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    mutants = set()
    for node, new in _changes(ast.parse(source)):
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        old = source.encode()[start:end].decode()
        context = lines[node.lineno - 1].decode().strip()
        mutants.add(Mutant(module, node.lineno, start, end, old, new, context))
    return sorted(mutants)


def _changes(tree: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """Gives the nodes of a tree that may be replaced, and the text for each."""
    for node in _nodes(tree):
        for test in _tests_in(node):
            yield test, f"not ({ast.unparse(test)})"
        match node:
            case ast.Compare(left, operators, comparators):
                for place, operator in enumerate(operators):
                    others = [*operators[:place], _SWAPPED[type(operator)], *operators[place + 1 :]]
                    yield node, ast.unparse(ast.Compare(left, others, comparators))
            case ast.BoolOp(operator, values):
                other = ast.Or() if isinstance(operator, ast.And) else ast.And()
                yield node, f"({ast.unparse(ast.BoolOp(other, values))})"
            case ast.UnaryOp(ast.Not(), operand):
                yield node, f"({ast.unparse(operand)})"
            case ast.Constant(value) if repr(value) in _CONSTANTS:
                yield node, _CONSTANTS[repr(value)]
            case ast.stmt() if _may_be_dropped(node):
                yield node, "pass"


def _tests_in(node: ast.AST) -> Iterator[ast.expr]:
    """Gives the conditions that a node has, but for those of which another change gives the opposite."""
    match node:
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test):
            tests = [test]
        case ast.comprehension(ifs=tests):
            pass
        case _:
            return
    for test in tests:
        match test:
            case ast.UnaryOp(ast.Not()) | ast.Compare(ops=[ast.Eq() | ast.NotEq() | ast.Is() | ast.IsNot()]):
                pass
            case ast.Compare(ops=[ast.In() | ast.NotIn()]):
                pass
            case _:
                yield test


def _may_be_dropped(node: ast.stmt) -> bool:
    """Tells whether a module would still run without a statement: a name that is never set is noticed at once."""
    match node:
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            return True
        case ast.AnnAssign(target=ast.Attribute() | ast.Subscript(), value=ast.expr()):
            return True
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.Return(value=None):
            return True
        case ast.AugAssign() | ast.Delete() | ast.Raise() | ast.Break() | ast.Continue():
            return True
    return False


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """Gives the nodes whose change affects the behaviour of the module."""
    for child in ast.iter_child_nodes(tree):
        if not _is_left_alone(tree, child):
            yield child
            yield from _nodes(child)


def _is_left_alone(parent: ast.AST, node: ast.AST) -> bool:
    """Tells of types, texts, logs and checks of our own, a change of which would not matter."""
    match parent, node:
        case ast.AnnAssign(value=value), ast.expr():
            # A default of another type is for mypy to find, and how a field is made is no behaviour.
            return node is not value or ast.unparse(node).startswith(("None", "field("))
        case (
            (ast.arg() | ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef(), ast.expr())
            | (ast.arguments() | ast.BinOp(op=ast.BitOr()), ast.Constant(value=None))
            | (ast.Call(func=ast.Attribute(attr="pop")), ast.Constant(value=None))
            | (ast.Assign(targets=[ast.Subscript()]), ast.Constant(value=None))  # a dict that stands for a set
            | (ast.Compare(ops=[ast.Is() | ast.IsNot()]), ast.Constant())
            | (_, ast.FunctionDef(name="__repr__" | "__str__") | ast.Assert() | ast.JoinedStr())
            | (_, ast.If(test=ast.Name(id="TYPE_CHECKING")))
            | (_, ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="_log")))))
            | (_, ast.Call(func=ast.Name(id="cast" | "TypeVar")))
        ):
            return True
    return False


@dataclass(slots=True)
class Workplaces:
    """Copies of the sources, in each of which one mutant runs at a time."""

    free: SimpleQueue[Path]

    @classmethod
    def under(cls, directory: Path) -> Workplaces:
        """Makes them."""
        free: SimpleQueue[Path] = SimpleQueue()
        for number in range(AT_A_TIME):
            copy = directory / str(number)
            ignored = shutil.ignore_patterns("node_modules")
            for folder in ("livefeed", "tests"):
                shutil.copytree(ROOT / folder, copy / folder, ignore=ignored)
            shutil.copy(ROOT / "pyproject.toml", copy)
            (copy / "conftest.py").write_text(_CONFTEST)
            free.put(copy)
        return cls(free)

    def run(self, module: str, mutant: Mutant | None, limit_s: float | None) -> tuple[str, float]:
        """Runs a module's tests, and gives the fate of the mutant and the duration in seconds."""
        copy = self.free.get()
        path = copy / "livefeed" / f"{module}.py"
        source = path.read_text("utf-8")
        # Python uses the compiled code of all modules but the mutant, which is newer. The mutant's is not kept: another
        # mutant may have the same length and the same second as its time.
        environment = os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
        command = (sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", str(mirror_of(module)))
        start = time.monotonic()
        try:
            if mutant is not None:
                path.write_text(mutant.apply(source), "utf-8")
            done = subprocess.run(
                command,
                check=False,
                cwd=copy,
                env=environment,
                stdout=subprocess.PIPE if mutant is None else subprocess.DEVNULL,
                stderr=subprocess.STDOUT,
                timeout=limit_s,
            )
        except subprocess.TimeoutExpired:
            return "timeout", time.monotonic() - start
        finally:
            path.write_text(source, "utf-8")
            self.free.put(copy)
        if mutant is None and done.returncode:
            print(done.stdout.decode(errors="replace"))
        return "killed" if done.returncode else "survived", time.monotonic() - start


def sample(modules: Iterable[str], count: int, seed: int) -> list[Mutant]:
    """Gives *count* of the modules' mutants, or all if that is 0."""
    everything = [
        mutant
        for module in modules
        for mutant in mutants_of(module, (ROOT / "livefeed" / f"{module}.py").read_text("utf-8"))
    ]
    if not 0 < count < len(everything):
        return everything
    return sorted(random.Random(seed).sample(everything, count))


def summary(outcomes: Sequence[tuple[Mutant, str]]) -> float:
    """Prints how many of each module's mutants were killed, and gives the percentage of all."""
    total = Counter(mutant.module for mutant, _ in outcomes)
    killed = Counter(mutant.module for mutant, outcome in outcomes if outcome != "survived")
    print()
    for mutant, outcome in outcomes:
        if outcome == "survived":
            print(f"survived  {mutant}")
    print()
    for module in sorted(total):
        print(f"{module:24}{killed[module]:4} of {total[module]:4}{100 * killed[module] / total[module]:7.1f} %")
    rate = 100 * killed.total() / total.total()
    print(f"{'all':24}{killed.total():4} of {total.total():4}{rate:7.1f} %")
    return rate


def main() -> int:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, help=f"how many mutants; 0 for all ({COUNT}; all with --module)")
    parser.add_argument("--seed", type=int, default=SEED, help="chooses among them (%(default)s)")
    parser.add_argument("--module", action="append", choices=CORE, metavar="MODULE", help="only of this; repeatable")
    parser.add_argument("--list", action="store_true", help="print the mutants, and run none")
    parser.add_argument("--require", type=float, default=0.0, metavar="PERCENT", help="exit with 1 if fewer are killed")
    options = parser.parse_args()
    count = options.count if options.count is not None else 0 if options.module else COUNT
    mutants = sample(options.module or CORE, count, options.seed)
    if options.list:
        print(*mutants, sep="\n")
        return 0
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    with tempfile.TemporaryDirectory() as directory, ThreadPoolExecutor(AT_A_TIME) as executor:
        places = Workplaces.under(Path(directory))
        modules = sorted({mutant.module for mutant in mutants})
        limits = {}
        for module, (outcome, took_s) in zip(
            modules, executor.map(lambda module: places.run(module, None, None), modules), strict=True
        ):
            if outcome == "killed":
                print(f"{mirror_of(module)} fails, or is missing, without any change")
                return 2
            limits[module] = TIMES * took_s + EXTRA_S
            print(f"{took_s:5.0f} s  {mirror_of(module)}", flush=True)
        outcomes = []
        runs = executor.map(lambda each: places.run(each.module, each, limits[each.module]), mutants)
        for mutant, (outcome, took_s) in zip(mutants, runs, strict=True):
            outcomes.append((mutant, outcome))
            print(f"{len(outcomes):4} of {len(mutants)}  {outcome:9}{took_s:5.0f} s  {mutant}", flush=True)
    return 0 if summary(outcomes) >= options.require else 1


if __name__ == "__main__":
    sys.exit(main())
