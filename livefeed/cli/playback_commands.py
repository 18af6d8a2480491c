"""``livefeed ctl playback``: pauses, seeks and speeds up the recording that a feed plays."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from livefeed.cli.operator_client import ChoiceError
from livefeed.cli.tables import count, duration, printable
from livefeed.exceptions import RecordingError
from livefeed.storage.recording_time import HOW, clock_of, seconds_into

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from livefeed.cli.operator_client import Client
    from livefeed.cli.tables import Painter

HELP = "pause, seek and speed up the recording that a feed plays"
DESCRIPTION = f"{HELP[0].upper()}{HELP[1:]}. Without an action, it shows the state. For seek, {HOW}."
ACTIONS = ("pause", "resume", "seek", "speed")
TIMEOUT_S = 30.0
"""Seconds that a command may take: a disk can be slow."""

_VALUED = ("seek", "speed")


def add_commands(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    shared: argparse.ArgumentParser,
    add_timeout: Callable[[argparse.ArgumentParser, float], None],
) -> None:
    """Adds the command and its options; see :func:`.desk_commands.add_commands`."""
    command = commands.add_parser("playback", parents=[shared], help=HELP, description=DESCRIPTION)
    command.add_argument(
        "words",
        nargs="*",
        metavar="[FEED] pause|resume|seek TIME|speed N",
        help="the feed [default: the only one that plays a recording], and the action",
    )
    add_timeout(command, TIMEOUT_S)


def handles(name: str) -> bool:
    """Tells whether a command is this one."""
    return name == "playback"


def ask(client: Client, options: argparse.Namespace) -> Any:
    """Runs the command, and gives its report.

    :raises ChoiceError: if the command line is wrong.
    :raises CommandError: if the command failed.
    """
    return client.post("/-/playback", arguments_of(options.words)).report()


def arguments_of(words: list[str]) -> dict[str, Any]:
    """Gives the arguments of the command on the operator's port.

    :raises ChoiceError: if the words are no command.
    """
    rest = list(words)
    arguments: dict[str, Any] = {}
    if rest and rest[0] not in ACTIONS:
        arguments["feed"] = rest.pop(0)
    if not rest:
        return arguments
    action, *values = rest
    if action not in ACTIONS or len(values) != (action in _VALUED):
        raise ChoiceError("write playback [FEED] pause, resume, seek TIME or speed N; for example, playback seek 21:00")
    if action == "seek":
        try:
            # Only to check the text here: the time zone and the recording are those of the server.
            seconds_into(values[0], 0.0, 0.0)
        except RecordingError as error:
            raise ChoiceError(str(error)) from None
    return {**arguments, action: values[0] if values else True}


def lines(_: Client, report: Any, options: argparse.Namespace, painter: Painter) -> list[str]:
    """Gives the lines about the report."""
    feed, state = printable(str(report.get("feed"))), str(report.get("playing"))
    speed = f"{report.get('speed'):g} times the speed of the night" if report.get("speed") != 1 else "as fast as then"
    shown = [f"{feed} is {painter.paint(printable(state), 'good' if state == 'playing' else 'warning')}, {speed}"]
    position_s, length_s = report.get("position_s"), report.get("length_s")
    sought = arguments_of(options.words).get("seek")
    if sought is not None:
        # The report still has the version before, and may have its position.
        shown.append(f"  seeking  to {printable(sought)}: watchers see the version of that time in a moment")
    elif position_s is not None:
        began_at = datetime.fromisoformat(str(report.get("began_at"))).timestamp()
        where = f"{duration(position_s)} of {duration(length_s)}"
        shown.append(
            f"  at       {clock_of(began_at + position_s)}, {where}{', again and again' if report.get('loop') else ''}"
        )
        shown.append(f"  shows    version {count(report.get('number'))} of {count(report.get('versions'))}")
    shown.append(f"  from     {printable(str(report.get('file')))}")
    if report.get("complete") is False:
        shown.append("  the recording has no end: it was cut, or its recorder was killed")
    return shown
