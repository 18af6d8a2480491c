"""The bounds in the documentation are those of the code."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import livefeed
from tests.helpers.documentation import DOCS

_PACKAGE = Path(livefeed.__file__).parent
_ROW = re.compile(r"^\| (?P<subject>.+?) \| (?P<bound>.+?) \| (?P<constants>.*) \|$")
_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)?(?: (?:bytes|[KM]iB|s|characters)\b)?")
_UNITS = {"MiB": 1024 * 1024, "KiB": 1024}


def shown(name: str, value: float) -> str:
    """Gives a value as the page writes it.

    :param name: the name of its constant, which ends with the unit.
    """
    if name.endswith("BYTES"):
        for unit, size in _UNITS.items():
            if value % size == 0:
                return f"{value // size:,} {unit}"
        return f"{value:,} bytes"
    if name.endswith("_S"):
        return f"{value:,g} s" if value < 10_000 else f"{value:,.0f} s"
    if name.endswith(("CHARACTERS", "_LENGTH")):
        return f"{value:,} characters"
    return f"{value:,}"


def constants(cell: str) -> list[tuple[str, str]]:
    """Gives the modules of Python and the names in a cell such as ``a/b.py``: ``X``, ``Y``; ``c.py``: ``Z``."""
    found: list[tuple[str, str]] = []
    module = ""
    for text in re.findall(r"`([^`]+)`", cell):
        if text.endswith((".py", ".js")):
            module = text
        elif module.endswith(".py"):
            found.append((module, text))
    return found


def value_of(module: str, name: str) -> float:
    """Gives the value of a constant."""
    found = getattr(import_module("livefeed." + module.removesuffix(".py").replace("/", ".")), name)
    assert isinstance(found, (int, float)), (module, name)
    return found


def names_in(module: str) -> set[str]:
    """Gives the names that a module defines, also in its classes, without importing it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((_PACKAGE / module).read_text("utf-8"))):
        match node:
            case ast.Assign(targets=targets):
                found |= {each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                found.add(name)
    return found


class BoundsTests(SynchronousTestCase):
    """The page about the security model, and the index of limits."""

    def test_each_bound_has_its_value(self) -> None:
        """Each number in the table is that of the constant beside it, in the same order."""
        text = (DOCS / "explanation" / "security.md").read_text("utf-8").partition("\n## Every bound\n")[2]
        rows = [match for line in text.partition("\n## ")[0].splitlines() if (match := _ROW.match(line))]
        compared = 0
        for row in rows:
            named = constants(row["constants"])
            compared += len(named)
            if named:
                expected = [shown(name, value_of(module, name)) for module, name in named]
                self.assertEqual(_NUMBER.findall(row["bound"]), expected, row["subject"])
        self.assertGreater(compared, 50)

    def test_each_limit_of_the_index_exists(self) -> None:
        """A name that has changed leads nobody to its limit."""
        text = (DOCS / "explanation" / "architecture.md").read_text("utf-8").partition("\n## Index of limits\n")[2]
        found = [pair for line in text.splitlines() if (match := _ROW.match(line)) for pair in constants(match[3])]
        self.assertGreater(len(found), 150)
        missing = [
            (module, name)
            for module, name in found
            if re.split(r"[.(]", name.removesuffix("()"))[-1] not in names_in(module)
        ]
        self.assertEqual(missing, [])

    def test_shown(self) -> None:
        """The unit is that of the name."""
        self.assertEqual(shown("MAX_BYTES", 8 << 20), "8 MiB")
        self.assertEqual(shown("MAX_BYTES", 2048), "2 KiB")
        self.assertEqual(shown("V1_BYTES", 107), "107 bytes")
        self.assertEqual(shown("PAUSE_S", 0.2), "0.2 s")
        self.assertEqual(shown("PAUSE_S", 43200.0), "43,200 s")
        self.assertEqual(shown("MIN_TOKEN_CHARACTERS", 20), "20 characters")
        self.assertEqual(shown("MAX_CLIENTS", 65536), "65,536")
