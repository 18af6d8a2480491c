"""``livefeed ctl overlay``: its command line, requests and answers.

The words of the command line are a sentence: ``overlay results set POINTER VALUE``. The feed is left out if there is
only one.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from livefeed.cli.desk_commands import TIMEOUT_S, add_reason, completed, feed_of
from livefeed.cli.desk_text import done_lines
from livefeed.cli.operator_client import ChoiceError
from livefeed.cli.operator_options import same_livefeed
from livefeed.cli.overlay_text import changed_lines, command_line, overlay_lines
from livefeed.cli.times import here

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.cli.operator_client import Client
    from livefeed.cli.tables import Painter

HELP = "put values into the document in place of those of the source, or take some out"
DESCRIPTION = (
    "Puts an editor's values into each document of the source, before the rules see it. They stay until they are "
    "dropped, also over a restart; every other byte is that of the source. A pointer is a JSON Pointer; {member=value} "
    "chooses the element of an array whose member has this value, wherever it stands, and * each one. Quote it for the "
    "shell. A value is JSON, so a text has its own quotation marks, or --text gives them. An entry that does not fit "
    "the source's document changes nothing, and `list` and the status say so."
)
EPILOG = """\
examples:
  livefeed ctl overlay results set '/districts/{name=North}/winner' '"SOC"'
  livefeed ctl overlay results set '/districts/{name=North}/votes' 1200 --expect 12000
  livefeed ctl overlay results add /notice 'Recount in North' --text
  livefeed ctl overlay results remove '/districts/{name=North}/winner'
  livefeed ctl overlay results list
  livefeed ctl overlay results drop '/districts/{name=North}/winner'
  livefeed ctl overlay results clear
"""

_OPERANDS = {
    "set": ("POINTER", "VALUE"),
    "add": ("POINTER", "VALUE"),
    "remove": ("POINTER",),
    "drop": ("POINTER",),
    "list": (),
    "clear": (),
}
"""The actions, with their operands."""

_EFFECTS = {
    "set": "replaces the values that are there",
    "add": "sets a member, also one that the source does not have",
    "remove": "takes a member or an element out",
    "drop": "takes the entry of this pointer back",
    "list": "shows the entries, and what the source has in their places",
    "clear": "takes all entries back",
}


def add_commands(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    shared: argparse.ArgumentParser,
    add_timeout: Callable[[argparse.ArgumentParser, float], None],
) -> None:
    """Adds the command and its options; see :func:`.desk_commands.add_commands`."""
    command = commands.add_parser(
        "overlay",
        parents=[shared],
        help=HELP,
        usage="livefeed ctl overlay [FEED] ACTION [POINTER [VALUE]] [OPTIONS]",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=_Formatter,
    )
    actions = "; ".join(f"{' '.join((name, *_OPERANDS[name]))} {effect}" for name, effect in _EFFECTS.items())
    command.add_argument("words", nargs="+", metavar="[FEED] ACTION", help=actions)
    command.add_argument("--expect", metavar="OLD", help="change nothing unless the source has this value there")
    command.add_argument("--text", action="store_true", help="VALUE and OLD are texts, without quotation marks")
    add_reason(command)
    add_timeout(command, TIMEOUT_S)


class _Formatter(argparse.HelpFormatter):
    """Leaves the lines of the examples as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text if text is EPILOG else super()._fill_text(text, width, indent)


def handles(name: str) -> bool:
    """Tells whether a command is this one."""
    return name == "overlay"


def ask(client: Client, options: argparse.Namespace) -> Any:
    """Runs the command, and gives its report.

    :raises ChoiceError: if the command line is wrong, or must choose a feed.
    :raises CommandError: if the command failed.
    """
    options.feed, options.action, operands = _sentence(options.words)
    arguments = _arguments(options, operands)
    feed = feed_of(client, options)
    if options.action == "list":
        return client.get(f"/-/desk/{quote(feed, safe='')}").report()
    return client.post("/-/overlay", {"feed": feed, "action": options.action, **arguments}).report()


def _sentence(words: list[str]) -> tuple[str | None, str, list[str]]:
    """Gives the feed, the action and its operands.

    :raises ChoiceError: if the words are no such sentence.
    """
    # A feed may be called like an action.
    has_feed = words[0] not in _OPERANDS or (len(words) > 1 and words[1] in _OPERANDS)
    feed, rest = (words[0], words[1:]) if has_feed else (None, words)
    if not rest or rest[0] not in _OPERANDS:
        found = f"{rest[0]!r} is no action" if rest else "an action is missing"
        raise ChoiceError(f"{found}: one of {', '.join(_OPERANDS)}, as in `livefeed ctl overlay {words[0]} list`")
    action, operands = rest[0], rest[1:]
    if len(operands) != len(_OPERANDS[action]):
        wanted = " ".join(("livefeed ctl overlay", feed or "FEED", action, *_OPERANDS[action]))
        hint = "; quote a value with blanks for the shell" if len(operands) > len(_OPERANDS[action]) else ""
        raise ChoiceError(f"the command line is `{wanted}`{hint}")
    return feed, action, operands


def _arguments(options: argparse.Namespace, operands: list[str]) -> dict[str, Any]:
    """Gives the arguments besides feed and action.

    :raises ChoiceError: if a value is not JSON, or an option does not belong to the action.
    """
    action = options.action
    arguments: dict[str, Any] = {}
    if options.expect is not None and action not in ("set", "remove"):
        raise ChoiceError(f"--expect belongs to set and remove, and not to {action}")
    if operands:
        arguments["pointer"] = operands[0]
    if len(operands) > 1:
        arguments["value"] = _json("VALUE", operands[1], is_text=options.text)
    if options.expect is not None:
        arguments["expect"] = _json("--expect", options.expect, is_text=options.text)
    if options.reason:
        arguments["reason"] = options.reason
    return arguments


def _json(name: str, text: str, *, is_text: bool) -> str:
    if is_text:
        return json.dumps(text, ensure_ascii=False)
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        hint = f"""a text needs quotation marks of its own, as in '"{text[:20]}"', or the option --text"""
        raise ChoiceError(f"{name} is not JSON: {hint}") from None
    # As it was typed: 1.50 stays 1.50.
    return text


def lines(client: Client, report: dict[str, Any], options: argparse.Namespace, painter: Painter) -> list[str]:
    """Gives the lines about the report of the command.

    After a change, the feed is asked for once more: its report has the age of the shown document.
    """
    now, end = here(), same_livefeed(options)
    if options.action == "list":
        return overlay_lines(report, painter, now, end)
    report, feed = completed(client, report), str(report.get("feed"))
    pointer = next(iter(_sentence(options.words)[2]), "")
    is_change = options.action in ("set", "add", "remove")
    undo = command_line(feed, "drop", pointer) + end if is_change else ""
    about = changed_lines(report, pointer, painter, now) if is_change else []
    return [*about, *done_lines(report, painter, now, undo, end)]
