"""How this program was started, so that an upgrade can start the one on disk in the same way.

Rules: everything is recorded when the service is made. Later twistd changes the working directory, and livefeed removes
variables from the environment.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from getopt import GetoptError, getopt
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

CHANNEL = "LIVEFEED_UPGRADE"
"""The variable with the descriptor of the channel between two parents. It is no setting, and is removed at once."""

_OF_ONE_PROCESS = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
"""Variables that the service manager has set for the process with one id."""

_LEFT_OUT = ("--nodaemon", "-n", "--pidfile", "--uid", "-u", "--gid", "-g")
"""Options of twistd that a successor is not given: it has the user of the process that starts it."""

_OWN_LOG = "twistd.log"
"""The log of a daemon that was given none, in the folder in which it was started."""


class TwistdOptions(Protocol):
    """The options of twistd, those before the word livefeed."""

    @property
    def shortOpt(self) -> str:
        """The options of one letter, as getopt has them."""

    @property
    def longOpt(self) -> Sequence[str]:
        """The others, as getopt has them."""

    def get(self, name: str, default: object = None, /) -> Any:
        """Gives the value of an option."""

    def __setitem__(self, name: str, value: Any, /) -> None: ...

    def __contains__(self, name: object, /) -> bool: ...


@dataclass(frozen=True, slots=True)
class Program:
    """The command line, directory and environment of this process.

    :ivar command: the executable and its arguments for a successor.
    :ivar directory: the working directory in which it was started.
    :ivar environment: the variables at the start, without those that the service manager has set for one process.
    :ivar is_daemon: whether twistd has made it a daemon, so that nothing waits for its process.
    :ivar pidfile: the file with the id of the process; ``None`` without one.
    :ivar obstacle: why it cannot be started again in the same way; ``""`` if it can.
    """

    # required parameters
    command: tuple[str, ...]
    directory: Path
    environment: Mapping[str, str]
    is_daemon: bool = False
    pidfile: Path | None = None
    obstacle: str = ""

    # internal state
    _options: TwistdOptions | None = field(default=None, repr=False)

    @classmethod
    def of(cls, options: TwistdOptions | None, environment: Mapping[str, str], directory: Path) -> Program:
        """Gives the program that runs.

        :param options: the options of twistd; ``None`` or options without ``nodaemon`` if another command runs
            livefeed.
        :param environment: the variables at the start.
        :param directory: the working directory at the start.
        """
        given = tuple(sys.argv[1:])
        original = tuple(sys.orig_argv)
        count = len(original) - len(given)
        kept = {name: value for name, value in environment.items() if name not in (*_OF_ONE_PROCESS, CHANNEL)}
        if count < 1 or original[count:] != given or not sys.executable:
            return cls((), directory, kept, obstacle="its command line cannot be repeated")
        before = (sys.executable, *original[1:count])
        if options is None or "nodaemon" not in options:
            return cls((*before, *given), directory, kept)
        if options.get("chroot"):
            return cls((), directory, kept, obstacle="it was started with --chroot of twistd")
        is_daemon = not (options.get("nodaemon") or options.get("debug"))
        try:
            own = _rewritten(given, options, is_daemon=is_daemon)
        except GetoptError as error:
            return cls((), directory, kept, obstacle=f"its command line cannot be repeated: {error}")
        pidfile = options.get("pidfile")
        path = directory / pidfile if pidfile else None
        return cls((*before, *own), directory, kept, is_daemon=is_daemon, pidfile=path, _options=options)

    def succeeding(self, *, is_daemon: bool, pidfile: Path | None) -> Program:
        """Gives this program as the successor of another one, whose place among the processes it takes.

        :param is_daemon: whether the other one is a daemon.
        :param pidfile: the file with its id.
        """
        return replace(self, is_daemon=self.is_daemon or is_daemon, pidfile=pidfile)

    def keep_pidfile(self, *, is_ours: bool) -> None:
        """Has twistd remove the file with the process id at its end, or leave it to a successor."""
        if self._options is not None:
            self._options["pidfile"] = str(self.pidfile) if is_ours and self.pidfile is not None else ""


def _rewritten(given: Sequence[str], options: TwistdOptions, *, is_daemon: bool) -> list[str]:
    """Gives the arguments of twistd and livefeed for a process that another one of livefeed starts.

    It stays in the foreground, and the other one tells it the file of the process id.

    :raises GetoptError: if twistd would not understand the arguments either.
    """
    pairs, rest = getopt(list(given), options.shortOpt, list(options.longOpt))
    own: list[str] = []
    for name, value in pairs:
        if name in _LEFT_OUT:
            continue
        takes_value = f"{name[2:]}=" in options.longOpt if name.startswith("--") else f"{name[1:]}:" in options.shortOpt
        if name.startswith("--"):
            own.append(f"{name}={value}" if takes_value else name)
        else:
            own += [name, value] if takes_value else [name]
    if is_daemon and not (options.get("logfile") or options.get("syslog") or options.get("logger")):
        own.append(f"--logfile={_OWN_LOG}")
    return [*own, "--nodaemon", "--pidfile=", *rest]
