"""``livefeed watch``: shows a document as it changes."""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import re
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from livefeed.cli.changes import changes, text_of
from livefeed.cli.connect_option import add_connect_option
from livefeed.cli.feed_url import FirstContact, feed_address, say
from livefeed.cli.tables import duration, held_back, printable
from livefeed.cli.token_file import token_in
from livefeed.cli.until import Condition, ConditionError
from livefeed.client.address import Address
from livefeed.client.token import Token
from livefeed.client.update import State
from livefeed.document.exact_json import DeltaError, decode, encode
from livefeed.exceptions import FollowError
from livefeed.extras import needed_extra

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import TextIO

    from livefeed.cli.changes import Change
    from livefeed.cli.screen import Screen
    from livefeed.client.update import Update

HELP = "show a document as it changes"
DESCRIPTION = (
    "Follows a feed, or a part of it: https://example.org/feed#/results/0. On a terminal the document is redrawn in "
    "place, with its changes, state, age and transport; otherwise each change is one line of JSON. The exit code is 0 "
    "after --once and --until, 1 after an error, 2 for a wrong command line, 3 if there is no document to show or the "
    "condition does not come true, and 130 after Ctrl-C."
)

NOT_REACHED = 3
"""The exit code if there is no document to show, or the condition does not come true."""

REDRAW_S = 0.25
"""The time between two redraws, for the age and the marks of changes."""

_USAGE = 2
_SIGNALLED = 128
# The characters that JSON may have as they are, and that terminals obey: C1 controls, line ends, directions of writing.
_COMMANDS = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_HIDDEN = (State.EXPIRED, State.WITHDRAWN, State.MISSING)


class Followed(Protocol):
    """A feed that is followed."""

    @property
    def age_s(self) -> float | None:
        """The age of the document now."""

    @property
    def waiting_s(self) -> float | None:
        """The time for which a newer document has been held back now; ``None`` if none waits."""

    @property
    def received_bytes(self) -> int:
        """The size of everything that has been received."""

    def __aiter__(self) -> AsyncIterator[Update[Any]]:
        """Gives the changes."""


class Output(Protocol):
    """The place where changes are shown."""

    def show(self, update: Update[Any], feed: Followed) -> None:
        """Shows an update."""

    def redraw(self, feed: Followed) -> None:
        """Shows the age anew."""

    def close(self) -> None:
        """Leaves the terminal as it was."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the subcommand."""
    parser.add_argument("url", metavar="URL[#POINTER]", help="the document, or a part of it by its JSON Pointer")
    parser.add_argument("--diff", action="store_true", help="show the changes only, one after the other")
    parser.add_argument("--once", action="store_true", help="show the document once, and exit")
    parser.add_argument(
        "--until",
        type=_condition,
        metavar="EXPR",
        help="exit with 0 as soon as a condition holds, such as '/counted >= 100' or '/winner' (is there)",
    )
    parser.add_argument("--timeout", type=_seconds, metavar="S", help="exit with 3 after this time")
    parser.add_argument("--wait", action="store_true", help="go on trying if the server cannot be reached at first")
    parser.add_argument("--json", action="store_true", help="print lines of JSON on a terminal, too")
    parser.add_argument("--poll", action="store_true", help="poll, without a WebSocket")
    add_connect_option(parser)
    parser.add_argument("--cacert", type=Path, metavar="FILE", help="PEM file of the authorities that are trusted")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="file with the token for a protected feed")
    parser.add_argument("--insecure", action="store_true", help="do not check the server's certificate")


