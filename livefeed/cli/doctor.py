"""``livefeed doctor``: shows what will limit livefeed on this machine, and the command that mends it."""

from __future__ import annotations

import json
import os
import platform
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from twisted.internet.defer import Deferred

from livefeed import __version__
from livefeed.checks import Problem, StartChecks
from livefeed.cli.doctor_text import report_lines
from livefeed.cli.numbers import watchers_of
from livefeed.cli.reactor import run_until_done
from livefeed.cli.server_options import add_server_options, settings_given
from livefeed.cli.settings_argument import METAVAR, add_settings_argument, refuse_document
from livefeed.cli.tables import printable, wants_colour
from livefeed.config.layers import from_file
from livefeed.config.settings import Layers, Settings
from livefeed.doctor.examination import Examination, Section
from livefeed.doctor.finding import LEVELS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from livefeed.exceptions import ConfigurationError

HELP = "show what will limit livefeed on this machine"
DESCRIPTION = (
    "Looks at open files, memory, processors, ports, tables of the kernel, OpenSSL, certificates, clock, folders and "
    "sources, as the settings need them for a number of watchers. Each line has a figure, and below everything that is "
    "not in order stands the command that mends it. Nothing is changed. The exit code is 1 if there is a problem: "
    "livefeed would not start, would have no document, or could not hold the watchers."
)

WATCHERS = 10_000
"""The number of watchers without the option."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the subcommand: those of ``twistd livefeed``, and a few of its own."""
    parser.usage = "%(prog)s [SETTINGS] [--watchers N] [--no-pull] [--json] [options of `twistd livefeed`]"
    add_settings_argument(parser, ", as --config")
    parser.add_argument(
        "--watchers",
        type=watchers_of,
        metavar="N",
        help=f"the watchers that the machine is to hold [default: --max-connections, or {WATCHERS}]",
    )
    parser.add_argument("--no-pull", action="store_true", help="do not ask the sources")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_server_options(parser)


def run(options: argparse.Namespace) -> int:
    """Does the checks, prints what was found, and gives the exit code.

    :raises ConfigurationError: if the file of settings cannot be read, or is none.
    """
    given = settings_given(options)
    if options.file is not None:
        if "config" in given:
            options.fail(f"{METAVAR} and --config are the same; give one of them")
        given["config"] = options.file
    layers = Layers(given, dict(os.environ), Path.cwd())
    file = given.get("config") or layers.environment.get("LIVEFEED_CONFIG")
    refuse_document(file, "livefeed doctor", "livefeed plan")
    if file is not None:
        # Without the file, the report would be about the defaults, which are not meant.
        from_file(file, layers.folder)
    settings, errors = layers.read_all()
    examination, sections = _examine(options, layers, settings or Settings(), errors, file)
    levels = {finding.level for section in sections for finding in section.findings}
    code = int("problem" in levels)
    if options.json:
        print(json.dumps(_report(sections, examination, ok=not code), indent=2))
        return code
    title = f"livefeed {__version__} on {platform.system()} {platform.release()}, for {examination.watchers:,} watchers"
    heads = [title, *_whose(examination, is_default=settings == Settings())]
    print(*report_lines(heads, sections, in_colour=wants_colour(sys.stdout, os.environ)), sep="\n")
    return code


def _examine(
    options: argparse.Namespace,
    layers: Layers,
    settings: Settings,
    errors: list[ConfigurationError],
    file: str | None,
) -> tuple[Examination, list[Section]]:
    """Does the checks. Settings with an error are replaced by their defaults."""
    # Imported here: it installs a reactor.
    from twisted.internet import reactor  # noqa: PLC0415

    watchers = options.watchers or settings.max_connections or WATCHERS
    examination = Examination(settings, watchers, layers.environment, file)
    start = StartChecks(settings, cast("Any", reactor), layers.environment)
    start.problems += [Problem(error.place, error.why) for error in errors]
    try:
        sections = examination.run(start)
        if not options.no_pull:
            sections.append(run_until_done(reactor, Deferred.fromCoroutine(examination.pull(start))))
    finally:
        start.close()
    return examination, [each for each in sections if each.findings]


def _whose(examination: Examination, *, is_default: bool) -> Iterator[str]:
    """Says whose settings and whose limits are shown: those of a livefeed that runs may be others."""
    if examination.file is not None:
        yield f"Settings: {printable(examination.file)}"
    elif is_default:
        yield f"Settings: the defaults; livefeed doctor {METAVAR} takes those of a file"
    else:
        yield "Settings: the defaults, with the options and variables that are given"
    if examination.process is not None:
        yield f"Limits: those of process {examination.process}, the livefeed that runs"


def _report(sections: list[Section], examination: Examination, *, ok: bool) -> dict[str, Any]:
    counts = {
        level: sum(finding.level == level for section in sections for finding in section.findings) for level in LEVELS
    }
    return {
        "ok": ok,
        "livefeed": __version__,
        "watchers": examination.watchers,
        "settings": examination.file,
        "process": examination.process,
        "counts": counts,
        "findings": [
            {"section": section.title, **asdict(finding)} for section in sections for finding in section.findings
        ],
    }
