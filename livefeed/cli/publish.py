"""``livefeed publish``: stores a document in a feed of a running livefeed, once or after each change of a file.

Rule: a token is read from a file. It is in no argument, which all users of the machine can read, and in no message.
"""

from __future__ import annotations

import http.client
import json
import shlex
import ssl
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from livefeed.cli.document_file import read_document
from livefeed.cli.embargo_commands import add_time, check_supported, tell_note
from livefeed.cli.embargo_text import set_aside_lines
from livefeed.cli.operator_client import (
    ChoiceError,
    OperatorClient,
    TokenClient,
    parse_base,
    read_token,
)
from livefeed.cli.operator_options import (
    DONE,
    FAILED,
    add_instance_arguments,
    add_timeout_argument,
    chosen_socket,
    exit_code_of,
    same_livefeed,
)
from livefeed.cli.tables import Painter
from livefeed.cli.times import here
from livefeed.exceptions import CommandError, first_line

if TYPE_CHECKING:
    import argparse

    from livefeed.cli.operator_client import Answer, Client

HELP = "store a document in a feed whose source is store:"
DESCRIPTION = (
    "Stores a document in a feed with the source store:, through the operator's socket of a livefeed on this machine, "
    "as livefeed ctl finds it, or through an endpoint of --admin with --url and --token-file. Exit codes: 0 the "
    "document is stored, and watchers are shown it; 1 it is not stored, with the reason on standard error; 2 the "
    "command line is wrong, or it must choose a feed or an instance; 3 no livefeed runs there; 4 the document is "
    "stored, and watchers are not shown it yet, with the reason. With --at, 0 says that the document is set aside."
)

NOT_SHOWN = 4
"""An exit code, besides those that all commands share."""

MAX_DOCUMENT_BYTES = 256 * 1024 * 1024
"""Size of the largest document that is read. No feed can have a larger one."""

LOOK_S = 0.1
"""Seconds from one look at a watched file to the next."""

RETRY_S = 1.0
"""Seconds after which a watched document that could not be stored is sent again."""

