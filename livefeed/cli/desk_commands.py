"""The commands of ``livefeed ctl`` that decide which document watchers see: their options and requests.

Rule: the command line is checked before the first request, so that a wrong one changes nothing.
"""

from __future__ import annotations

import argparse
import http.client
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from livefeed.cli.desk_text import desk_lines, done_lines, version
from livefeed.cli.embargo_commands import add_time, set_release
from livefeed.cli.embargo_text import embargo_text, set_aside_lines
from livefeed.cli.operator_client import ChoiceError
from livefeed.cli.operator_options import same_livefeed
from livefeed.cli.times import here, parse_duration
from livefeed.exceptions import CommandError, closest, shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from livefeed.cli.operator_client import Client
    from livefeed.cli.tables import Painter

MAX_REASON = 200
"""Characters of a reason, which watchers are told if --public-reasons allows it."""

TIMEOUT_S = 30.0
"""Seconds that a command may take: it is on the disk before it takes effect, and disks can be slow."""


@dataclass(frozen=True, slots=True)
class DeskCommand:
    """One command.

    :ivar help: its effect, in one line.
    :ivar more: further sentences of its ``--help``.
    :ivar undo: the command that takes it back; empty if there is none.
    """

    help: str
    more: str
    undo: str = ""


COMMANDS: dict[str, DeskCommand] = {
    "hold": DeskCommand(
        "keep what watchers are shown; newer documents wait",
        "Watchers keep the present version, marked held, whatever the source gives. The newest document waits until "
        "`release`, which shows it whatever the rules say. With --state-dir it survives a restart.",
        "release",
    ),
    "release": DeskCommand(
        "show the document that waits, and hold no longer",
        "Watchers are shown the document that waits, also if a rule has held it back. With --once a hold goes on "
        "for the next ones. With --rule and --for, the rule holds nothing for that time. With --at, the hold ends at a "
        "time; a document that a rule holds back by then is shown only if it waits already now.",
    ),
    "pin": DeskCommand(
        "show an earlier version; newer documents wait",
        "Watchers are shown VERSION, marked held, until `unpin`. `livefeed ctl desk` lists the versions that can be "
        "pinned. The first characters of a version are enough, if they name one.",
        "unpin",
    ),
    "unpin": DeskCommand(
        "show the newest document again, after pin or rollback",
        "It takes `pin` and `rollback` back. A document that a rule refuses goes on to wait.",
    ),
    "rollback": DeskCommand(
        "show the version before the present one; newer documents wait",
        "It pins the version that watchers were shown before the present one, until `unpin`; again, the one before "
        "that. Versions from which somebody has gone back are passed over.",
        "unpin",
    ),
    "withdraw": DeskCommand(
        "show no document at all (410), at once",
        "Every watcher is told, and is answered 410; caches must not keep the document. `resume` takes it back. To "
        "show another document instead, use `pin`, `rollback` or `overlay`.",
        "resume",
    ),
    "end": DeskCommand(
        "declare the present version the last one",
        "Watchers keep it as final, and stop asking. `resume` takes it back, but clients that have stopped come back "
        "only when their page is looked at again.",
        "resume",
    ),
    "resume": DeskCommand(
        "take withdraw or end back",
        "Watchers are shown the newest document; if a rule refuses it, it waits, and they are shown the one before. A "
        "pin or a hold from before is over.",
    ),
}
"""The commands that change which document watchers see."""

DESK_HELP = "show what watchers of a feed see, what waits and why, and the versions that can be pinned"
READ_TIMEOUT_S = 10.0


def add_commands(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    shared: argparse.ArgumentParser,
    add_timeout: Callable[[argparse.ArgumentParser, float], None],
) -> None:
    """Adds the commands and their options.

    :param commands: the commands of ``livefeed ctl``.
    :param shared: has the options of all commands.
    :param add_timeout: adds ``--timeout``, with a default in seconds.
    """
    for name, each in COMMANDS.items():
        text = f"{each.help[0].upper()}{each.help[1:]}. {each.more}"
        command = commands.add_parser(name, parents=[shared], help=each.help, description=text)
        _add_feed(command)
        if name == "pin":
            command.add_argument("version", metavar="VERSION", help="the version, or its first characters")
        if name == "release":
            _add_release_options(command)
        add_reason(command)
        add_timeout(command, TIMEOUT_S)
    desk = commands.add_parser("desk", parents=[shared], help=DESK_HELP, description=f"S{DESK_HELP[1:]}.")
    _add_feed(desk)
    add_timeout(desk, READ_TIMEOUT_S)


