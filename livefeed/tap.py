"""The plug-in of ``twistd livefeed``: its options, and the service that is made of them."""

from __future__ import annotations

import gc
import os
import sys
from contextlib import contextmanager, suppress
from getopt import GetoptError, getopt
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from twisted.python import usage

from livefeed import __version__
from livefeed.config.settings import Layers, Settings
from livefeed.exceptions import ConfigurationError, closest
from livefeed.process.program import CHANNEL, Program

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from twisted.application.service import IService

    from livefeed.workers.channel import Inheritance


_PARAMETERS = {
    "config": "TOML file with settings, or with several feeds",
    "source": (
        "source of the document: demo:, store:, file:PATH, mongodb://[user:password@]host[:port]/DB/COLLECTION, "
        "redis://[user:password@]host[:port]/db/key, or https://[user:password@]host[:port]/path "
        "[default: demo:]"
    ),
    "feed": "name of the feed: document at /NAME, WebSocket at /NAME.ws [default: feed]",
    "interval": "seconds from one pull to the next [default: 1.0]",
    "push": (
        "when subscribers receive the document: at each good pull (tick), or each new version (change), with small "
        "signs of life by delta in between. 10,000 idle subscribers of 4 KB cost 12 % of a core and 338 Mbit/s by "
        "tick, 4 % and 6 Mbit/s by change and delta [default: tick]"
    ),
    "state-dir": "folder in which the last versions are kept for the next start",
    "transport": "transport of the connections: fast (Linux) or twisted [default: fast]",
    "max-connections": "connections at a time; 0: as many as open files and memory allow (fast transport) [default: 0]",
    "max-delta-bytes": "largest document for which patches are made, in bytes; 0: none [default: 1048576]",
    "max-subscribers": "subscribers of a feed at a time; 0: no limit [default: 0]",
    "stale-after": "seconds since the last good pull after which a failing feed is stale [default: 0.0]",
    "gone-after": (
        "seconds since the last good pull after which the document of a failing feed is no longer shown; "
        "0: never [default: 0.0]"
    ),
    "auth-tokens": "file of tokens, one of which clients must send to read the feed [default: none]",
    "auth-keys": "file, or https URL, of the public keys that have signed tokens (JWT) [default: none]",
    "auth-issuer": "issuer of signed tokens; required with --auth-keys",
    "auth-audience": "audience that signed tokens must name; required with --auth-keys",
    "auth-cookie": (
        "name of the cookie in which browsers may send a token, such as __Secure-livefeed; requires --allow-origin "
        "[default: none]"
    ),
    "accept-rate": (
        "new connections a second; 0: as many as take 0.6 of a core, measured at the start; none: no limit "
        "(fast transport) [default: 0]"
    ),
    "handshake-timeout": "seconds that a TLS handshake may take (fast transport) [default: 10.0]",
    "head-timeout": "seconds that the head of a request may take [default: 10.0]",
    "max-head-bytes": "largest head of a request, in bytes; at least 16384 [default: 16384]",
    "idle-timeout": "seconds after which a connection without a request is closed [default: 75.0]",
    "max-bytes": "largest document that is served, in bytes [default: 1048576]",
    "log-level": "least important lines that are logged: debug, info, warn or error [default: info]",
    "access-log": "file, unix:PATH of a socket, or - (standard output) for a line about each answer [default: none]",
    "access-log-format": "format of these lines: common, combined or json [default: combined]",
    "forwarded-header": (
        "field with which trusted proxies name the address of a client: none, x-forwarded-for or forwarded "
        "[default: none]"
    ),
    "address-rate": (
        "new connections a second for each address (IPv6: /64); 0: no limit (fast transport) [default: 200]"
    ),
    "network-rate": (
        "new connections a second for each network (IPv4: /24, IPv6: /48); 0: no limit (fast transport) [default: 1000]"
    ),
    "runtime-dir": (
        "folder of the operator's socket [default: the instance's folder in $RUNTIME_DIRECTORY, /run/livefeed, "
        "$XDG_RUNTIME_DIR/livefeed or /tmp/livefeed-UID]"
    ),
    "instance": "name by which livefeed ctl finds this livefeed [default: default]",
    "admin-token": "file with the token that requests to --admin carry; readable by its owner and group alone",
    "admin-group": "group whose members may use the operator's socket",
    "ready-public": "true: the endpoints of the feeds also answer /-/live and /-/ready [default: false]",
    "page-figures": "true: the page shows everybody the watchers, deliveries and delays of livefeed [default: false]",
    "public-reasons": (
        "true: watchers are told why a feed has no new document; a reason may name hosts, and values that a rule "
        "refuses [default: false]"
    ),
    "signing-key": (
        "file with the keys that sign statements about the newest versions, made by livefeed keys; readable by its "
        "owner and group alone [default: none]"
    ),
    "workers": (
        "processes that hold the connections; auto: one for each processor; 0: all in this process (fast transport) "
        "[default: 0]"
    ),
    "orphan-after": "seconds after which a worker without its parent ends; 0: never [default: 300.0]",
    "drain-delay": "seconds for which livefeed goes on serving after SIGTERM, not ready [default: 0.0]",
    "drain": "seconds over which watchers are sent away if a successor serves them [default: 30.0]",
    "return-after": "seconds that a restart takes: the first watchers then come back [default: 6.0]",
}


