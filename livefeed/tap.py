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
from livefeed.config.setting_texts import CONFIG_HELP, TEXTS
from livefeed.config.settings import LISTS_OF_PATHS, REPEATABLE, Layers, Settings
from livefeed.exceptions import ConfigurationError, closest
from livefeed.process.program import CHANNEL, Program

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from twisted.application.service import IService

    from livefeed.workers.channel import Inheritance


_REPEATED = (*REPEATABLE, *LISTS_OF_PATHS)
_PARAMETERS = {"config": CONFIG_HELP} | {
    name.replace("_", "-"): text.help for name, text in TEXTS.items() if name not in _REPEATED
}
_OTHER_HELP = {name.replace("_", "-"): TEXTS[name].help for name in _REPEATED} | {
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
        self.docs.update(_OTHER_HELP)
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
