"""``livefeed verify``: verifies that what watchers are shown is signed, and the newest version."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from livefeed.cli.connect_option import add_connect_option
from livefeed.cli.feed_url import feed_address
from livefeed.client.actions import Failed
from livefeed.client.address import Address
from livefeed.client.failures import tls_context
from livefeed.client.http import Requests
from livefeed.client.items import version_of
from livefeed.client.protocol import MAX_BYTES
from livefeed.client.trust import chosen_trust, trust_of
from livefeed.client.update import Line
from livefeed.client.verification import TOLERANCE_S, Trust, Verifier
from livefeed.clocks import monotonic, wall
from livefeed.document.public_keys import MAX_SET_BYTES, KeySetError
from livefeed.document.signature import SignatureError
from livefeed.exceptions import FollowError, LivefeedError
from livefeed.extras import needed_extra

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterable

    from livefeed.client.answers import Answer
    from livefeed.client.update import Update

HELP = "verify that a document is signed, and the newest one"
DESCRIPTION = (
    "Asks for a document, and verifies the signed statement that comes with it: that a trusted key has signed it, that "
    "it is about this feed and these bytes, and that it is of now. With --follow it goes on, as watchers do, and "
    "prints each change. Exit codes: 0 all was verified; 1 something was not, with the reason on standard error; 2 the "
    "command line is wrong; 3 the server has no answer to verify; 130 after Ctrl-C."
)

GOOD, REFUSED, WRONG_USE, NO_ANSWER = range(4)
"""The exit codes."""

MAX_TOLERANCE_S = 86_400.0
"""The largest difference in seconds between two clocks that a user can allow."""

_KEYS = "/-/keys"
_SIGNALLED = 128


class NoAnswerError(LivefeedError):
    """There is nothing to verify. The message says why."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the subcommand."""
    parser.add_argument("url", metavar="URL", help="the document, at livefeed itself or at a mirror")
    parser.add_argument(
        "--keys",
        metavar="FILE|URL",
        help="the public keys of the signer, as livefeed keys publish prints them [default: /-/keys of the server that "
        "is verified, which proves nothing about a mirror]",
    )
    parser.add_argument("--feed", metavar="NAME", default="", help="the name of the feed [default: the end of the URL]")
    parser.add_argument("--follow", action="store_true", help="go on until something cannot be verified, or Ctrl-C")
    parser.add_argument(
        "--tolerance",
        type=_seconds,
        default=TOLERANCE_S,
        metavar="S",
        help=f"seconds by which the clocks of this machine and of the signer may differ [default: {TOLERANCE_S:g}]",
    )
    add_connect_option(parser)
    parser.add_argument("--cacert", type=Path, metavar="FILE", help="PEM file of the authorities that are trusted")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= MAX_TOLERANCE_S:
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds up to {MAX_TOLERANCE_S:g}")
    return seconds


def run(options: argparse.Namespace) -> int:
    """Verifies the document, and gives the exit code."""
    try:
        address = Address.of(options.url, connect=options.connect)
        chosen_trust(Trust({}, ""), address, is_part="#" in options.url)
    except FollowError as error:
        print(f"livefeed: {error}", file=sys.stderr)
        return WRONG_USE
    if options.follow:
        # Before a server is asked: what is missing here is missing whatever it answers.
        with needed_extra("client", "livefeed verify --follow"):
            import_module("livefeed.client.asyncio")
    try:
        address = _feed_address(options, address)
        checking = Checking(address, options.cacert)
        trust = checking.trust(options.keys, options.feed, options.tolerance)
        print(checking.once(trust), flush=True)
        return _follow(address, options, trust) if options.follow else GOOD
    except NoAnswerError as error:
        print(f"livefeed: {error}", file=sys.stderr)
        return NO_ANSWER
    except (SignatureError, FollowError) as error:
        print(f"livefeed: {address.url} is NOT verified: {error}", file=sys.stderr)
        return REFUSED


def _feed_address(options: argparse.Namespace, address: Address) -> Address:
    try:
        return feed_address(options.url, address, options.cacert)
    except FollowError as error:
        raise NoAnswerError(str(error)) from None


