"""``livefeed bench``: puts load on a server, and measures it."""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import signal
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from livefeed.cli.bench_text import Progress, summary_lines
from livefeed.cli.connect_option import add_connect_option
from livefeed.cli.tables import Painter, columns_of, printable
from livefeed.cli.token_file import token_in
from livefeed.client.feed_list import MAX_LISTED
from livefeed.client.token import Token
from livefeed.exceptions import FollowError, LivefeedError, shown
from livefeed.load.addresses import address_of, resolved, sources_for
from livefeed.load.clock import SAMPLES, Offset, offset_of
from livefeed.load.fleet import Fleet
from livefeed.load.kinds import EXPLAINED, POLLERS, Kind, MixError, mix_of, shares
from livefeed.load.limits import MAX_CONNECTIONS, MAX_PROCESSES, check_open_files
from livefeed.load.plan import Plan, divided
from livefeed.load.plot import plot
from livefeed.load.probe import Probed, ask_once, listed_feeds
from livefeed.load.summary import Setup, summary_of
from livefeed.load.thresholds import Thresholds, TimeTextError, seconds_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from livefeed.cli.tables import Colour
    from livefeed.client.address import Address
    from livefeed.load.addresses import Target
    from livefeed.load.fleet import Result

HELP = "put load on a server, and measure it"
DESCRIPTION = (
    "Puts many watchers on a feed, or on any document of any server, and shows how many answers and deliveries they "
    "get, and how fast. Without --rate, each poller asks again as soon as it has an answer (a closed loop). With it, "
    "requests fall due at a fixed rate, and latency counts from then, whether the server kept up or not (an open "
    "loop). A time T has a unit: us, ms, s, m (minutes) or h, such as 250ms, 0.2s or 2m. A rate R is a number per "
    "second. The exit code is 0; 1 if a limit is missed, or the run cannot be made; 2 for a wrong command line; 130 "
    "after Ctrl-C, which shows the figures so far."
)
_WIDTH = 78
_KINDS = "\n".join(["kinds of watchers:", *(f"  {kind:<12} {text}" for kind, text in EXPLAINED.items())])

DEFAULT_S = 10.0
"""The time in seconds of a run without ``-n`` and ``--duration``."""

ARRIVALS_PER_S = 1000
"""The watchers that arrive in a second without ``--ramp``: a server has to make a handshake for each."""

MAX_WAIT_S = 3600
"""The longest time in seconds that long polls may ask to wait."""

MAX_DURATION_S = 86_400.0
MAX_REQUESTS = 10**12

MISSED, USAGE = 1, 2
_SIGNALLED = 128
_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}):[ \t]*([\x20-\x7e\t]{0,8192})")
_OWN_FIELDS = frozenset({"host", "connection", "content-length", "transfer-encoding", "upgrade"})


class UsageError(LivefeedError):
    """The command line asks for a run that cannot be made. The message says what to change."""


