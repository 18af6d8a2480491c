"""``livefeed ctl``: asks a running livefeed for its state, and gives it commands, through the operator's socket."""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from livefeed.cli import audit_commands, desk_commands, embargo_commands, overlay_commands, playback_commands
from livefeed.cli.operator_client import Answer, NotRunningError, OperatorClient
from livefeed.cli.operator_options import (
    DONE,
    FAILED,
    add_instance_arguments,
    add_timeout_argument,
    chosen_socket,
    exit_code_of,
    timeout_of,
)
from livefeed.cli.status_text import status_lines
from livefeed.cli.tables import Cell, Painter, count, duration, outline
from livefeed.cli.trace_text import trace_lines
from livefeed.exceptions import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable

HELP = "ask a running livefeed for its state, and give it commands"
DESCRIPTION = (
    "Talks to the operator's socket of a livefeed on this machine. If one instance runs, that is the one; --instance "
    "or --runtime-dir choose another, as do the variables LIVEFEED_INSTANCE and LIVEFEED_RUNTIME_DIR. The options "
    "below may stand before the command or after it. Exit codes: 0 done; 1 the command failed, with the reason on "
    "standard error; 2 the command line is wrong, or several instances run; 3 no livefeed runs there; 4 (status) a "
    "feed is not live."
)

NOT_LIVE = 4
"""An exit code, besides those that all commands share."""

_GROUPS = (desk_commands, embargo_commands, overlay_commands, audit_commands, playback_commands)
"""The modules of further commands, each with ``add_commands``, ``handles``, ``ask`` and ``lines``."""

REFRESH_S = 1.0
"""Seconds between two reports of ``status --watch``."""

_READ_S, _RELOAD_S, _UPGRADE_S = 10.0, 60.0, 600.0

_COMMANDS = {
    "status": ("show the feeds, their states and the reasons, and how many follow them", _READ_S),
    "reload": ("read the settings and certificates again; it changes everything, or nothing", _RELOAD_S),
    "upgrade": (
        "start the program on disk with the configuration of now; it takes over once it serves",
        _UPGRADE_S,
    ),
    "drain": ("take no new clients, and send those that are here away, one after another", _RELOAD_S),
    "workers": ("show the worker processes", _READ_S),
    "trace": ("show when a version was pulled, published and delivered", _READ_S),
}
"""The commands, with their help and the seconds that they may take unless --timeout says otherwise."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the commands and their options."""
    _add_shared(parser, None)
    parser.add_argument(
        "--timeout", type=timeout_of, metavar="SECONDS", help="seconds to wait for the answer [default: the command's]"
    )
    shared = argparse.ArgumentParser(add_help=False)
    # An option that is not given after the command leaves the value from before it.
    _add_shared(shared, argparse.SUPPRESS)
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="ctl_command")
    for name, (text, timeout_s) in _COMMANDS.items():
        command = commands.add_parser(name, parents=[shared], help=text, description=f"{text[0].upper()}{text[1:]}.")
        _add_timeout(command, timeout_s)
        if name == "status":
            command.add_argument("--watch", action="store_true", help="show it again each second, until Ctrl-C")
        if name == "drain":
            command.add_argument("--undo", action="store_true", help="be ready again, if nobody was sent away yet")
        if name == "upgrade":
            command.add_argument(
                "--unsupervised",
                action="store_true",
                help="nothing waits for the process of livefeed, which will have another id",
            )
        if name == "trace":
            command.add_argument("version", metavar="VERSION", help="a version, its beginning, a sequence, or newest")
    for group in _GROUPS:
        group.add_commands(commands, shared, _add_timeout)


def _add_shared(parser: argparse.ArgumentParser, default: Any) -> None:
    parser.add_argument(
        "--json", action="store_true", default=default, help="print the report as livefeed gives it, in JSON"
    )
    add_instance_arguments(parser.add_mutually_exclusive_group(), default)


def _add_timeout(command: argparse.ArgumentParser, default_s: float) -> None:
    # The same: a default here would replace the value from before the command.
    add_timeout_argument(command, default_s).default = argparse.SUPPRESS
    command.set_defaults(default_timeout_s=default_s)


