"""``livefeed ctl audit``: the last commands of all operators."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from livefeed.cli.desk_text import short
from livefeed.cli.tables import Cell
from livefeed.cli.times import clock, here

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from livefeed.cli.operator_client import Client
    from livefeed.cli.tables import Painter

HELP = "show the last commands: when, by whom, which, and whether they succeeded"
DESCRIPTION = (
    "Shows the last commands of all operators, the newest last, from the file audit.log in --state-dir, which has one "
    "JSON object on each line."
)
DEFAULT_ENTRIES = 20
MAX_ENTRIES = 1000
TIMEOUT_S = 10.0

_LEFT_OUT = ("", None, False)


def add_commands(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    shared: argparse.ArgumentParser,
    add_timeout: Callable[[argparse.ArgumentParser, float], None],
) -> None:
    """Adds the command and its options; see :func:`.desk_commands.add_commands`."""
    command = commands.add_parser("audit", parents=[shared], help=HELP, description=DESCRIPTION)
    command.add_argument("feed", nargs="?", metavar="FEED", help="only those about this feed [default: all]")
    command.add_argument(
        "--last",
        type=_number,
        default=DEFAULT_ENTRIES,
        metavar="N",
        help=f"the number of commands that are read, at most {MAX_ENTRIES} [default: {DEFAULT_ENTRIES}]",
    )
    add_timeout(command, TIMEOUT_S)


def _number(text: str) -> int:
    number = int(text)
    if not 1 <= number <= MAX_ENTRIES:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 to {MAX_ENTRIES}")
    return number


def handles(name: str) -> bool:
    """Tells whether a command is this one."""
    return name == "audit"


def ask(client: Client, options: argparse.Namespace) -> Any:
    """Runs the command, and gives its report.

    :raises CommandError: if there is no audit.
    """
    report = client.get(f"/-/audit/{options.last}").report()
    entries = [each for each in report if isinstance(each, dict)] if isinstance(report, list) else []
    return [each for each in entries if options.feed in (None, each.get("feed"))]


def lines(_: Client, report: Any, __: argparse.Namespace, painter: Painter) -> list[str]:
    """Gives the lines about the report, the newest command last, as in a log."""
    return audit_lines(report, painter, here())


def audit_lines(entries: list[dict[str, Any]], painter: Painter, now: datetime) -> list[str]:
    """Gives a table of entries, which come with the newest first."""
    if not entries:
        return ["no commands"]
    rows = []
    for each in reversed(entries):
        outcome = short(each.get("outcome"))
        rows.append(
            [
                Cell(clock(each.get("at"), now)),
                Cell(short(each.get("by"))),
                Cell(short(each.get("feed"))),
                Cell(_command(each, now), "strong"),
                Cell(outcome, "plain" if outcome == "done" else "bad"),
            ]
        )
    return painter.table([Cell(name, "faint") for name in ("AT", "BY", "FEED", "COMMAND", "OUTCOME")], rows)


def _command(entry: dict[str, Any], now: datetime) -> str:
    arguments = entry.get("arguments")
    if entry.get("command") == "embargo" and isinstance(arguments, dict):
        until = f"{arguments.get('kind')} at {clock(arguments.get('at'), now)}"
        return short(f"embargo {arguments.get('action')} {arguments.get('id')} ({until})")
    given = arguments.items() if isinstance(arguments, dict) else ()
    words = [f"{name}={value}" for name, value in given if value not in _LEFT_OUT]
    return short(" ".join([str(entry.get("command")), *words]))
