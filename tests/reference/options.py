"""The options of the commands, as their parsers have them."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from livefeed.cli.main import make_parser
from tests.reference.tables import table

if TYPE_CHECKING:
    from collections.abc import Iterator

_INHERITED = "options of `twistd livefeed`"
"""The group of options that a page of their own has."""


def commands(parser: argparse.ArgumentParser | None = None) -> Iterator[argparse.ArgumentParser]:
    """Gives the parsers of all commands that can be run, with those below them."""
    parser = parser or make_parser()
    below = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    if not below:
        yield parser
    # argparse has no public way to list what a parser knows.
    for action in below:
        for each in action.choices.values():
            yield from commands(each)


def command_list() -> str:
    """Gives a section for each command, with its arguments and options."""
    return "\n\n".join(_section(each) for each in commands())


def _section(parser: argparse.ArgumentParser) -> str:
    parts = [f"## {parser.prog}", _prose(parser.description or "")]
    rows, is_server = [], False
    for group in parser._action_groups:
        is_server = is_server or group.title == _INHERITED
        if group.title != _INHERITED:
            rows += [_row(parser, each) for each in group._group_actions if not _is_help(each)]
    if rows:
        parts.append(table(("argument", ""), rows))
    if is_server:
        parts.append("All options of `twistd livefeed` work as well: [configuration](configuration.md).")
    return "\n\n".join(parts)


def _is_help(action: argparse.Action) -> bool:
    return "--help" in action.option_strings or action.help == argparse.SUPPRESS


def _row(parser: argparse.ArgumentParser, action: argparse.Action) -> list[str]:
    text = parser._get_formatter()._expand_help(action) if action.help else ""
    return [f"`{_name(parser, action)}`", _prose(text)]


def _name(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """Gives an argument or the names of an option with its value, as the help of Python 3.13 and newer has them."""
    formatter = parser._get_formatter()
    if not action.option_strings:
        return formatter._metavar_formatter(action, action.dest)(1)[0]
    value = "" if action.nargs == 0 else formatter._format_args(action, action.dest.upper())
    return f"{', '.join(action.option_strings)} {value}".rstrip()


def _prose(text: str) -> str:
    """Gives plain text as Markdown: options, addresses and everything else that looks like markup are code."""
    outside = re.split(r"(`[^`]*`)", text)
    return "".join(each if each.startswith("`") else _marked(each) for each in outside)


def _marked(text: str) -> str:
    return re.sub(r"(?<!\w)((?:--?|/)[A-Za-z][\w./-]*\w|\S*[<>*_\[\]]\S*)", _as_code, text)


def _as_code(found: re.Match[str]) -> str:
    word = found[0]
    # A bracket of the sentence, such as that of [default: 10], is no markup once it stands escaped.
    if re.fullmatch(r"\[\w+:?", word) or re.fullmatch(r"[^\[]*\]", word):
        return word.replace("[", "\\[").replace("]", "\\]")
    end = len(word) - len(word.rstrip(",.;:)"))
    return f"`{word[:-end]}`{word[-end:]}" if end else f"`{word}`"
