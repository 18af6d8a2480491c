"""The direction of imports: which folder may import which, for typing, too, and that no modules import each other."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

import livefeed

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(livefeed.__file__).parent

GROUND = frozenset({"", "exceptions", "clocks", "secret_files", "threads"})
"""Modules that every folder may import; the empty name is ``livefeed`` itself."""

MAY_IMPORT: dict[str, frozenset[str]] = {
    folder: frozenset(names.split()) | GROUND | {folder}
    for folder, names in {
        "document": "",
        "client": "document",
        "config": "document",
        "auth": "config",
        "tls": "",
        "sources": "document storage tls",
        "storage": "document",
        "feed": "auth document config storage",
        "intake": "document sources feed storage",
        "transport": "tls",
        "web": "document tls transport",
        "delivery": "auth document feed transport web",
        "process": "auth config document tls transport web delivery",
        "admin": "auth document storage tls transport web feed intake delivery process",
        "checks": "admin auth config document process serving sources storage tls web",
        "cli": "checks client config document process sources storage tap tls",
        "testing": "delivery document feed intake sources web",
        "feed_storage": "document feed intake storage",
        "feed_service": "auth config delivery document feed feed_storage intake process sources storage web",
        "feed_set": "config delivery feed_service process web",
        "serving": "auth admin config tls delivery process transport web",
        "workers": "admin auth config delivery document feed feed_service feed_set process serving tls transport web",
        "operating": "admin config process serving tls",
        "pulling": "admin auth config feed feed_service feed_set operating process serving storage",
        "upgrading": "admin config feed_service feed_set operating process tls workers",
        "parent_service": "admin auth config feed_service feed_set operating process pulling serving tls upgrading "
        "workers",
        "service": "auth config feed_service feed_set operating parent_service process pulling serving tls web workers",
        "tap": "config process service workers",
    }.items()
}
"""For each folder the folders whose modules it may import, as ``docs/explanation/architecture.md`` draws it."""

TESTS = Path(__file__).parent


def modules() -> dict[str, Path]:
    """Gives all modules of livefeed, by their names below the package."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported_by(path: Path, names: dict[str, Path]) -> Iterator[str]:
    """Gives the modules of livefeed that a file imports, at any depth."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            named = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in named:
            if name.partition(".")[0] != "livefeed":
                continue
            below = name.removeprefix("livefeed").removeprefix(".")
            # Any other name is a name in a module.
            yield below if below in names else below.rpartition(".")[0]


def documented_imports(text: str) -> dict[str, frozenset[str]]:
    """Gives for each folder the folders that it may import, by the table in a document that has such a header."""
    _, _, below = text.partition("\n| folder | may import")
    table: dict[str, frozenset[str]] = {}
    for line in below.splitlines()[2:]:  # behind the rest of the header and the line below it
        if not line.startswith("|"):
            break
        _, folder, imported, _ = line.split("|")
        name = folder.strip(" `")
        assert name not in table, f"{name} has two rows"
        table[name] = frozenset(each.strip(" `") for each in imported.split(",") if each.strip())
    return table


def imported_tests(tree: ast.Module) -> Iterator[str]:
    """Gives the test modules that a module imports, at any depth."""
    for node in ast.walk(tree):
        named: list[str] = []
        if isinstance(node, ast.Import):
            named = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            named = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in named:
            if name.startswith("tests.") and name.rpartition(".")[2].startswith("test_"):
                yield name


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Gives the groups of modules that import each other, directly or not (Tarjan's algorithm)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            at = stack.index(node)
            group = stack[at:]
            del stack[at:]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


class ImportTests(SynchronousTestCase):
    """The layout, as the import statements show it."""

    def setUp(self) -> None:
        names = modules()
        self.graph = {name: set(imported_by(path, names)) - {name} for name, path in names.items()}

    def test_folders_import_what_they_may(self) -> None:
        """Each import follows the direction in which the data flows."""
        wrong = []
        for module, imported in self.graph.items():
            folder = module.partition(".")[0]
            allowed = GROUND if folder in GROUND else MAY_IMPORT[folder]
            wrong += [f"{module} imports {other}" for other in imported if other.partition(".")[0] not in allowed]
        self.assertEqual(sorted(wrong), [])

    def test_no_modules_import_each_other(self) -> None:
        """Each module can be read before those that import it."""
        self.assertEqual(cycles(self.graph), [])

    def test_folders_have_no_cycles(self) -> None:
        """The table itself allows none."""
        table = {folder: set(allowed) - GROUND - {folder} for folder, allowed in MAY_IMPORT.items()}
        self.assertEqual(cycles(table), [])

    def test_the_documented_table_is_the_same(self) -> None:
        """Contributors read the table in the documentation, and not this file."""
        documented = documented_imports((TESTS.parent / "docs" / "explanation" / "architecture.md").read_text("utf-8"))
        self.assertEqual(sorted(documented), sorted(MAY_IMPORT))
        for folder, allowed in MAY_IMPORT.items():
            with self.subTest(folder):
                self.assertEqual(sorted(documented[folder]), sorted(allowed - GROUND - {folder}))

    def test_cycles_are_found(self) -> None:
        """Cycles over several modules are found, too."""
        graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": set()}
        self.assertEqual(cycles(graph), [["a", "b", "c"]])
        self.assertEqual(cycles({"a": {"b"}, "b": set()}), [])

    def test_every_folder_says_what_is_in_it(self) -> None:
        """The first lines of a package have one for each of its modules."""
        for name, path in modules().items():
            if path.name != "__init__.py" or not name:
                continue
            documented = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
            for inside in sorted(path.parent.iterdir()):
                module = inside.stem
                if module.startswith("__") or not (inside.suffix == ".py" or (inside / "__init__.py").exists()):
                    continue
                with self.subTest(f"{name}.{module}"):
                    self.assertRegex(documented, rf"(?m)^(- ``)?{module}\b")

    def test_no_test_module_is_imported(self) -> None:
        """Helpers of several tests live in ``tests/helpers``, so that tests can be moved, split and run alone."""
        wrong = [
            f"{path.relative_to(TESTS)} imports {name}"
            for path in sorted(TESTS.rglob("*.py"))
            for name in imported_tests(ast.parse(path.read_text("utf-8"), str(path)))
        ]
        self.assertEqual(wrong, [])

    def test_imports_of_test_modules_are_found(self) -> None:
        """Imports are found in each form."""
        for text, found in (
            ("from tests.web.test_site import Client", ["tests.web.test_site"]),
            ("from tests.web import test_site, harness", ["tests.web.test_site"]),
            ("def f():\n    import tests.web.test_site", ["tests.web.test_site"]),
            ("from tests.helpers.garbage import garbage\nfrom livefeed.testing import request\nimport test_x", []),
        ):
            self.assertEqual(sorted(set(imported_tests(ast.parse(text)))), found)
