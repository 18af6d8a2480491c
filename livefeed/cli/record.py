"""``livefeed record``: records all versions of a feed in a file, until Ctrl-C, the end of a time, or the feed's end."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import signal
import sys
import time
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from livefeed import __version__, clocks
from livefeed.cli.connect_option import add_connect_option
from livefeed.cli.feed_url import FirstContact, feed_address
from livefeed.cli.operator_client import ChoiceError, OperatorClient
from livefeed.cli.operator_options import FAILED, WRONG_USE, add_instance_arguments, chosen_socket, exit_code_of
from livefeed.cli.record_session import Session
from livefeed.cli.tables import count, counted, duration, printable
from livefeed.cli.token_file import token_in
from livefeed.client.address import Address
from livefeed.client.token import Token
from livefeed.client.update import Line, State
from livefeed.document.recording import MAX_DOCUMENT_BYTES
from livefeed.exceptions import CommandError, FollowError, LivefeedError, RecordingError
from livefeed.extras import needed_extra
from livefeed.process.descriptions import port_of
from livefeed.storage.recorder import Recorder
from livefeed.storage.recording_time import span_of

if TYPE_CHECKING:
    from livefeed.client.update import Update

HELP = "record all versions of a feed in a file"
DESCRIPTION = (
    "Follows a feed by its URL, or a feed of a livefeed on this machine by its name, and writes each version to a file "
    "as soon as it comes. It connects again after each interruption, and ends at Ctrl-C, after --for, or when the feed "
    "has ended. Exit codes: 0 done; 1 the feed cannot be followed, no version has come, or one could not be written; 2 "
    "the command line is wrong; 3 no livefeed runs there."
)

SYNC_S = 10.0
"""Seconds of a recording that a loss of power can cost. The end of the process costs nothing."""

MAX_BYTES = 16 * 1024 * 1024 * 1024
"""Size in bytes at which a recording ends, unless --max-bytes says otherwise: a year of the demonstration."""

PROGRESS_S, TERMINAL_PROGRESS_S = 60.0, 1.0
"""Seconds from one line of progress to the next, in a log and on a terminal."""

_STATUS_S = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the subcommand."""
    parser.add_argument("feed", metavar="URL|FEED", help="the URL of the document, or the name of a feed here")
    parser.add_argument("file", type=Path, metavar="FILE", help="the file to write, which must not be there")
    parser.add_argument(
        "--for", dest="for_s", type=_span, metavar="TIME", help="end after this time, such as 1h or 90m"
    )
    parser.add_argument("--wait", action="store_true", help="go on trying if the server cannot be reached at first")
    parser.add_argument("--append", action="store_true", help="go on with a recording, if there is one")
    parser.add_argument(
        "--max-bytes", type=_bytes, default=MAX_BYTES, metavar="N", help="end at this size [default: 16 GiB]"
    )
    parser.add_argument("--poll", action="store_true", help="poll, without a WebSocket: versions can be missed")
    add_connect_option(parser)
    parser.add_argument("--cacert", type=Path, metavar="FILE", help="PEM file of the authorities that are trusted")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="file with the token for a protected feed")
    parser.add_argument("--insecure", action="store_true", help="do not check the server's certificate")
    parser.add_argument("--json", action="store_true", help="print a report in JSON at the end")
    add_instance_arguments(parser.add_mutually_exclusive_group())


