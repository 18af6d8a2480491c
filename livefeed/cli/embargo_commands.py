"""``livefeed ctl embargo`` and ``livefeed ctl release --at``: what is to happen at a time, and how it is cancelled."""

from __future__ import annotations

import argparse
import http.client
import sys
from typing import TYPE_CHECKING, Any

from livefeed.cli.embargo_text import done_lines, embargo_lines
from livefeed.cli.operator_client import ChoiceError
from livefeed.cli.operator_options import same_livefeed
from livefeed.cli.times import here, parse_time
from livefeed.exceptions import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.cli.operator_client import Client
    from livefeed.cli.tables import Painter
    from livefeed.cli.times import ChosenTime

HELP = "show what is to happen at a time, cancel it, or have it happen now"
DESCRIPTION = (
    "Shows the documents of `livefeed publish --at` and the ends of holds of `livefeed ctl release --at` that wait for "
    "their time, and those that could not be carried out at it. `cancel ID` removes one. `publish ID` has it happen "
    "now, with its conditions, or without them with --any-version."
)
ACTIONS = ("list", "cancel", "publish")
TIMEOUT_S = 30.0
NOT_SUPPORTED = "this livefeed is older than --at: the document was not sent, as it would be published at once"


def add_commands(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    shared: argparse.ArgumentParser,
    add_timeout: Callable[[argparse.ArgumentParser, float], None],
) -> None:
    """Adds the command and its options; see :func:`.desk_commands.add_commands`."""
    command = commands.add_parser("embargo", parents=[shared], help=HELP, description=DESCRIPTION)
    command.add_argument("action", nargs="?", choices=ACTIONS, default="list", help="[default: list]")
    command.add_argument("id", nargs="?", metavar="ID", help="the id of the embargo, for cancel and publish")
    command.add_argument("--any-version", action="store_true", help="with publish: whatever is stored, or waits")
    add_timeout(command, TIMEOUT_S)


def add_time(parser: argparse.ArgumentParser, what: str) -> None:
    """Adds ``--at``.

    :param what: says what happens at that time.
    """
    parser.add_argument(
        "--at",
        type=_time,
        metavar="TIME",
        help=f"{what} at this time: 21:30 (in the local time zone), +10m, or 2026-11-30T21:30:00+01:00",
    )


def _time(text: str) -> ChosenTime:
    try:
        return parse_time(text, here())
    except CommandError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def tell_note(chosen: ChosenTime) -> None:
    """Tells what the operator must not miss about a time, such as that it is tomorrow."""
    if chosen.note:
        print(chosen.note, file=sys.stderr)


def check_supported(client: Client) -> None:
    """Checks that livefeed knows embargoes. An older one would publish at once.

    :raises CommandError: if it does not.
    """
    answer = client.get("/-/embargoes")
    if answer.status in (http.client.NOT_FOUND, http.client.NOT_IMPLEMENTED):
        raise CommandError(NOT_SUPPORTED)
    answer.report()


def set_release(client: Client, feed: str, chosen: ChosenTime, reason: str) -> Any:
    """Has a hold end at a time, and gives the report.

    :raises CommandError: if that is not possible.
    """
    tell_note(chosen)
    arguments = {"action": "release", "feed": feed, "at": chosen.rfc3339}
    return client.post("/-/embargo", {**arguments, "reason": reason} if reason else arguments).report()


def handles(name: str) -> bool:
    """Tells whether a command is this one."""
    return name == "embargo"


def ask(client: Client, options: argparse.Namespace) -> Any:
    """Runs the command, and gives its report.

    :raises ChoiceError: if the command line is wrong.
    :raises CommandError: if the command failed.
    """
    action, name = options.action, options.id
    if (name is None) is not (action == "list"):
        rest = "takes no ID" if action == "list" else "needs the ID of an embargo; `livefeed ctl embargo` shows them"
        raise ChoiceError(f"embargo {action} {rest}")
    if options.any_version and action != "publish":
        raise ChoiceError("--any-version belongs to publish")
    if action == "list":
        return client.get("/-/embargoes").report()
    arguments = {"action": action, "id": name}
    return client.post("/-/embargo", {**arguments, "any_version": True} if options.any_version else arguments).report()


def lines(_: Client, report: Any, options: argparse.Namespace, painter: Painter) -> list[str]:
    """Gives the lines about the report of the command."""
    if options.action == "list":
        entries = [each for each in report if isinstance(each, dict)] if isinstance(report, list) else []
        return embargo_lines(entries, painter, here(), same_livefeed(options))
    return done_lines(report, painter)
