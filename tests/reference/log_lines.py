"""The log lines: formats and levels as the code has them, and their meaning from ``docs/reference/log-lines.toml``.

A format is found where a logger is called, or in the function around the call, where it is chosen between several.
"""

from __future__ import annotations

import ast
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.reference.tables import code, linked_from, table

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(__file__).parents[2] / "livefeed"
MEANINGS = Path(__file__).parents[2] / "docs" / "reference" / "log-lines.toml"

PAGE = "docs/reference/log-lines.md"

LEVELS = {"critical": "critical", "failure": "critical", "error": "error", "warn": "warn", "info": "info"}
"""The methods of a logger, with the levels of their lines, the most important first."""

DEFECT = "a defect of livefeed, whose traceback follows; livefeed goes on. Report it"
"""The meaning of every line of the method ``failure`` that has no other."""


@dataclass(frozen=True, slots=True)
class LogLine:
    """A log line.

    :ivar text: its format, with the names of its fields in braces.
    :ivar level: its level.
    :ivar method: the method of the logger.
    :ivar folder: the folder or module that writes it, below ``livefeed``.
    """

    text: str
    level: str
    method: str
    folder: str


class UnknownFormatError(Exception):
    """A call of a logger whose format is in none of the places where it is looked for."""


def log_lines() -> list[LogLine]:
    """Gives all log lines of the package, each once.

    :raises UnknownFormatError: if a format is computed.
    """
    found: dict[tuple[str, str], LogLine] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        folder = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for method, text in formats_in(path.read_text("utf-8")):
            found.setdefault((text, LEVELS[method]), LogLine(text, LEVELS[method], method, folder))
    return [*found.values()]


def formats_in(source: str) -> Iterator[tuple[str, str]]:
    """Gives the methods of a logger that a module calls, each with a format.

    :raises UnknownFormatError: if a format is computed.
    """
    tree = ast.parse(source)
    for call, around in _calls(tree, ()):
        assert isinstance(call.func, ast.Attribute)
        for text in _formats(call.args[0], call, around):
            yield call.func.attr, text


def _calls(node: ast.AST, around: tuple[ast.AST, ...]) -> Iterator[tuple[ast.Call, tuple[ast.AST, ...]]]:
    """Gives the calls of loggers below a node, each with the nodes around it, the outermost first."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Call) and _is_of_logger(child):
            yield child, (*around, node)
        yield from _calls(child, (*around, node))


def _is_of_logger(call: ast.Call) -> bool:
    """Tells whether a call writes a line."""
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in LEVELS or not call.args:
        return False
    return ast.unparse(call.func.value).endswith("_log")


def _formats(node: ast.expr, call: ast.Call, around: tuple[ast.AST, ...]) -> list[str]:
    """Gives the formats that an expression may have where a logger is called."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.IfExp(body=one, orelse=other):
            return [*_formats(one, call, around), *_formats(other, call, around)]
        case ast.Name(id=name):
            values = _assigned(name, call, around)
            if values:
                return [text for value in values for text in _formats(value, call, around)]
        case ast.Subscript(value=inner, slice=ast.Constant(value=key)):
            table_ = _literal(inner, around)
            if isinstance(table_, (dict, tuple, list)) and isinstance(table_[key], str):  # type: ignore[index]
                return [table_[key]]  # type: ignore[index]
    raise UnknownFormatError(f"line {call.lineno}: {ast.unparse(node)}")


def _literal(node: ast.expr, around: tuple[ast.AST, ...]) -> Any:
    """Gives the value of a table of texts that stands at the top of the module, or of an entry of it."""
    match node:
        case ast.Name(id=name):
            values = [value for found, value in _assignments(around[0]) if found == name]
            return ast.literal_eval(values[0]) if values else None
        case ast.Subscript(value=inner, slice=ast.Constant(value=key)):
            return _literal(inner, around)[key]
    return None


def _assigned(name: str, call: ast.Call, around: tuple[ast.AST, ...]) -> list[ast.expr]:
    """Gives what a name may stand for: the last assignment on the way to a call, and later ones that may be skipped.

    A name that no function around the call assigns stands for a constant of the module.
    """
    blocks = [block for node in (*around, call) for block in _blocks(node)]
    on_the_way = {id(block) for block in blocks if any(each in around or call in ast.walk(each) for each in block)}
    found: list[ast.expr] = []
    for scope in reversed(around):
        if not isinstance(scope, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Module)):
            continue
        before = [
            (statement, id(block))
            for node in ast.walk(scope)
            for block in _blocks(node)
            for statement in block
            if statement.lineno <= call.lineno or isinstance(scope, ast.Module)
        ]
        for statement, block_id in sorted(before, key=lambda it: -it[0].lineno):
            values = [value for target, value in _assignments(statement, is_deep=False) if target == name]
            found += values
            if values and block_id in on_the_way:
                return found
        if found:
            return found
    return _columns(name, around)


def _blocks(node: ast.AST) -> list[list[ast.stmt]]:
    """Gives the lists of statements in a node."""
    fields = (getattr(node, field, None) for field in ("body", "orelse", "finalbody"))
    return [block for block in fields if isinstance(block, list) and block and isinstance(block[0], ast.stmt)]


def _assignments(node: ast.AST, *, is_deep: bool = True) -> Iterator[tuple[str, ast.expr]]:
    """Gives the names that a statement assigns, or all statements below a node, with their values."""
    for each in ast.walk(node) if is_deep else [node]:
        if isinstance(each, ast.Assign) and len(each.targets) == 1 and isinstance(each.targets[0], ast.Name):
            yield each.targets[0].id, each.value
        elif isinstance(each, ast.AnnAssign) and each.value is not None and isinstance(each.target, ast.Name):
            yield each.target.id, each.value


def _columns(name: str, around: tuple[ast.AST, ...]) -> list[ast.expr]:
    """Gives the column of a table of the module from which a name is unpacked: ``fails, works = _TEXTS[kind]``."""
    for node in ast.walk(around[0]):
        match node:
            case ast.Assign(targets=[ast.Tuple(elts=elts)], value=ast.Subscript(value=ast.Name() as table_)):
                names = [each.id for each in elts if isinstance(each, ast.Name)]
                rows = _literal(table_, around)
                if name in names and isinstance(rows, dict):
                    return [ast.Constant(row[names.index(name)]) for row in rows.values()]
    return []


def meanings() -> dict[str, dict[str, str]]:
    """Gives the meanings by the formats: ``means``, and ``do`` if there is something to do."""
    entries = tomllib.loads(MEANINGS.read_text("utf-8"))["line"]
    return {entry["text"]: entry for entry in entries}


def log_table() -> str:
    """Gives a table for each level, the most important first, in alphabetical order."""
    known = meanings()
    parts = []
    for level in dict.fromkeys(LEVELS.values()):
        rows = []
        for line in sorted((each for each in log_lines() if each.level == level), key=lambda it: it.text):
            entry = known.get(line.text, {})
            is_defect = line.method == "failure"
            means = entry.get("means", DEFECT if is_defect else "")
            texts = (means, entry.get("do", ""))
            rows.append([code(line.text), *(linked_from(PAGE, text) for text in texts)])
        parts.append(f"## {level}\n\n{table(('line', 'meaning', 'what to do'), rows)}")
    return "\n\n".join(parts)