TIMEOUT_S = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the subcommand."""
    parser.add_argument("file", metavar="FILE|-", help="the file with the document; - for standard input")
    parser.add_argument("--feed", metavar="NAME", help="the feed [default: the only one with the source store:]")
    parser.add_argument("--watch", action="store_true", help="store the file again after each change, until Ctrl-C")
    add_time(parser, "set it aside, so that nothing of it is visible before, and publish it")
    conditions = parser.add_mutually_exclusive_group()
    conditions.add_argument("--if-match", metavar="VERSION", help="only if this version is stored")
    conditions.add_argument("--if-new", action="store_true", help="only if no document is stored")
    which = parser.add_mutually_exclusive_group()
    add_instance_arguments(which)
    which.add_argument("--url", metavar="URL", help="an endpoint of --admin, such as https://HOST:9443")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="the file with the token, for --url")
    parser.add_argument("--cacert", type=Path, metavar="FILE", help="PEM file of the authorities that are trusted")
    parser.add_argument("--json", action="store_true", help="print the answer of livefeed, one line for each document")
    add_timeout_argument(parser, TIMEOUT_S)


def run(options: argparse.Namespace) -> int:
    """Stores the document.

    :returns: the exit code.
    """
    try:
        if options.file == "-" and options.watch:
            raise ChoiceError("--watch needs a file: standard input does not change")
        if (options.url is None) is not (options.token_file is None):
            raise ChoiceError("--url and --token-file go together")
        if options.watch and (options.if_match or options.if_new):
            raise ChoiceError("--watch stores every change, and takes no condition")
        if options.watch and options.at:
            raise ChoiceError("--watch and --at exclude each other")
        if options.watch:
            return _Watching(options).run()
        # Before the connection: a document that cannot be read is no request.
        document = _read(options.file)
        client = _client(options)
        return _show(_publish(client, options, document), options)
    except CommandError as error:
        print(f"livefeed: {error}", file=sys.stderr)
        return exit_code_of(error)
    except KeyboardInterrupt:
        return DONE if options.watch else FAILED


def _client(options: argparse.Namespace) -> Client:
    if options.url is not None:
        try:
            context = ssl.create_default_context(cafile=options.cacert)
        except (OSError, ValueError) as error:
            raise CommandError(f"{options.cacert}: cannot be read as a PEM file: {first_line(error)}") from None
        return TokenClient(parse_base(options.url), options.timeout, read_token(options.token_file), context)
    path = chosen_socket(options)
    return OperatorClient(path, options.timeout)


def _publish(client: Client, options: argparse.Namespace, document: bytes) -> Answer:
    """Stores a document.

    :raises CommandError: if there is no answer, or the feed is not clear.
    """
    feed = options.feed or _only_feed(client)
    fields = {}
    if options.if_new:
        fields["If-None-Match"] = "*"
    elif options.if_match:
        fields["If-Match"] = '"{}"'.format(options.if_match.strip('"'))
    if options.at is not None:
        check_supported(client)
        tell_note(options.at)
        fields["Livefeed-Publish-At"] = options.at.rfc3339
    answer = client.put(f"/feeds/{quote(feed, safe='')}", document, fields)
    if options.feed and answer.status in (http.client.NOT_FOUND, http.client.METHOD_NOT_ALLOWED):
        # The public port has no such path either, and knows nothing of the operator's.
        _feeds(client)
    return answer


def _feeds(client: Client) -> Answer:
    """Asks for the feeds.

    :raises CommandError: if there is no answer, or the port is not that of the operator.
    """
    answer = client.get("/feeds")
    if answer.status == http.client.NOT_FOUND:
        raise CommandError(f"{client.place}: this is not the operator's port; --url takes an endpoint of --admin")
    return answer


def _only_feed(client: Client) -> str:
    feeds = _feeds(client).report()
    names = [str(each.get("feed")) for each in feeds if isinstance(each, dict)] if isinstance(feeds, list) else []
    if not names:
        raise CommandError("no feed of this livefeed has the source store:")
    if len(names) > 1:
        raise ChoiceError(f"several feeds have the source store:; choose one with --feed: {', '.join(names)}")
    return names[0]


def _show(answer: Answer, options: argparse.Namespace) -> int:
    """Shows the answer to a stored document, and gives the exit code.

    :raises CommandError: if the document was not stored.
    """
    report = answer.report()
    if not isinstance(report, dict):
        raise CommandError("livefeed has answered something else than a report")
    if options.json:
        print(json.dumps(report), flush=True)
    elif options.at is not None:
        painter = Painter.of(sys.stdout)
        is_far, end = options.url is not None, same_livefeed(options)
        print("\n".join(set_aside_lines(report, painter, here(), end, is_far=is_far)), flush=True)
    else:
        print(_text(report), flush=True)
    return DONE if report.get("live") or options.at is not None else NOT_SHOWN


def _text(report: dict[str, Any]) -> str:
    version, feed = str(report.get("version"))[:12], report.get("feed")
    stored = "stored" if report.get("changed") else "was stored already"
    if report.get("live"):
        return f"{feed}: {version} {stored}, and is shown as {report.get('sequence')}"
    return f"{feed}: {version} {stored}, and is not shown: {report.get('why')}"


def _read(name: str) -> bytes:
    """Reads the document.

    :raises CommandError: if it cannot be read, is too large, or is a file of settings.
    """
    data = read_document(name, MAX_DOCUMENT_BYTES, f"`livefeed check {shlex.quote(name)}` takes settings")
    if len(data) > MAX_DOCUMENT_BYTES:
        raise CommandError(f"{name}: has more than {MAX_DOCUMENT_BYTES} bytes")
    return data


@dataclass(slots=True)
class _Watching:
    """Stores a file after each change.

    A file that cannot be read or stored is told once, and tried again: a program may be writing it, or livefeed may be
    away for a moment.
    """

    options: argparse.Namespace
    _told: str = ""
    _last: bytes | None = None  # the last document that was stored

    def run(self) -> int:
        """Looks at the file until Ctrl-C."""
        seen: tuple[int, ...] | None = None
        due_s = 0.0
        while True:
            found = self._look()
            if found is not None and (found != seen or time.monotonic() >= due_s):
                is_done = self._store(found)
                seen = found
                due_s = float("inf") if is_done else time.monotonic() + RETRY_S
            time.sleep(LOOK_S)

    def _look(self) -> tuple[int, ...] | None:
        try:
            status = Path(self.options.file).stat()
        except OSError as error:
            self._tell(f"{self.options.file}: {error.strerror}")
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns

    def _store(self, found: tuple[int, ...]) -> bool:
        """Stores the file as it is now. Returns whether nothing is left to do until it changes."""
        is_refused = False
        try:
            document = _read(self.options.file)
            if self._look() != found:
                return False  # it is being written; the next look sees the rest
            if document != self._last:
                answer = _publish(_client(self.options), self.options, document)
                is_refused = http.client.BAD_REQUEST <= answer.status < http.client.INTERNAL_SERVER_ERROR
                _show(answer, self.options)
                self._last = document
        except ChoiceError:
            raise
        except CommandError as error:
            self._tell(str(error))
            # The same document would be refused again.
            return is_refused
        self._told = ""
        return True

    def _tell(self, why: str) -> None:
        if why != self._told:
            self._told = why
            print(f"livefeed: {why}", file=sys.stderr, flush=True)