_REPEATED = {
    "listen": (
        "endpoint to serve on [default: tls:8443]; repeatable. tls:PORT[:interface=ADDRESS] serves with --cert and "
        "--key, tls:PORT:cert=FILE:key=FILE with files of its own; all endpoints of Twisted work, too: "
        "tcp:PORT[:interface=ADDRESS] (plain HTTP), unix:PATH, systemd:domain=INET6:index=0"
    ),
    "admin": (
        "endpoint to serve the operator's port on, besides its Unix socket, such as tcp:9090:interface=127.0.0.1; "
        "requires --admin-token; repeatable"
    ),
    "auth-algorithm": "algorithm of signed tokens: EdDSA, ES256 or RS256; repeatable; required with --auth-keys",
    "allow-origin": "origin whose pages may read the feed, such as https://example.org; repeatable [default: *]",
    "trusted-proxy": (
        "network of proxies that may name the address of a client, such as 10.0.0.0/8, 2001:db8::/32 or unix; "
        "repeatable [default: none]"
    ),
    "cert": (
        "PEM file of the server's certificate and its chain [default: a development one]; repeatable: clients get the "
        "one with the name that they ask for"
    ),
    "key": "PEM file of the private key of --cert; repeatable, in the same order",
    "help": "show this help and exit",
    "version": "show the version and exit",
}


_NOT_REPEATED = (
    "config",
    "source",
    "feed",
    "state-dir",
    "runtime-dir",
    "instance",
    "admin-token",
    "access-log",
    "signing-key",
    "auth-tokens",
)
"""Options that are refused if they are repeated, since they look like lists. Of other options the last value counts."""

_HINT = "twistd livefeed --help lists the options"
_MAX_NAME_LENGTH = 64
"""Number of characters of an unknown option that a message shows."""


