"""``livefeed plan``: estimates the network, processors and memory that a feed will take."""

from __future__ import annotations

import argparse
import json
import shlex
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from livefeed.cli.document_file import read_document
from livefeed.cli.numbers import MAX_DOCUMENT_BYTES, number_from, size_of, watchers_of
from livefeed.cli.plan_text import estimate_lines
from livefeed.document.gate import check_document
from livefeed.exceptions import CommandError, ConfigurationError, DocumentError, closest, shown
from livefeed.planning.estimate import Demand, estimate
from livefeed.planning.figures import Figures
from livefeed.planning.model import CHANGE, Model

if TYPE_CHECKING:
    from collections.abc import Mapping

HELP = "estimate the network, processors and memory that a feed will take"
DESCRIPTION = (
    "Estimates what livefeed will send, and how many processors and how much memory it will take, for a number of "
    "watchers, from the figures of its benchmarks. Each figure is a range, and each assumption is named. Nothing on "
    "this machine or in settings is looked at: `livefeed doctor` does that."
)

DEFAULT_MIX = "ws-v2-deflated=90,poll-br=10"
"""Pages with livefeed.js, of which one in ten is behind something that lets no WebSocket through."""

MAX_HOURS = 24 * 366
MAX_INTERVAL_S = 3600.0
MIN_INTERVAL_S = 0.05
_WHOLE = 100.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the subcommand."""
    parser.add_argument(
        "document", nargs="?", metavar="DOCUMENT", help="a document of the feed (JSON), whose size counts"
    )
    parser.add_argument(
        "--bytes", type=size_of, metavar="N", help="the size of the document [default: that of DOCUMENT]"
    )
    parser.add_argument("--watchers", type=watchers_of, default=10_000, metavar="N", help="watchers [default: 10000]")
    parser.add_argument(
        "--interval",
        type=number_from(MIN_INTERVAL_S, MAX_INTERVAL_S),
        default=1.0,
        metavar="S",
        help="seconds from one version to the next [default: 1]",
    )
    parser.add_argument(
        "--change",
        type=number_from(0, _WHOLE),
        default=CHANGE * _WHOLE,
        metavar="PERCENT",
        help=f"the part of the document that changes in a version [default: {CHANGE * _WHOLE:g}]",
    )
    parser.add_argument(
        "--mix",
        default=DEFAULT_MIX,
        metavar="WAY=PERCENT,...",
        help=f"the ways by which watchers follow [default: {DEFAULT_MIX}]",
    )
    parser.add_argument(
        "--hours",
        type=number_from(0, MAX_HOURS),
        default=8.0,
        metavar="H",
        help="the length of the night [default: 8]",
    )
    parser.add_argument("--ways", action="store_true", help="list the ways to follow, and end")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(options: argparse.Namespace) -> int:
    """Prints the estimate.

    :raises MissingFiguresError: if there are no figures.
    :raises CommandError: if the file cannot be read, or has no document.
    """
    model = Model.of(Figures.read())
    if options.ways:
        for way in model.ways.values():
            print(f"{way.name:<16}{way.text}")
        return 0
    try:
        # Before a document is asked for.
        mix = mix_of(options.mix, model)
    except ConfigurationError as error:
        options.fail(str(error))
    demand = Demand(
        watchers=options.watchers,
        document_bytes=options.bytes or _document_bytes(options),
        interval_s=options.interval,
        mix=mix,
        change=options.change / _WHOLE,
        hours=options.hours,
    )
    found = estimate(model, demand)
    if options.json:
        report: dict[str, Any] = {"demand": asdict(demand), "estimate": asdict(found), "estimated": model.estimated}
        print(json.dumps(report, indent=2))
    else:
        print(*estimate_lines(model, demand, found), sep="\n")
    return 0


def _document_bytes(options: argparse.Namespace) -> int:
    """Gives the size of the document.

    :raises CommandError: if the file cannot be read, or has no document.
    """
    name = options.document
    if name is None:
        options.fail("name a document, or its size with --bytes")
    instead = (
        "plan takes a document of the feed, or its size with --bytes; "
        f"`livefeed doctor {shlex.quote(name)}` takes settings"
    )
    data = read_document(name, MAX_DOCUMENT_BYTES, instead)
    try:
        check_document(data, max_bytes=MAX_DOCUMENT_BYTES)
    except DocumentError as error:
        raise CommandError(f"{name}: {error}") from None
    return len(data)


def mix_of(text: str, model: Model) -> Mapping[str, float]:
    """Reads a mix of ways.

    :param text: such as ``ws=90,poll=10``; percentages that are together 100. One way alone needs none.
    :returns: the part of each way.
    :raises ConfigurationError: if it is none.
    """
    shares: dict[str, float] = {}
    for part in text.split(","):
        name, has_share, share = part.strip().partition("=")
        if name not in model.ways:
            hint = closest(name, model.ways)
            raise ConfigurationError(f"{shown(name)}: there is no such way{hint}; --ways lists all", "mix")
        if name in shares:
            raise ConfigurationError(f"{name}: is there twice", "mix")
        shares[name] = _share(part, share) if has_share else _WHOLE
    total = sum(shares.values())
    if round(total, 6) != _WHOLE:
        raise ConfigurationError(f"the percentages are together {total:g}, and must be 100", "mix")
    return {name: share / _WHOLE for name, share in shares.items()}


def _share(part: str, text: str) -> float:
    """Reads the percentage of a way.

    :raises ConfigurationError: if it is none.
    """
    try:
        return number_from(0, _WHOLE)(text)
    except argparse.ArgumentTypeError:
        raise ConfigurationError(f"{shown(part)}: is not WAY=PERCENT, such as ws=90", "mix") from None