def run(options: argparse.Namespace) -> int:
    """Follows the feed until the end, and gives the exit code.

    :raises LivefeedError: if the feed cannot be followed, or a package is missing.
    """
    try:
        address = Address.of(options.url, connect=options.connect)
    except FollowError as error:
        print(f"livefeed: {error}", file=sys.stderr)
        return _USAGE
    is_screen = sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not options.json
    # Before a server is asked: what is missing here is missing whatever it answers.
    with needed_extra("cli", "livefeed watch"):
        import_module("livefeed.client.asyncio")
    if is_screen:
        with needed_extra("cli", "livefeed watch without --json"):
            import_module("livefeed.cli.screen")
    began = time.monotonic()
    wait_s = (options.timeout or math.inf) if options.wait else 0.0
    try:
        address = feed_address(options.url, address, options.cacert, verify=not options.insecure, wait_s=wait_s)
    except FollowError as error:
        if not wait_s or time.monotonic() - began < wait_s:
            raise
        say(str(error))
        return NOT_REACHED
    except KeyboardInterrupt:
        return _SIGNALLED + signal.SIGINT
    left_s = None if options.timeout is None else max(0.0, options.timeout - (time.monotonic() - began))
    if options.token_file is not None:
        # Before anything is shown: a wrong file is a mistake of the command line.
        Token.of(token_in(options.token_file), address)
    output = _screen(address.url, options) if is_screen else Lines(sys.stdout, is_diff=options.diff)
    if options.insecure and address.is_secure:
        print("livefeed: the certificate is not checked: anybody on the way can change the document", file=sys.stderr)
    try:
        return asyncio.run(_follow(address.named_url, options, output, left_s))
    finally:
        output.close()


async def _follow(url: str, options: argparse.Namespace, output: Output, left_s: float | None) -> int:
    """Follows the feed until it ends, a condition holds, the time is over, or a signal comes."""
    from livefeed.client.asyncio import follow  # noqa: PLC0415 - the module takes long to import

    watching = asyncio.ensure_future(
        _watch(
            follow(
                url,
                parse=_read,
                cacert=options.cacert,
                verify=not options.insecure,
                websocket=not options.poll,
                token=None if options.token_file is None else partial(token_in, options.token_file),
                connect=options.connect,
            ),
            options,
            output,
        )
    )
    signals: list[int] = []

    def stop(number: int) -> None:
        signals.append(number)
        watching.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, partial(stop, number))
    try:
        async with asyncio.timeout(left_s):
            return await watching
    except TimeoutError:
        if options.until is not None or options.once:
            missed = "the condition did not come true" if options.until is not None else "no document came"
            print(f"livefeed: {printable(url)}: {missed} within {options.timeout:g} s", file=sys.stderr)
        return NOT_REACHED
    except asyncio.CancelledError:
        if not signals:
            raise
        return _SIGNALLED + signals[0]


async def _watch(feed: Any, options: argparse.Namespace, output: Output) -> int:
    async with feed:
        redrawing = asyncio.ensure_future(_redraw(feed, output))
        contact = FirstContact(options.wait)
        try:
            async for update in feed:
                contact.check(update)
                output.show(update, feed)
                code = _code_of(update, options)
                if code is not None:
                    return code
        finally:
            redrawing.cancel()
            with suppress(asyncio.CancelledError):
                await redrawing
    return 0


async def _redraw(feed: Followed, output: Output) -> None:
    while True:
        await asyncio.sleep(REDRAW_S)
        output.redraw(feed)


def _code_of(update: Update[Any], options: argparse.Namespace) -> int | None:
    """Gives the exit code if an update is the last one to be shown; ``None`` otherwise."""
    if update.content is not None and options.until is not None and options.until.holds(update.data):
        return 0
    if update.content is not None and options.once and options.until is None:
        return 0
    if options.once and (update.state in _HIDDEN or update.content is not None):
        return NOT_REACHED
    if update.state is State.ENDED:
        return 0 if options.until is None else NOT_REACHED
    return None