class Options(usage.Options):
    """The command line. The names of the options are those of the settings.

    :ivar settings: the settings of all layers, after the command line was parsed.
    :ivar layers: the layers themselves, for a reload.
    :ivar program: how this process was started, for an upgrade.
    :ivar inheritance: everything that the parent before an upgrade offers; ``None`` if this is no upgrade.
    """

    settings: Settings
    layers: Layers
    program: Program
    inheritance: Inheritance | None = None

    synopsis = "[options]"
    longdesc = (
        "Pulls JSON documents from their sources, and serves them: /NAME answers polls over HTTPS, /NAME.ws sends each "
        "version on a WebSocket, /NAME.sse sends it as an event, and / is a page. Each option can also be set in the "
        "file that --config names, and in the environment: --max-bytes as LIVEFEED_MAX_BYTES. The command line "
        "overrides the environment, which overrides the file. For several feeds, the file has a table [feeds.NAME] for "
        "each. The options of twistd, such as --nodaemon and --logfile, stand before the word livefeed."
    )
    # Without defaults, which would hide the values of the environment and of the file.
    optParameters = [[name, None, None, text] for name, text in _PARAMETERS.items()]  # noqa: RUF012 - usage wants a list
    compData = usage.Completions(
        optActions={
            "config": usage.CompleteFiles("*.toml"),
            "cert": usage.CompleteFiles("*.pem"),
            "key": usage.CompleteFiles("*.pem"),
            "state-dir": usage.CompleteDirs(),
            "runtime-dir": usage.CompleteDirs(),
            "admin-token": usage.CompleteFiles(),
            "signing-key": usage.CompleteFiles("*.pem"),
            "admin-group": usage.CompleteGroups(),
            "auth-tokens": usage.CompleteFiles(),
            "auth-keys": usage.CompleteFiles(),
            "ready-public": usage.CompleteList(["true", "false"]),
            "page-figures": usage.CompleteList(["true", "false"]),
            "public-reasons": usage.CompleteList(["true", "false"]),
            "push": usage.CompleteList(["tick", "change"]),
            "transport": usage.CompleteList(["fast", "twisted"]),
            "log-level": usage.CompleteList(["debug", "info", "warn", "error"]),
            "access-log": usage.CompleteFiles(),
            "access-log-format": usage.CompleteList(["common", "combined", "json"]),
            "forwarded-header": usage.CompleteList(["none", "x-forwarded-for", "forwarded"]),
        }
    )

    def __init__(self) -> None:
        super().__init__()
        # Instead of the docstrings, which would be shown with their line ends and their indentation.
        self.docs.update(_REPEATED)
        self._repeated: dict[str, list[str]] = {}

    def opt_listen(self, endpoint: str) -> None:
        """Adds an endpoint to serve on."""
        self._repeated.setdefault("listen", []).append(endpoint)

    def opt_allow_origin(self, origin: str) -> None:
        """Adds an origin whose pages may read the feed."""
        self._repeated.setdefault("allow_origin", []).append(origin)

    def opt_auth_algorithm(self, algorithm: str) -> None:
        """Adds an algorithm of signed tokens."""
        self._repeated.setdefault("auth_algorithm", []).append(algorithm)

    def opt_trusted_proxy(self, network: str) -> None:
        """Adds a network of proxies that may name the address of a client."""
        self._repeated.setdefault("trusted_proxy", []).append(network)

    def opt_cert(self, path: str) -> None:
        """Adds a certificate."""
        self._repeated.setdefault("cert", []).append(path)

    def opt_key(self, path: str) -> None:
        """Adds the private key of a certificate."""
        self._repeated.setdefault("key", []).append(path)

    def opt_admin(self, endpoint: str) -> None:
        """Adds an endpoint to serve the operator's port on."""
        self._repeated.setdefault("admin", []).append(endpoint)

    def opt_version(self) -> None:
        """Show the version and exit."""
        print(f"livefeed {__version__}")  # noqa: T201
        raise SystemExit(0)

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        """usage.Options API. Ends the process with one line if the command line is wrong.

        For a UsageError, twistd would print the whole help first, and the error below it.
        """
        self._inherit()
        try:
            self._refuse_repeated(sys.argv[1:] if options is None else options)
            super().parseOptions(options)
        except usage.UsageError as error:
            raise self.ending(ConfigurationError(f"{self._wrong(error)} ({_HINT})")) from None

    def _inherit(self) -> None:
        """Takes what the parent before an upgrade offers, and removes the variable that names it."""
        if CHANNEL in os.environ:
            from livefeed.workers.channel import Inheritance  # noqa: PLC0415 - any other start needs no time for it

            try:
                self.inheritance = Inheritance.take(os.environ)
            except ConfigurationError as error:
                raise _end(error) from None

    def ending(self, error: ConfigurationError) -> SystemExit:
        """Gives the exception that ends the process, after the parent before an upgrade was told the reason."""
        if self.inheritance is not None:
            self.inheritance.fail(str(error))
        return _end(error)

    def parseArgs(self, *arguments: str) -> None:
        """usage.Options API. No arguments are allowed."""
        if arguments:
            # The argument is not shown: it may be the source's URL, with a password.
            raise usage.UsageError("an argument stands without an option, such as --source, before it")

    def _refuse_repeated(self, options: Sequence[str]) -> None:
        """Refuses options that are repeated, and whose last value would silently be taken.

        :raises UsageError: if there is one.
        """
        with suppress(GetoptError):  # reported when the command line is parsed
            pairs, _ = getopt(list(options), self.shortOpt, self.longOpt)
            names = [name for name, _ in pairs]
            for name in names:
                if names.count(name) > 1 and name.removeprefix("--") in _NOT_REPEATED:
                    hint = "; a file (--config) can have several feeds" if name == "--source" else ""
                    raise usage.UsageError(f"{name}: was given {names.count(name)} times, and can only be once{hint}")

    def _is_before(self, name: str) -> bool:
        """Tells whether an option belongs to the command that runs livefeed, such as twistd."""
        if self.parent is None:
            return False
        return name in self.parent.shortOpt.replace(":", "") if len(name) == 1 else name in self.parent.synonyms

    def _wrong(self, error: usage.UsageError) -> str:
        """Gives the message about a wrong command line."""
        cause = error.__context__
        if not isinstance(cause, GetoptError) or not cause.opt:
            return str(error)
        name = cause.opt
        if "not recognized" in cause.msg and self._is_before(name):
            return f"{_dashed(name)}: must stand before the word livefeed"
        if "requires argument" in cause.msg:
            return f"{_dashed(name)}: a value is missing"
        if "must not have an argument" in cause.msg:
            return f"{_dashed(name)}: takes no value"
        options = [_dashed(option.rstrip("=")) for option in self.longOpt]
        if "unique prefix" in cause.msg:
            several = ", ".join(sorted(option for option in options if option.startswith(f"--{name}")))
            return f"{_dashed(name)}: may be {several}"
        wrong = _dashed(name if len(name) <= _MAX_NAME_LENGTH else f"{name[:_MAX_NAME_LENGTH]}...")
        return f"{wrong}: there is no such option{closest(wrong, options)}"

    def postOptions(self) -> None:
        """usage.Options API. Reads all settings here, before twistd changes its user and its working directory."""
        directory = Path.cwd()
        self.program = Program.of(cast("Any", self.parent), os.environ, directory)
        values: dict[str, Any] = {name.replace("-", "_"): value for name, value in self.items() if value is not None}
        self.layers = Layers(values | self._repeated, dict(os.environ), directory)
        self.layers.warn_of_unknown()
        try:
            self.settings = self.layers.read()
        except ConfigurationError as error:
            # Not a UsageError, for which twistd would print the whole help first.
            raise self.ending(error) from None