class Interrupted(Exception):  # noqa: N818 - it is no error
    """A signal has come."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the subcommand."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description, parser.epilog = textwrap.fill(DESCRIPTION, _WIDTH), _KINDS
    parser.add_argument("url", metavar="URL", help="the document, such as http://localhost:8080/feed")
    run = parser.add_argument_group("the run")
    run.add_argument(
        "-n", "--requests", type=_whole(MAX_REQUESTS), metavar="N", help="end after so many answers and deliveries"
    )
    run.add_argument("--duration", type=_time, metavar="T", help="end after this time, such as 30s (10s without -n)")
    run.add_argument(
        "-c", "--connections", type=_whole(MAX_CONNECTIONS), default=50, metavar="N", help="watchers (default: 50)"
    )
    run.add_argument(
        "-t",
        "--processes",
        type=_whole(MAX_PROCESSES),
        default=1,
        metavar="N",
        help="processes, as cores are free (default: 1)",
    )
    run.add_argument("-k", "--keep-alive", action="store_true", help="pollers keep their connections")
    run.add_argument(
        "--rate", type=_rate, metavar="R", help="requests per second of all pollers together: an open loop"
    )
    run.add_argument("--ramp", type=_time, metavar="T", help="watchers arrive in this time (default: 1,000 per second)")
    run.add_argument(
        "--timeout", type=_time, default=10.0, metavar="T", help="for a connection and an answer (default: 10s)"
    )
    watchers = parser.add_argument_group("the watchers")
    watchers.add_argument(
        "--mix",
        type=_mix,
        default={Kind.POLL: 1},
        metavar="KIND=WEIGHT,...",
        help="such as ws, or poll=80,ws=20 (default: poll)",
    )
    watchers.add_argument(
        "--wait",
        type=_wait,
        default=25,
        metavar="T",
        help="for which long polls wait, in whole seconds (default: 25s)",
    )
    watchers.add_argument("--verify", action="store_true", help="compare each document with its version")
    watchers.add_argument(
        "--time-at",
        metavar="POINTER",
        help="JSON Pointer to a time in the document, for delays on servers that name none",
    )
    requests = parser.add_argument_group("requests and TLS")
    requests.add_argument(
        "--header", type=_field, action="append", default=[], metavar="'NAME: VALUE'", help="a field of each request"
    )
    requests.add_argument("--origin", type=_origin, metavar="ORIGIN", help="the origin of the page that asks")
    requests.add_argument("--token-file", type=Path, metavar="FILE", help="file with the token for a protected feed")
    add_connect_option(requests)
    requests.add_argument("--cacert", type=Path, metavar="FILE", help="PEM file of the authorities that are trusted")
    requests.add_argument("--insecure", action="store_true", help="do not check the server's certificate")
    requests.add_argument("--no-resume", action="store_true", help="make a full TLS handshake for each connection")
    limits = parser.add_argument_group("limits that make the exit code 1")
    limits.add_argument(
        "--max-p99", type=_time, metavar="T", help="99 of 100 answers to each kind of watcher take no longer"
    )
    limits.add_argument(
        "--max-delay-p99", type=_time, metavar="T", help="99 of 100 deliveries to each kind come no later"
    )
    limits.add_argument("--min-rate", type=_rate, metavar="R", help="answers and deliveries per second")
    limits.add_argument("--max-errors", type=_count, metavar="N", help="errors, and answers with a status from 400 on")
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print all figures as one JSON object")
    output.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw the course of the run")
    output.add_argument("--quiet", action="store_true", help="no line each second on standard error")
    output.add_argument(
        "--i-may-load", metavar="HOST", help="the host of the URL again, if it is not this machine: you may load it"
    )


def run(options: argparse.Namespace) -> int:
    """Makes the run, and gives the exit code.

    :raises LivefeedError: if the server does not answer, or a file cannot be read or written.
    """
    try:
        address = _address(options)
        target = resolved(address)
        _check_permission(options, target)
        plan = _plan(options, address, target)
        if options.plot is not None:
            _check_plot(options.plot)
    except UsageError as error:
        return _wrong_use(error)
    if options.insecure and target.is_secure:
        _tell("the certificate is NOT checked: the figures may be those of anybody on the way", "bad")
    previous = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        plan, address, probed = _document(plan, address)
        plan, setup = _with_probe(options, plan, address, probed)
        return _measure(options, plan, setup)
    except UsageError as error:
        return _wrong_use(error)
    except Interrupted as interruption:
        return _SIGNALLED + interruption.number
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _wrong_use(error: UsageError) -> int:
    _tell(str(error), "plain")
    return USAGE


def _address(options: argparse.Namespace) -> Address:
    """Reads the URL, and the place to connect to.

    :raises UsageError: if it is none.
    """
    try:
        return address_of(options.url, options.connect)
    except FollowError as error:
        raise UsageError(str(error)) from None


def _measure(options: argparse.Namespace, plan: Plan, setup: Setup) -> int:
    is_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    progress = Progress(sys.stderr, is_terminal, setup, columns_of(sys.stderr))
    interruption: Interrupted | None = None
    with Fleet(divided(plan, setup.processes)) as fleet:
        try:
            result = fleet.run((lambda _: None) if options.quiet else progress.show)
        except Interrupted as error:
            interruption = error
            # A second signal ends the command at once.
            result = fleet.stop()
        finally:
            if not options.quiet:
                progress.close()
    missed = Thresholds(
        max_p99_s=options.max_p99,
        max_delay_p99_s=options.max_delay_p99,
        min_rate=options.min_rate,
        max_errors=options.max_errors,
    ).missed(result)
    if (
        not any(each.answers or each.deliveries or each.connects for each in result.figures.values())
        and not interruption
    ):
        missed.append("nothing was answered")
    if options.json:
        print(json.dumps(summary_of(setup, result, missed, is_interrupted=interruption is not None)))
    else:
        painter = Painter.of(sys.stdout)
        print("\n".join(summary_lines(painter, setup, result, missed)))
    if options.plot is not None:
        _write_plot(options.plot, setup, result)
    if interruption is not None:
        return _SIGNALLED + interruption.number
    return MISSED if missed else 0


def _plan(options: argparse.Namespace, address: Address, target: Target) -> Plan:
    """Makes the task of all processes together.

    :raises UsageError: if it cannot be done.
    :raises FollowError: if the token cannot be read.
    """
    watchers = shares(options.mix, options.connections)
    pollers = sum(watchers.get(kind, 0) for kind in POLLERS)
    if options.rate is not None and not pollers:
        raise UsageError(
            "--rate is about pollers, and the mix has none: others are sent documents when there are new ones"
        )
    if options.processes > options.connections:
        raise UsageError(f"-t {options.processes} is more than the {options.connections} watchers (-c)")
    fields = dict(options.header)
    if options.origin is not None:
        fields["Origin"] = options.origin
    if options.token_file is not None:
        token = Token.of(token_in(options.token_file), address)
        assert token is not None
        fields |= token.fields()
    try:
        check_open_files(options.connections, options.processes, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        sources = sources_for(target, options.connections)
    except FollowError as error:
        raise UsageError(str(error)) from None
    has_end = options.requests is not None
    return Plan(
        target=target,
        watchers=watchers,
        duration_s=options.duration or (None if has_end else DEFAULT_S),
        requests=options.requests,
        rate=options.rate,
        ramp_s=options.ramp if options.ramp is not None else options.connections / ARRIVALS_PER_S,
        is_kept=options.keep_alive,
        timeout_s=options.timeout,
        wait_s=options.wait,
        fields=fields,
        cacert=None if options.cacert is None else str(options.cacert),
        checks_certificate=not options.insecure,
        is_resumed=not options.no_resume,
        verifies=options.verify,
        time_pointer=options.time_at,
        sources=sources,
    )


def _document(plan: Plan, address: Address) -> tuple[Plan, Address, Probed]:
    """Asks once for the document, which is the only feed for a user who names the start page of a livefeed.

    :raises UsageError: if the URL is that of another page of a livefeed, or it has several feeds.
    :raises FollowError: if there is no answer, or it is a refusal.
    """
    probed = ask_once(plan, address)
    paths = listed_feeds(plan, address) if probed.is_page else []
    if not paths:
        return plan, address, probed
    if len(paths) == 1 and address.target == "/":
        plan, address = replace(plan, target=replace(plan.target, path=paths[0])), replace(address, target=paths[0])
        return plan, address, ask_once(plan, address)
    found = ", ".join(replace(address, target=path).url for path in paths[:MAX_LISTED])
    raise UsageError(f"{address.url} is a page of livefeed, and no document: name one of its feeds: {found}")


def _with_probe(options: argparse.Namespace, plan: Plan, address: Address, probed: Probed) -> tuple[Plan, Setup]:
    """Completes the task by what the first answer tells, and gives the conditions of the run."""
    notes = []
    if probed.is_page:
        notes.append("the answer is a page (text/html): is this the URL of the document?")
    if plan.rate is None and plan.is_kept is False and any(kind in POLLERS for kind in plan.watchers):
        notes.append("each request makes a new connection; -k keeps connections, as browsers do")
    is_local = plan.target.is_loopback
    has_times = probed.is_livefeed or plan.time_pointer is not None
    offset = None if is_local or not has_times else _clock_of(plan, address, probed)
    plan = replace(
        plan,
        has_reference=probed.is_livefeed and not {Kind.WS_DELTA1, Kind.WS_DELTA2}.issuperset(plan.watchers),
        clock_offset_ns=0 if offset is None else offset.estimate_ns,
    )
    return plan, Setup(
        url=plan.target.url,
        server=probed.server,
        document_bytes=len(probed.content),
        watchers=plan.watchers,
        processes=options.processes,
        is_kept=plan.is_kept,
        rate=plan.rate if any(kind in POLLERS for kind in plan.watchers) else None,
        duration_s=plan.duration_s,
        requests=plan.requests,
        offset=offset,
        is_local=is_local,
        notes=notes,
    )


def _clock_of(plan: Plan, address: Address, probed: Probed) -> Offset | None:
    """Estimates the clock of a server on another machine, in up to a dozen seconds."""
    offset = offset_of(probed.head.text(b"date"), probed.sent_ns, probed.received_ns)
    for _ in range(SAMPLES - 1):
        if offset is None:
            break
        now_ns = time.time_ns()
        time.sleep((offset.best_moment_ns(now_ns) - now_ns) / 1e9)
        probed = ask_once(plan, address)
        found = offset_of(probed.head.text(b"date"), probed.sent_ns, probed.received_ns)
        offset = None if found is None else offset.narrowed(found)
    return offset


def _check_permission(options: argparse.Namespace, target: Target) -> None:
    """Refuses to load another machine unless its host is named twice: a load test can take a server down.

    :raises UsageError: if it is not.
    """
    if target.is_loopback or (options.i_may_load or "").lower() == target.name.lower():
        return
    raise UsageError(
        f"{printable(target.name)} ({target.ip}) is not this machine. A load test can make a server, and the networks "
        "on the way, fail for everybody. If it is yours, or its owner has agreed, say so: "
        f"--i-may-load {printable(target.name)}"
    )


def _check_plot(path: Path) -> None:
    """Refuses a plot that could not be written at the end of the run.

    :raises UsageError: if it could not.
    """
    if path.suffix != ".svg":
        raise UsageError(f"--plot: {path}: the picture is an SVG: name a file that ends in .svg")
    if path.is_dir() or not path.parent.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise UsageError(f"--plot: {path}: cannot be written")


def _write_plot(path: Path, setup: Setup, result: Result) -> None:
    try:
        path.write_text(plot(setup, result), "utf-8")
    except OSError as error:
        raise LivefeedError(f"{path}: {error.strerror}") from None


def _tell(text: str, colour: Colour) -> None:
    painter = Painter.of(sys.stderr)
    print("\n".join(painter.fold(f"livefeed bench: {text}", colour, indent=2)), file=sys.stderr)


def _interrupt(number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_DFL)
    raise Interrupted(number)


def _time(text: str) -> float:
    try:
        seconds = seconds_of(text)
    except TimeTextError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if seconds > MAX_DURATION_S:
        raise argparse.ArgumentTypeError(f"{text} is more than a day")
    return seconds


def _wait(text: str) -> int:
    seconds = _time(text)
    if seconds != int(seconds) or seconds > MAX_WAIT_S:
        raise argparse.ArgumentTypeError(f"{text} is no whole number of seconds up to {MAX_WAIT_S}s")
    return int(seconds)


def _mix(text: str) -> dict[Kind, int]:
    try:
        return mix_of(text)
    except MixError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = 0.0
    if not 0 < rate <= 1e9:  # noqa: PLR2004 - more than any machine answers
        raise argparse.ArgumentTypeError(f"{shown(text)} is no rate: write a number per second, such as 5000")
    return rate


def _whole(highest: int) -> Callable[[str], int]:
    """Gives a function that reads a whole number from 1 to a limit."""

    def read(text: str) -> int:
        # The length comes first: Python refuses to read thousands of digits with a message of its own.
        is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(highest))
        if not (is_number and 0 < int(text) <= highest):
            raise argparse.ArgumentTypeError(f"{shown(text)} is no whole number from 1 to {highest:,}")
        return int(text)

    return read


def _count(text: str) -> int:
    return 0 if text == "0" else _whole(MAX_REQUESTS)(text)


def _field(text: str) -> tuple[str, str]:
    found = _FIELD.fullmatch(text)
    if found is None:
        # The value may be a secret.
        raise argparse.ArgumentTypeError("a field is written 'Name: value', in printable ASCII")
    if found[1].lower() in _OWN_FIELDS:
        raise argparse.ArgumentTypeError(f"{found[1]} is set by the command itself")
    return found[1], found[2]


def _origin(text: str) -> str:
    return _field(f"Origin: {text}")[1]