def _read(content: bytes) -> Any:
    """Reads a document with exact numbers.

    :raises FollowError: if it is nested too deeply, or is no JSON.
    """
    try:
        return decode(content)
    except (DeltaError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise FollowError(f"the document cannot be shown: {why}") from None


@dataclass(slots=True)
class Lines:
    """Lines of JSON, one for each change.

    :param stream: the output.
    :param is_diff: whether a line has the changes in place of the document.
    """

    # required parameters
    stream: TextIO
    is_diff: bool

    # internal state
    _last: Update[Any] | None = None

    def show(self, update: Update[Any], feed: Followed) -> None:
        """Output API."""
        last, self._last = self._last, update
        members: dict[str, Any] = {
            "state": update.state_name,
            "line": update.line.value,
            "version": update.version,
            "sequence": update.sequence,
            "at": update.at,
            "age_s": None if update.age_s is None else round(update.age_s, 3),
            "verified": update.verified,
            "received_bytes": feed.received_bytes,
        }
        if update.reason:
            members["reason"] = update.reason
        if update.waiting_s is not None:
            members["waiting_s"] = round(update.waiting_s, 3)
        if update.problem:
            members["problem"] = update.problem
        if not self.is_diff or last is None or last.content is None or update.content is None:
            members["data"] = update.data
        else:
            members["changes"] = [change.as_json() for change in changes(last.data, update.data)]
        # Only texts have such characters, and there they may be escaped.
        self.stream.write(_COMMANDS.sub(lambda match: f"\\u{ord(match[0]):04x}", encode(members).decode()))
        self.stream.write("\n")
        self.stream.flush()

    def redraw(self, feed: Followed) -> None:
        """Output API. Lines that were written stay."""

    def close(self) -> None:
        """Output API."""


@dataclass(slots=True)
class Redrawn:
    """A terminal on which the document is redrawn in place.

    :param screen: the content.
    :param is_once: whether the document is printed once, below what is there.
    :param is_diff: whether changes are printed, one after the other.
    """

    # required parameters
    screen: Screen
    is_once: bool
    is_diff: bool

    # internal state
    _live: Any = None
    _drawn: Any = ""
    _last: Update[Any] | None = None

    def show(self, update: Update[Any], feed: Followed) -> None:
        """Output API."""
        found = self.screen.take(update, time.monotonic())
        last, self._last = self._last, update
        if self.is_once:
            if update.content is not None or update.state in _HIDDEN:
                self.screen.console.print(self._rendered(feed, None))
        elif self.is_diff:
            self._print_changes(update, last, found)
        else:
            self.redraw(feed)

    def redraw(self, feed: Followed) -> None:
        """Output API."""
        if self.is_once or self.is_diff:
            return
        if self._live is None:
            from rich.live import Live  # noqa: PLC0415 - the module takes long to import

            self._live = Live(console=self.screen.console, screen=True, auto_refresh=False)
            self._live.start()
        self._drawn = self._rendered(feed, self.screen.console.height)
        self._live.update(self._drawn, refresh=True)

    def close(self) -> None:
        """Output API."""
        if self._live is not None:
            self._live.stop()
            self._live = None
            if self._last is not None and self._last.state is not State.WAITING:
                # The screen of its own is gone: the last state stays, below what is there.
                self.screen.console.print(self._drawn)

    def _rendered(self, feed: Followed, height: int | None) -> Any:
        return self.screen.render(feed.age_s, feed.received_bytes, time.monotonic(), height, feed.waiting_s)

    def _print_changes(self, update: Update[Any], last: Update[Any] | None, found: list[Change]) -> None:
        from rich.text import Text  # noqa: PLC0415 - the same

        console = self.screen.console
        clock = (update.at or "")[11:19] or "--:--:--"
        if last is None or _facts(last) != _facts(update):
            said = [clock, printable(update.state_name), str(update.line), f"age {duration(update.age_s)}"]
            said += [held_back(update.waiting_s, update.reason), printable(update.problem)]
            console.print(Text("  ".join(filter(None, said)), "bold"), soft_wrap=True)
        for change in found:
            text = Text.assemble(
                (f"{clock}  ", "dim"),
                (printable(change.pointer) or "(all)", "cyan"),
                f"  {text_of(change.old)} → ",
                (text_of(change.new), "bold"),
            )
            console.print(text, soft_wrap=True)


def _facts(update: Update[Any]) -> tuple[object, ...]:
    """Gives the facts besides the document whose changes are printed."""
    return update.state_name, update.line, update.problem, update.reason, update.waiting_s is None


def _screen(url: str, options: argparse.Namespace) -> Output:
    from rich.console import Console  # noqa: PLC0415 - the same

    from livefeed.cli.screen import Screen  # noqa: PLC0415 - the same

    return Redrawn(Screen(url, Console(highlight=False, emoji=False, markup=False)), options.once, options.diff)


def _condition(text: str) -> Condition:
    try:
        return Condition.of(text)
    except ConditionError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= 1e9:  # noqa: PLR2004 - thirty years
        raise argparse.ArgumentTypeError("the time is a number of seconds above 0")
    return seconds
