"""``livefeed serve``: ``twistd --nodaemon livefeed`` for everyday use."""

from __future__ import annotations

import argparse
import errno
import os
import re
import shlex
import shutil
import sys
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from livefeed.cli.conflicts import bind, require_free
from livefeed.cli.document_file import read_document
from livefeed.cli.served_file import check_path, check_source, complaint
from livefeed.cli.server_options import add_server_options, given_options
from livefeed.cli.tables import printable
from livefeed.config.layers import MAX_FILE_BYTES
from livefeed.exceptions import ConfigurationError, MissingExtraError, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from livefeed.config.settings import Settings

HELP = "serve a document from a file or a URL, in the foreground"
DESCRIPTION = (
    "Serves a document until Ctrl-C, by default as plain HTTP on this machine alone: for trials, and behind a proxy. "
    "Without FILE or URL, it serves an election night that never ends. The options of `twistd livefeed` work, too; "
    "with --listen, --cert or --config, the endpoints are those of `twistd livefeed`."
)

INTERFACE = "127.0.0.1"
PORTS = range(8080, 8100)
"""The first of these ports that is free is used, unless the user names an endpoint."""

_MAX_PORT = 65_535
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_OWN = ("source",)
_ENDPOINTS = ("listen", "cert", "config")
"""The options with which the endpoints are not plain HTTP on this machine."""

_REASONS = ("public-reasons", "config", "trusted-proxy")
"""The options with which serve does not set ``--public-reasons`` itself: with a proxy, watchers are elsewhere."""

_LOOPBACK = re.compile(r"(?:tcp|tls):[0-9]+:interface=(?:127\.[0-9.]+|localhost|\\:\\:1)")