def _span(text: str) -> float:
    try:
        return span_of(text)
    except RecordingError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _bytes(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > len(str(2**62)):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of bytes")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Records the feed, and gives the exit code.

    :raises MissingExtraError: if a package is missing.
    """
    with needed_extra("cli", "livefeed record"):
        # Before a file is made.
        import_module("livefeed.client.asyncio")
    try:
        url, verify = _url(options)
        address = Address.of(url, connect=options.connect)
        if options.token_file is not None:
            # Before a file is made: a wrong file of the token is a mistake of the command line.
            Token.of(token_in(options.token_file), address)
    except CommandError as error:
        print(f"livefeed: {error}", file=sys.stderr)
        return exit_code_of(error)
    except FollowError as error:
        print(f"livefeed: {error}", file=sys.stderr)
        return WRONG_USE
    try:
        wait_s = (options.for_s or math.inf) if options.wait else 0.0
        address = feed_address(url, address, options.cacert, verify=verify, wait_s=wait_s)
    except KeyboardInterrupt:
        print("livefeed: nothing was recorded: the server was not reached", file=sys.stderr)
        return FAILED
    name = address.path.rpartition("/")[2] or address.host
    recorder = Recorder(options.file)
    start = partial(recorder.begin, feed=name, source=address.url, by=f"livefeed {__version__}")
    if options.append and os.path.lexists(options.file):
        recorder.resume(name)
    else:
        recorder.check()
    display = _Display(printable(name), printable(str(options.file)), sys.stderr.isatty())
    session = Session(recorder, start, clocks.monotonic, clocks.wall, display.tell)
    why = ""
    try:
        why = asyncio.run(_record(address.named_url, options, session, display, verify=verify))
    except LivefeedError as error:
        display.tell(str(error))
        return FAILED
    finally:
        # In any case, and after the last version: without the end, the recording would look interrupted.
        is_ended = session.end()
        display.clear()
    if not session.is_heard:
        display.tell(f"nothing was recorded: {why}, and no version has come{display.problem}")
        return FAILED
    _report(options, session, why)
    return FAILED if session.lost or not is_ended else 0


def _url(options: argparse.Namespace) -> tuple[str, bool]:
    """Gives the URL to follow, and whether the server's certificate is checked.

    :raises CommandError: if a name was given, and no such feed can be followed on this machine; a
        :class:`ChoiceError` if a place to connect to was given with it.
    """
    if "://" in options.feed:
        return options.feed, not options.insecure
    if options.connect is not None:
        # The certificate of a feed on this machine is not checked.
        raise ChoiceError("--connect takes the URL of a feed, and not the name of one on this machine")
    path = chosen_socket(options)
    report = OperatorClient(path, _STATUS_S).get("/status").report()
    names = [str(each.get("name")) for each in report.get("feeds", [])]
    if options.feed not in names:
        raise CommandError(f"there is no feed {options.feed!r} there; there are {', '.join(map(printable, names))}")
    for wanted in ("http", "https"):
        for description in report.get("listen", []):
            found = port_of(str(description))
            if found is not None and found[0] == wanted:
                host = _host_of(str(description))
                # The certificate is for another name, and the connection does not leave this machine.
                return f"{wanted}://{host}:{found[1]}/{options.feed}", False
    raise CommandError("that livefeed listens on no port of this machine by itself; give the URL of the feed")


def _host_of(description: str) -> str:
    """Gives the address of this machine at which an endpoint can be reached."""
    _, found, rest = description.partition(":interface=")
    address = rest.replace("\\:", "\0").partition(":")[0].replace("\0", ":") if found else ""
    if address in ("", "0.0.0.0", "::"):
        return "localhost"
    return f"[{address}]" if ":" in address else address


async def _record(url: str, options: argparse.Namespace, session: Session, display: _Display, *, verify: bool) -> str:
    """Records until the end, and gives the reason for it."""
    from livefeed.client.asyncio import follow  # noqa: PLC0415 - an extra

    feed = follow(
        url,
        parse=bytes,
        cacert=options.cacert,
        verify=verify,
        max_bytes=MAX_DOCUMENT_BYTES,
        websocket=not options.poll,
        connect=options.connect,
        token=None if options.token_file is None else partial(token_in, options.token_file),
    )
    feed.observe(session.take)
    following = asyncio.ensure_future(_follow(feed, options, session, display))
    reasons: list[str] = []

    def stop(reason: str) -> None:
        reasons.append(reason)
        following.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, partial(stop, "a signal asked for it"))
    others = [asyncio.ensure_future(each) for each in (_keep_safe(session), _show_progress(display, session, feed))]
    try:
        async with asyncio.timeout(options.for_s):
            return await following
    except TimeoutError:
        return "the time is over"
    except asyncio.CancelledError:
        if not reasons:
            raise
        return reasons[0]
    finally:
        for each in others:
            each.cancel()
        await asyncio.gather(*others, return_exceptions=True)


async def _follow(feed: Any, options: argparse.Namespace, session: Session, display: _Display) -> str:
    """Follows the feed until it has ended or the file is large enough. The observer of the feed writes."""
    async with feed:
        contact = FirstContact(options.wait)
        async for update in feed:
            contact.check(update)
            display.show(update)
            if session.refusal is not None:
                raise session.refusal
            if update.state is State.ENDED:
                return "the feed has ended"
            if session.recorder.size >= options.max_bytes:
                return f"the file has {options.max_bytes} bytes"
    return "the feed is not followed any more"


async def _keep_safe(session: Session) -> None:
    synced = 0
    while True:
        await asyncio.sleep(SYNC_S)
        size = session.recorder.size
        # In a thread: a slow disk would hold up the connection.
        if size != synced and await asyncio.to_thread(session.sync):
            synced = size


async def _show_progress(display: _Display, session: Session, feed: Any) -> None:
    while True:
        await asyncio.sleep(TERMINAL_PROGRESS_S if display.is_terminal else PROGRESS_S)
        display.progress(session, feed.age_s)


@dataclass(slots=True)
class _Display:
    """Lines for the operator, on standard error.

    :ivar name: the name of the feed.
    :ivar file: the name of the file.
    :ivar is_terminal: whether progress is shown in place.
    """

    # required parameters
    name: str
    file: str
    is_terminal: bool

    # internal state
    _last: tuple[str, Line, str] | None = None
    _has_progress: bool = False

    def tell(self, text: str) -> None:
        """Shows a line."""
        self.clear()
        print(f"livefeed: {self.file}: {text}", file=sys.stderr, flush=True)

    @property
    def problem(self) -> str:
        """Why the line is not open, behind a colon; ``""`` if it is."""
        return f": {printable(self._last[2])}" if self._last is not None and self._last[2] else ""

    def show(self, update: Update[Any]) -> None:
        """Shows a change of the state or of the line."""
        now = (update.state_name, update.line, update.problem)
        if now == self._last or (update.state is State.WAITING and not update.problem):
            return
        self._last = now
        self.clear()
        why = f": {printable(update.problem)}" if update.problem else ""
        line = "connected" if update.line is Line.OPEN else update.line.value
        print(
            f"{time.strftime('%H:%M:%S')}  {self.name} is {printable(now[0])}, {line}{why}", file=sys.stderr, flush=True
        )

    def progress(self, session: Session, age_s: float | None) -> None:
        """Shows how far the recording is."""
        place = session.recorder.place
        text = (
            f"{time.strftime('%H:%M:%S')}  {counted(place.versions, 'version')}, {count(session.recorder.size)} bytes, "
            f"{session.state or 'waiting'}, age {duration(age_s)}"
        )
        if self.is_terminal:
            self._has_progress = True
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Removes the progress from a terminal."""
        if self._has_progress:
            self._has_progress = False
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _report(options: argparse.Namespace, session: Session, why: str) -> None:
    place = session.recorder.place
    if options.json:
        report = {
            "file": str(options.file),
            "written": session.written,
            "lost": session.lost,
            "versions": place.versions,
            "length_s": round(place.elapsed_s, 3),
            "bytes": session.recorder.size,
            "chain": place.chain.decode(),
            "why": why,
        }
        print(json.dumps(report), flush=True)
        return
    lost = f"; {count(session.lost)} could not be written" if session.lost else ""
    recorded = f"{counted(session.written, 'version')} {'was' if session.written == 1 else 'were'} recorded{lost}"
    # Of a recording that has gone on, or was written by another command before.
    all_of_it = f"; it has {count(place.versions)}" if place.versions != session.written else ""
    print(
        f"{printable(str(options.file))}: {recorded}{all_of_it} in {duration(place.elapsed_s)}; last hash "
        f"{place.chain.decode()}; ended since {why}",
        flush=True,
    )
