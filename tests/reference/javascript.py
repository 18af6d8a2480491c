"""Everything that the declarations of the client for JavaScript export, with their comments."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.reference.tables import code, table

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parents[2] / "clients" / "js"
DECLARATIONS = {
    "livefeed.d.ts": "livefeed",
    "react.d.ts": "livefeed/react",
    "token.d.ts": "livefeed/token",
    "verify.d.ts": "livefeed/verify",
}
"""The files, with the modules that they declare."""

_COMMENT = re.compile(r"/\*\*(.*?)\*/", re.DOTALL)
_EXPORT = re.compile(r"^export (?:declare )?(interface|type|function) (\w+)(.*)$")
_MEMBER = re.compile(r"^  (?:readonly )?(\w+)(\??)([:(<].*)$")


@dataclass(frozen=True, slots=True)
class Member:
    """A member of an interface.

    :ivar name: its name.
    :ivar form: its type, or the arguments and the result of a function.
    :ivar text: its comment, which may be empty.
    :ivar is_optional: whether it may be left out.
    """

    name: str
    form: str
    text: str
    is_optional: bool


@dataclass(frozen=True, slots=True)
class Export:
    """A declaration.

    :ivar kind: ``interface``, ``type`` or ``function``.
    :ivar name: its name.
    :ivar form: the text of the declaration behind the name.
    :ivar text: its comment, which may be empty.
    :ivar members: the members of an interface.
    """

    kind: str
    name: str
    form: str
    text: str
    members: tuple[Member, ...] = ()


def exports_of(text: str) -> list[Export]:
    """Gives the declarations of a file, in their order."""
    found: list[Export] = []
    comment, lines = "", iter(_COMMENT.sub(_in_one_line, text).splitlines())
    for line in lines:
        if line.startswith("/**"):
            comment = _text_of(line)
            continue
        match = _EXPORT.match(line)
        if match is None:
            comment = "" if not line else comment
            continue
        kind, name, rest = match.groups()
        if kind == "interface":
            found.append(Export(kind, name, rest.removesuffix(" {").strip(), comment, tuple(_members(lines))))
        else:
            while not rest.endswith(";"):
                rest += " " + next(lines).strip()
            found.append(Export(kind, name, re.sub(r"\( | ?,? \)", _bracket, rest), comment))
        comment = ""
    return found


def _bracket(found: re.Match[str]) -> str:
    return "(" if "(" in found[0] else ")"


def _members(lines: Iterator[str]) -> list[Member]:
    """Gives the members up to the end of an interface, and takes their lines."""
    members: list[Member] = []
    comment = ""
    for line in lines:
        if line == "}":
            break
        if line.strip().startswith("/**"):
            comment = _text_of(line)
            continue
        match = _MEMBER.match(line)
        assert match is not None, line
        name, optional, form = match.groups()
        members.append(Member(name, form.removesuffix(";").removeprefix(": "), comment, bool(optional)))
        comment = ""
    return members


def _in_one_line(found: re.Match[str]) -> str:
    words = re.sub(r"\n\s*\*", " ", found[1])
    return f"/** {' '.join(words.split())} */"


def _text_of(line: str) -> str:
    text = line.strip().removeprefix("/**").removesuffix("*/").strip()
    return re.sub(r"\{@link (\w+)\}", r"`\1`", text)


def api_list() -> str:
    """Gives a section for each module, with its functions, types and interfaces."""
    parts = []
    for file, module in DECLARATIONS.items():
        parts.append(f"### `{module}`")
        exports = exports_of((FOLDER / file).read_text("utf-8"))
        simple = [each for each in exports if each.kind != "interface"]
        rows = [[code(f"{each.name}{each.form}".removesuffix(";")), _described(each.text)] for each in simple]
        parts.append(table(("", "meaning"), rows))
        for each in exports:
            if each.kind == "interface":
                parts.append(f"**`{each.name}`**" + (f" {code(each.form)}" if each.form else ""))
                if each.text:
                    parts.append(each.text)
                rows = [
                    [code(member.name + "?" * member.is_optional), code(member.form), _described(member.text)]
                    for member in each.members
                ]
                parts.append(table(("member", "type", "meaning"), rows))
    return "\n\n".join(parts)


def _described(text: str) -> str:
    """Gives a comment without the marks of its parameters."""
    return re.sub(r"@(?:param (\w+)|returns) ?", lambda found: f"{code(found[1])}: " if found[1] else "Gives: ", text)