# As twistd does, but without the current folder in the path of modules. A file with the name of a module may be there.
_TWISTD = ("-P", "-c", "from twisted.scripts.twistd import run; run()", "--nodaemon", "--pidfile=", "livefeed")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the subcommand: those of ``twistd livefeed``, and a few of its own."""
    parser.usage = "%(prog)s [FILE|URL] [--port PORT] [options of `twistd livefeed`]"
    parser.add_argument(
        "source",
        nargs="?",
        metavar="FILE|URL",
        help="the document: a path, or a source such as redis://127.0.0.1/0/results or https://host/path",
    )
    parser.add_argument(
        "--port",
        type=_port,
        help=f"serve plain HTTP on this port of {INTERFACE} [default: the first free one from {PORTS.start} on]",
    )
    add_server_options(parser, _OWN)


def run(options: argparse.Namespace) -> int:
    """Prints the addresses, and serves until the process is told to stop.

    :returns: never: the process becomes ``twistd``, whose exit code is 0 after SIGTERM, and 1 after an error.
    :raises ConfigurationError: if the file does not exist, no port is free, another process has a port or the instance,
        or a source is malformed.
    :raises SystemExit: if a setting is malformed; with 2 if it, or the source, is on the command line.
    """
    arguments = arguments_of(options, os.environ)
    try:
        # Before the addresses are printed: nobody shall open a page that will not be there.
        settings, complaints = check(arguments)
    except (ConfigurationError, SystemExit) as error:
        why = str(error).removeprefix("livefeed: ")
        # Otherwise the message begins with the variable or the file, or a package is missing.
        if why.partition(":")[0] in arguments and not isinstance(error.__context__, MissingExtraError):
            options.fail(why)
        raise
    if options.port:
        require_port(options.port)
    require_free(settings, os.environ)
    for line in (*_moved(options, arguments), *addresses(arguments, os.environ)):
        print(line)
    for each in complaints:
        print(f"  watchers see nothing yet: {printable(each)}\n")
    sys.stdout.flush()
    # Not in this process: an upgrade starts its command line again.
    os.execv(sys.executable, [sys.executable, *_TWISTD, *arguments])  # noqa: S606 - there is no shell


def arguments_of(options: argparse.Namespace, environment: Mapping[str, str]) -> list[str]:
    """Gives the arguments for ``twistd livefeed``.

    :param environment: the variables, which may have settings.
    :raises ConfigurationError: if the file does not exist, or no port is free.
    """
    arguments: list[str] = []
    if options.source is not None:
        arguments += ["--source", source_of(options.source)]
    for name, value in given_options(options, _OWN):
        arguments += [f"--{name}", value]
    if options.port is not None or not _is_set(_ENDPOINTS, arguments, environment):
        port = _free_port() if options.port is None else options.port
        arguments += ["--listen", f"tcp:{port}:interface={INTERFACE}"]
    endpoints = _endpoints(arguments) or environment.get("LIVEFEED_LISTEN", "").split()
    is_local = bool(endpoints) and all(map(_LOOPBACK.fullmatch, endpoints))
    if is_local and not _is_set(_REASONS, arguments, environment):
        # The only watchers are on this machine, and want to know why there is nothing new.
        arguments += ["--public-reasons", "true"]
    return arguments


def _is_set(names: Iterable[str], arguments: list[str], environment: Mapping[str, str]) -> bool:
    """Tells whether one of these settings is given as an option or as a variable."""
    variables = {f"LIVEFEED_{name.replace('-', '_').upper()}" for name in names}
    return any(f"--{name}" in arguments for name in names) or not variables.isdisjoint(environment)


def _endpoints(arguments: list[str]) -> list[str]:
    return [value for name, value in pairwise(arguments) if name == "--listen"]


def _moved(options: argparse.Namespace, arguments: list[str]) -> list[str]:
    """Gives the line that says that the first port is in use, and which one is served on."""
    endpoints = _endpoints(arguments)
    if options.port is not None or any(name == "listen" for name, _ in given_options(options, _OWN)) or not endpoints:
        return []
    port = endpoints[-1].split(":")[1]
    return [] if port == f"{PORTS.start}" else [f"{PORTS.start} is in use: serving on {port}"]


def check(arguments: list[str]) -> tuple[Settings, list[str]]:
    """Checks the settings and the sources, without pulling.

    :param arguments: the arguments for ``twistd livefeed``.
    :returns: the settings, and why files are not served as they are now; they may change.
    :raises ConfigurationError: if a source is malformed.
    :raises SystemExit: if a setting is, with one line about it.
    """
    # Imported here: the other subcommands start without Twisted.
    from twisted.internet.task import Clock  # noqa: PLC0415

    from livefeed.sources.registry import make_source  # noqa: PLC0415
    from livefeed.tap import Options  # noqa: PLC0415

    made = Options()
    made.parseOptions(arguments)
    complaints = []
    for feed in made.settings.feeds:
        source = make_source(feed.source, reactor=Clock(), max_bytes=feed.max_bytes)
        complaints.append(complaint(source, feed.max_bytes))
    return made.settings, [each for each in complaints if each]


def require_port(port: int) -> None:
    """Checks that the port which the user names can be taken.

    :raises ConfigurationError: if it cannot.
    """
    try:
        bind(INTERFACE, port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            why = "is in use: `ss -ltnp` names the process; without --port, the first free one is taken"
        else:
            why = f"cannot be taken: {error.strerror}"
        raise ConfigurationError(f"--port: {port} {why}") from None


def source_of(text: str) -> str:
    """Gives the source that the user means.

    :param text: a path, or a source with its scheme.
    :raises ConfigurationError: if it has no scheme, and there is no such file, or it cannot be read, or if it is a
        recording.
    :raises CommandError: if the file is one of settings.
    """
    path = Path(text)
    if path.is_file():
        check_path(path)
        # A document of any size, which may be wrong for the moment, is the business of the feed.
        read_document(
            text, MAX_FILE_BYTES, f"to serve what it says, write {command()} serve --config {shlex.quote(text)}"
        )
        return f"file:{quote(text)}"
    if _SCHEME.match(text):
        check_source(text)
        return text
    if path.is_dir():
        raise ConfigurationError(f"{shown(text)}: is a folder; name a file in it")
    raise ConfigurationError(f"{shown(text)}: there is no such file; to wait for one, write file:PATH")


def addresses(arguments: list[str], environment: Mapping[str, str]) -> list[str]:
    """Gives the lines that tell where the document is; none if a file of settings decides.

    :param arguments: the arguments for ``twistd livefeed``.
    :param environment: the variables.
    """
    if "--config" in arguments or "LIVEFEED_CONFIG" in environment:
        return []
    endpoints = _endpoints(arguments)
    ours = [each.split(":")[1] for each in endpoints if each.endswith(f":interface={INTERFACE}") and each[:4] == "tcp:"]
    if not ours or ours[-1] == "0":
        return []
    feed = environment.get("LIVEFEED_FEED", "feed")
    if "--feed" in arguments:
        feed = arguments[arguments.index("--feed") + 1]
    base = f"http://localhost:{ours[-1]}"
    return [
        "",
        f"  open    {base}/",
        f"  poll    curl {base}/{feed}",
        f"  follow  {command()} watch {base}/{feed}",
        "  stop    Ctrl-C",
        "",
    ]


def command() -> str:
    """Gives the text with which the user starts this program: without its folder, if the shell finds it there."""
    program = sys.argv[0]
    if Path(program).name != "livefeed":
        return "livefeed"
    found = shutil.which("livefeed")
    is_found = found is not None and Path(found).resolve() == Path(program).resolve()
    return "livefeed" if is_found else shlex.quote(program)


def _port(text: str) -> int:
    """Reads a port.

    :raises ArgumentTypeError: if it is none.
    """
    if not text.isascii() or not text.isdigit() or not 0 <= int(text[:9]) <= _MAX_PORT:
        raise argparse.ArgumentTypeError(f"{shown(text)} is no port: a number from 0 to {_MAX_PORT}, 0 for any")
    return int(text)


def _free_port() -> int:
    """Gives the first port that is free.

    :raises ConfigurationError: if there is none.
    """
    for port in PORTS:
        try:
            bind(INTERFACE, port)
        except OSError:
            continue
        return port
    raise ConfigurationError(f"the ports {PORTS.start} to {PORTS.stop - 1} are in use; name one with --port")
