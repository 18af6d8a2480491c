"""``livefeed check``: does all checks of a start without serving, or tries a document on the rules of a feed."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.defer import Deferred

from livefeed.checks import Problem, StartChecks
from livefeed.cli.feed_choice import add_feed_option, chosen_feed
from livefeed.cli.reactor import run_until_done
from livefeed.cli.settings_argument import add_settings_argument, refuse_document
from livefeed.cli.tried_document import HELD, UNREADABLE, try_document
from livefeed.config.settings import Layers

if TYPE_CHECKING:
    import argparse

    from livefeed.checks import Pulled
    from livefeed.config.settings import Settings
    from livefeed.exceptions import ConfigurationError

HELP = "check settings without serving"
DESCRIPTION = (
    "Does all checks of a start: settings, sources, origins, endpoints, certificates with their keys and dates, and "
    "folders. Each problem is one line, with file, line and key. The variables LIVEFEED_... count as at a start. The "
    "exit code is 1 if livefeed would not start, or if a certificate has expired. With --document, only the settings "
    "are read, and the document is tried on the gate and the rules of a feed: the exit code is 0 if watchers would be "
    "shown it, 4 if it would be held back, and 1 if the settings have an error or a file cannot be read."
)


_LINE = re.compile(r"(.*):([0-9]{1,9}): ")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the subcommand."""
    add_settings_argument(parser, " [default: $LIVEFEED_CONFIG]")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--strict", action="store_true", help="exit with 1 for warnings, too")
    parser.add_argument("--pull", action="store_true", help="pull each source once, and show what it gives")
    parser.add_argument(
        "--document", metavar="FILE", help="try this document on the rules of a feed; - is standard input"
    )
    parser.add_argument(
        "--shown", metavar="FILE", help="the document that watchers are shown meanwhile [default: none]"
    )
    add_feed_option(parser)


def run(options: argparse.Namespace) -> int:
    """Does the checks, prints the problems, or what would be served, and gives the exit code."""
    refuse_document(options.file or os.environ.get("LIVEFEED_CONFIG"), "livefeed check", "its option --document")
    layers = Layers({} if options.file is None else {"config": options.file}, dict(os.environ), Path.cwd())
    settings, errors = layers.read_all()
    if options.document is not None:
        return _try_document(options, settings, errors)
    if options.shown is not None or options.feed is not None:
        options.fail("--shown and --feed belong to --document FILE")
    problems = [Problem(error.place, error.why) for error in errors]
    summary: dict[str, Any] | None = None
    pulled: list[Pulled] = []
    if settings is not None:
        # Imported here: it installs a reactor.
        from twisted.internet import reactor  # noqa: PLC0415

        checks = StartChecks(settings, cast("Any", reactor), layers.environment)
        try:
            checks.run()
            if options.pull:
                pulled = run_until_done(reactor, Deferred.fromCoroutine(checks.pull()))
            summary = checks.summary()
        finally:
            checks.close()
        problems += checks.problems
    problems.sort(key=_position)
    is_good = not any(options.strict or not problem.is_warning for problem in problems)
    if options.json:
        report = {
            "ok": is_good,
            "problems": [asdict(problem) for problem in problems],
            "serves": summary,
            "pulled": [asdict(each) for each in pulled],
        }
        print(json.dumps(report, indent=2))
    else:
        _print(problems, summary if is_good else None, pulled)
    return 0 if is_good else 1


def _try_document(options: argparse.Namespace, settings: Settings | None, errors: list[ConfigurationError]) -> int:
    """Tries the document, prints the outcome, and gives the exit code."""
    if errors or settings is None:
        problems = sorted((Problem(error.place, error.why) for error in errors), key=_position)
        if options.json:
            print(json.dumps({"ok": False, "problems": [asdict(problem) for problem in problems]}, indent=2))
        else:
            _print(problems, None, [])
        return UNREADABLE
    tried = try_document(chosen_feed(options, settings.feeds), options.document, options.shown)
    if options.json:
        print(json.dumps(tried.to_json(), indent=2))
    else:
        print(*tried.lines(), sep="\n")
    return HELD if tried.is_held else int(options.strict and tried.has_warnings)


def _position(problem: Problem) -> tuple[str, int]:
    """Gives the position of a problem in a file, by which problems are shown."""
    found = _LINE.match(problem.place)
    return ("", 0) if found is None else (found[1], int(found[2]))


def _print(problems: list[Problem], summary: dict[str, Any] | None, pulled: list[Pulled]) -> None:
    for problem in problems:
        print(problem)
    for each in pulled:
        if each.version is not None:
            gate = "the gate accepts it" if each.why is None else f"the gate refuses it: {each.why}"
            print(f"feed {each.feed}: {each.bytes} bytes, version {each.version}: {gate}")
    if summary is None:
        return
    for feed in summary["feeds"]:
        print(f"feed {feed['feed']}: {feed['source']} every {feed['interval_s']:g} s")
        for rule, text in feed["rules"].items():
            print(f"  rule {rule}: {text}")
    for description in summary["listen"]:
        print(f"listens on {description}")
    for description in summary["admin"]:
        print(f"operator's port on {description}")
    for found in summary["certificates"]:
        names = ", ".join(found["names"]) or "no name"
        print(f"certificate {found['file']} for {names}, valid until {found['valid_until']}")