def makeService(options: Options) -> IService:
    """Makes the service; ``twistd`` calls it by this name."""
    with uncollected():
        return _make(options)


LATER = ("livefeed.admin.exposition", "livefeed.delivery.websocket.connection")
"""The modules that are imported when they are first used, although no setting names them.

Not every process is asked for its metrics, or has a WebSocket whose client sends messages. With their libraries they
take 7 MB, and an eighth of a start.
"""


def _make(options: Options) -> IService:
    # Imported here, since these modules install a reactor, and the command line may name another than the default.
    from twisted.internet import reactor  # noqa: PLC0415

    from livefeed.clocks import measure_by_monotonic_clock  # noqa: PLC0415
    from livefeed.process import journald  # noqa: PLC0415
    from livefeed.service import make_service  # noqa: PLC0415

    if options.parent is not None and options.parent.get("chroot"):
        # twistd changes the root directory afterwards, and no module is found any more.
        for name in LATER:
            import_module(name)

    sys.excepthook = journald.print_traceback
    # Before anything is scheduled. Only here: a program that does more than serve feeds decides on its clock itself.
    measure_by_monotonic_clock(reactor)
    try:
        service: IService = make_service(
            options.settings, cast("Any", reactor), options.layers.read, options.program, options.inheritance
        )
    except ConfigurationError as error:
        raise options.ending(error) from None
    journald.forget_unwritten_cache()
    if _logs_to_stdout(options) and journald.is_journal(os.environ, sys.stdout):
        journaled = journald.JournaledService(sys.stdout)
        service.setServiceParent(journaled)
        return journaled
    return service


@contextmanager
def uncollected() -> Iterator[None]:
    """Keeps the garbage collector away from a piece of work that makes many objects which stay.

    While modules are imported, it looks at all objects again and again: a sixth of a start.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _logs_to_stdout(options: Options) -> bool:
    """Tells whether twistd will log to standard output. Other commands, such as twist, set up the log by themselves."""
    of_twistd = options.parent
    if of_twistd is None or "nodaemon" not in of_twistd:
        return False
    log_file = of_twistd.get("logfile")
    others = of_twistd.get("syslog") or of_twistd.get("logger")
    return not others and (log_file == "-" or (bool(of_twistd["nodaemon"]) and not log_file))


def _dashed(name: str) -> str:
    """Gives an option with its hyphens."""
    return f"--{name}" if len(name) > 1 else f"-{name}"


def _end(error: ConfigurationError) -> SystemExit:
    """Makes the exception that ends the process with exit code 1 and one line, even if the error has several."""
    from livefeed.process.journald import ending  # noqa: PLC0415

    return SystemExit(ending(f"livefeed: {' '.join(str(error).splitlines())}"))