def _add_feed(command: argparse.ArgumentParser) -> None:
    command.add_argument("feed", nargs="?", metavar="FEED", help="the feed [default: the only one]")


def add_reason(command: argparse.ArgumentParser) -> None:
    """Adds ``--reason``."""
    command.add_argument(
        "--reason", type=_reason, default="", metavar="TEXT", help="why, for the audit file and the status"
    )


def _add_release_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--once", action="store_true", help="show this document; a hold goes on for the next ones")
    command.add_argument("--version", metavar="VERSION", help="only if this version waits, or one that begins so")
    command.add_argument("--rule", metavar="RULE", help="have one rule hold nothing for the time of --for")
    command.add_argument(
        "--for", dest="period", type=_checked(parse_duration), metavar="TIME", help="such as 90s, 10m, 1h30m"
    )
    add_time(command, "have the hold end, by itself,")


def _checked(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Gives a function that reads an argument, and whose refusal is an error of the command line."""

    def read(text: str) -> Any:
        try:
            return parse(text)
        except CommandError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return read


def _reason(text: str) -> str:
    if len(text) > MAX_REASON or not text.isprintable():
        raise argparse.ArgumentTypeError(f"a reason is one line of {MAX_REASON} characters at most")
    return text


def handles(name: str) -> bool:
    """Tells whether a command is one of these."""
    return name in COMMANDS or name == "desk"


def ask(client: Client, options: argparse.Namespace) -> Any:
    """Runs a command, and gives its report.

    :raises ChoiceError: if the command line is wrong, or must choose a feed.
    :raises CommandError: if the command failed.
    """
    name = options.ctl_command
    options.before = {}
    if name == "desk":
        return _report_of(client, feed_of(client, options))
    arguments = _arguments(options)
    if name == "release" and options.at is not None:
        return set_release(client, feed_of(client, options), options.at, options.reason)
    feed = feed_of(client, options)
    if name in ("release", "unpin", "resume", "pin", "rollback"):
        options.before = _before(client, feed)
    return client.post(f"/-/{name}", {"feed": feed, **arguments}).report()


def _report_of(client: Client, feed: str) -> Any:
    """Gives the report of a feed.

    :raises CommandError: if there is none, with the names of those that there are.
    """
    answer = client.get(f"/-/desk/{quote(feed, safe='')}")
    if answer.status == http.client.NOT_FOUND and (names := _names(client)):
        there = f"there are: {', '.join(names)}" if feed not in names else "this livefeed is older than the desk"
        raise CommandError(f"there is no feed {shown(feed)}; {there}{closest(feed, names)}")
    return answer.report()


def _before(client: Client, feed: str) -> dict[str, Any]:
    """Gives the report of a feed before a command, by which it can be taken back; empty if it cannot be had."""
    with suppress(CommandError):
        report = client.get(f"/-/desk/{quote(feed, safe='')}").report()
        return report if isinstance(report, dict) else {}
    return {}


def _arguments(options: argparse.Namespace) -> dict[str, Any]:
    """Gives the arguments of a command besides the feed.

    :raises ChoiceError: if options contradict each other.
    """
    arguments: dict[str, Any] = {"reason": options.reason} if options.reason else {}
    if options.ctl_command == "pin":
        arguments["version"] = options.version
    if options.ctl_command != "release":
        return arguments
    if (options.rule is None) is not (options.period is None):
        raise ChoiceError("--rule and --for go together: --rule votes --for 10m")
    given = [name for name in ("once", "version", "rule", "at") if getattr(options, name)]
    if len(given) > 1 and given != ["once", "version"]:
        raise ChoiceError(f"--{given[0]} and --{given[1]} exclude each other")
    if options.version is not None:
        arguments["version"] = options.version
    if options.once:
        arguments["once"] = True
    if options.rule is not None:
        arguments |= {"rule": options.rule, "for_s": options.period}
    return arguments


def feed_of(client: Client, options: argparse.Namespace) -> str:
    """Gives the feed that a command is for: the only one if none was named.

    :raises ChoiceError: if there are several.
    :raises CommandError: if there is none.
    """
    if options.feed is not None:
        return str(options.feed)
    names = _names(client)
    if not names:
        raise CommandError("this livefeed has no feed")
    if len(names) > 1:
        again = f"livefeed ctl {options.ctl_command} {names[0]}"
        raise ChoiceError(f"there are several feeds; name one, as in `{again}`: {', '.join(names)}")
    return names[0]


def _names(client: Client) -> list[str]:
    """Gives the names of the feeds."""
    report = client.get("/status").report()
    feeds = report.get("feeds") if isinstance(report, dict) else None
    return [str(each.get("name")) for each in feeds or [] if isinstance(each, dict)]


def lines(client: Client, report: dict[str, Any], options: argparse.Namespace, painter: Painter) -> list[str]:
    """Gives the lines about the report of a command.

    After a command, the feed is asked for once more: its report has the age of the shown document.
    """
    now, name = here(), options.ctl_command
    if name == "desk":
        return desk_lines(report, painter, now, same_livefeed(options), _embargoes(client, report, now))
    if name == "release" and options.at is not None:
        return set_aside_lines(report, painter, now, same_livefeed(options))
    end = same_livefeed(options)
    text = done_lines(completed(client, report), painter, now, _undo(report, options, end), end)
    if name == "hold":
        # Of this hold, or of one before it.
        found = _embargoes(client, report, now, kind="release")
        text[1:1] = [painter.paint(f"It ends by itself: embargo {each}", "warning") for each in found]
    if name == "release" and options.rule is not None:
        again = f"livefeed ctl release {report.get('feed')} --rule {options.rule} --for 1s{end}"
        text.append(f"To have the rule hold again: {painter.paint(again, 'strong')}")
    return text


def _undo(report: dict[str, Any], options: argparse.Namespace, end: str) -> str:
    """Gives the command line that takes a command back; empty if there is none."""
    name, feed = options.ctl_command, report.get("feed")
    undo, more = COMMANDS[name].undo, ""
    before, decision = options.before.get("version"), options.before.get("decision")
    kind = decision.get("kind") if isinstance(decision, dict) else None
    if kind == "withdraw" and undo == "unpin":
        # Otherwise the document that was withdrawn would be shown.
        undo = kind
    if not undo:
        if kind in ("withdraw", "end") and name == "resume":
            undo = kind
        elif kind == "pin" and name == "unpin":
            undo, more = "pin", f" {version(decision.get('version'))}"
        elif name == "release" and before not in (None, report.get("version")):
            undo = "rollback"
    return f"livefeed ctl {undo} {feed}{more}{end}" if undo else ""


def _embargoes(client: Client, report: dict[str, Any], now: datetime, kind: str | None = None) -> list[str]:
    """Gives the lines about everything that is to happen to a feed at a time.

    :param kind: the kind that is wanted; ``None`` for all.
    """
    with suppress(CommandError):
        found = client.get("/-/embargoes").report()
        entries = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
        entries = [each for each in entries if each.get("feed") == report.get("feed")]
        return [embargo_text(each, now) for each in entries if kind in (None, each.get("kind"))]
    return []


def completed(client: Client, report: dict[str, Any]) -> dict[str, Any]:
    """Gives the answer to a command with the members that only the report of the feed has.

    If that cannot be had, or somebody has given another command meanwhile, the answer stays as it is: the way back is
    that of this command.
    """
    with suppress(CommandError):
        later = client.get(f"/-/desk/{quote(str(report.get('feed')), safe='')}").report()
        same = ("state", "decision", "version")
        if isinstance(later, dict) and all(later.get(name) == report.get(name) for name in same):
            # The warning is about the command, such as that a restart forgets it.
            return {**report, **later, "warning": report.get("warning") or later.get("warning")}
    return report