@dataclass(frozen=True, slots=True)
class Checking:
    """One look at a document.

    :ivar address: the document.
    :ivar cacert: a PEM file with the authorities that are trusted, instead of those of the system.
    """

    address: Address
    cacert: Path | None = None

    def _tls(self, address: Address) -> ssl.SSLContext | None:
        return tls_context(address, self.cacert)

    def trust(self, keys: str | None, feed: str, tolerance_s: float) -> Trust:
        """Reads the keys.

        :param keys: a file, or a URL; ``None`` for those of the server.
        :raises NoAnswerError: if they cannot be had, or used.
        """
        if keys is None:
            print(
                "livefeed: the keys are those of the server itself: whoever can change its documents can change them, "
                "too; --keys names keys that you trust",
                file=sys.stderr,
            )
        place = replace(self.address, target=_KEYS).url if keys is None else keys
        try:
            content = self._content(place) if "://" in place else _read(Path(place))
            return trust_of(content, self.address, feed, tolerance_s)
        except KeySetError as error:
            raise NoAnswerError(f"{place}: {error}") from None

    def once(self, trust: Trust) -> str:
        """Asks for the document, and gives a line about it.

        :raises NoAnswerError: if there is no document.
        :raises SignatureError: if it cannot be verified.
        """
        answer = self._ask(self.address)
        if answer.status != 200:  # noqa: PLR2004
            raise NoAnswerError(f"{self.address.url} is answered with status {answer.status}: {answer.detail}")
        why = answer.why_no_document(self.address.url)
        if why:
            raise SignatureError(why)
        verifier, now = Verifier(trust), monotonic()
        verifier.take(answer.signed, answer.content, now)
        why = verifier.why_not_fresh(now)
        if why:
            raise SignatureError(why)
        found = verifier.newest
        assert found is not None
        statement = found.statement
        age_s = max(0, int(wall() - found.created))
        return (
            f"{self.address.url}: verified: version {version_of(answer.content)}, sequence {statement.sequence_text}, "
            f"{statement.state}; signed {age_s} s ago by {found.key_id}"
        )

    def _ask(self, address: Address) -> Answer:
        requests = Requests(address, self._tls(address), MAX_BYTES)
        answer = requests.get({})
        requests.close()
        if isinstance(answer, Failed):
            raise NoAnswerError(answer.why)
        return answer

    def _content(self, url: str) -> bytes:
        address = Address.of(url)
        if (address.host, address.port) == (self.address.host, self.address.port):
            address = replace(address, connect_to=self.address.connect_to)
        answer = self._ask(address)
        if answer.status != 200:  # noqa: PLR2004
            raise NoAnswerError(f"{url} is answered with status {answer.status}: there are no keys")
        return answer.content


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_SET_BYTES + 1)
    except OSError as error:
        raise NoAnswerError(f"{path}: {error.strerror}") from None


def _follow(address: Address, options: argparse.Namespace, trust: Trust) -> int:
    """Follows the document until something cannot be verified, and gives the exit code."""
    from livefeed.client.asyncio import follow  # noqa: PLC0415 - only this way of use needs it

    async def watch() -> int:
        async with follow(address.url, cacert=options.cacert, keys=trust, connect=options.connect) as feed:
            watching = asyncio.ensure_future(watch_all(feed))
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, watching.cancel)
            try:
                return await watching
            except asyncio.CancelledError:
                return _SIGNALLED + signal.SIGINT

    return asyncio.run(watch())


async def watch_all(updates: AsyncIterable[Update[Any]]) -> int:
    """Prints each change that a verifying client shows, until one cannot be verified.

    :returns: the exit code.
    """
    last: tuple[object, ...] = ()
    async for update in updates:
        if update.distrust:
            print(f"livefeed: NOT verified: {update.distrust}", file=sys.stderr, flush=True)
            return REFUSED
        if update.line is Line.OFFLINE:
            print(f"livefeed: {update.problem}", file=sys.stderr, flush=True)
        line = (update.version, update.sequence, update.state_name)
        if line != last and update.content is not None:
            last = line
            version, sequence, state = line
            print(f"verified: version {version}, sequence {sequence}, {state}", flush=True)
    return GOOD