def run(options: argparse.Namespace) -> int:
    """Runs a command.

    :returns: the exit code.
    """
    try:
        timeout_s = options.default_timeout_s if options.timeout is None else options.timeout
        client = OperatorClient(chosen_socket(options), timeout_s)
        if options.ctl_command == "status" and options.watch:
            return _watch(client, options)
        return _run_once(client, options)
    except CommandError as error:
        print(f"livefeed: {error}", file=sys.stderr)
        return exit_code_of(error)
    except KeyboardInterrupt:
        return DONE if options.ctl_command == "status" and options.watch else FAILED


def _run_once(client: OperatorClient, options: argparse.Namespace) -> int:
    group = next((each for each in _GROUPS if each.handles(options.ctl_command)), None)
    report = _ask(client, options).report() if group is None else group.ask(client, options)
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        painter = Painter.of(sys.stdout)
        if group is None:
            print("\n".join(_LINES[options.ctl_command](report, painter)))
        else:
            print("\n".join(group.lines(client, report, options, painter)))
    sys.stdout.flush()
    return _status_code(report) if options.ctl_command == "status" else DONE


def _ask(client: OperatorClient, options: argparse.Namespace) -> Answer:
    name = options.ctl_command
    if name == "status":
        return client.get("/status")
    if name == "workers":
        return client.get("/-/workers")
    if name == "trace":
        return client.get(f"/-/trace/{quote(options.version, safe='')}")
    if name == "drain" and options.undo:
        return client.post("/-/drain", {"undo": True})
    if name == "upgrade":
        return client.post("/-/upgrade", {"unsupervised": True} if options.unsupervised else {})
    return client.post(f"/-/{name}", {})


def _status_code(report: Any) -> int:
    feeds = report.get("feeds", []) if isinstance(report, dict) else []
    return DONE if all(feed.get("state") == "live" for feed in feeds) else NOT_LIVE


def _watch(client: OperatorClient, options: argparse.Namespace) -> int:
    """Shows the status each second. A livefeed that is started again is shown again."""
    is_terminal = sys.stdout.isatty()
    answered: tuple[float, float] | None = None  # when, and how many requests were answered until then
    due = time.monotonic()
    while True:
        try:
            report = client.get("/status").report()
        except NotRunningError as error:
            lines, answered = [f"{error}; waiting for it"], None
        else:
            now = time.monotonic(), float(report.get("answers") or 0)
            rate = None if answered is None else max(0.0, (now[1] - answered[1]) / (now[0] - answered[0]))
            answered = now
            # Each time, since the window may have another width.
            painter = Painter.of(sys.stdout)
            lines = [json.dumps(report)] if options.json else status_lines(report, painter, _now(), rate)
        if is_terminal and not options.json:
            # To the first place, and each line up to its end, so that nothing flickers.
            print("\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J", end="")
        else:
            print("\n".join(lines) + ("" if options.json else "\n"))
        sys.stdout.flush()
        due = max(due + REFRESH_S, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))


def _now() -> datetime:
    return datetime.now(UTC)


def _show_status(report: Any, painter: Painter) -> list[str]:
    return status_lines(report, painter, _now())


def _show_outline(report: Any, _: Painter) -> list[str]:
    return outline(report) if report not in (None, {}, []) else ["done"]


def _show_rows(report: Any, painter: Painter) -> list[str]:
    """Shows a list of objects as a table, with one column for each member."""
    rows = report if isinstance(report, list) else []
    if not rows or not all(isinstance(row, dict) for row in rows):
        return outline(report) if rows else ["there are no workers: one process does everything"]
    names = list(dict.fromkeys(str(name) for row in rows for name in row))
    is_number = {name: any(isinstance(row.get(name), int | float | dict) for row in rows) for name in names}
    heads = [Cell(name.removesuffix("_s").upper().replace("_", " "), "faint", is_number[name]) for name in names]
    return painter.table(
        heads, [[Cell(_member(name, row.get(name)), is_right=is_number[name]) for name in names] for row in rows]
    )


def _member(name: str, value: Any) -> str:
    """Gives one member of an object as text; of an object with counts, such as that of the watchers, their sum."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        # Process ids are no amounts.
        return duration(value) if name.endswith("_s") else str(value) if name == "pid" else count(value)
    if isinstance(value, dict):
        return count(sum(each for each in value.values() if isinstance(each, int | float)))
    return ", ".join(outline(value))


_LINES: dict[str, Callable[[Any, Painter], list[str]]] = {
    "status": _show_status,
    "reload": _show_outline,
    "upgrade": _show_outline,
    "drain": _show_outline,
    "workers": _show_rows,
    "trace": trace_lines,
}
