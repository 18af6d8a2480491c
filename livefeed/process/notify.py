"""Messages to the service manager (sd_notify(3)): ready, alive, reloading, stopping, and a line of status.

The protocol is one datagram with lines ``NAME=VALUE`` to the Unix socket that the environment names. Livefeed speaks it
itself: a library would be larger than this file, and would block or raise where this must not.

Rules: nothing here blocks or raises. Without a service manager, nothing here runs. The variables are removed from the
environment, so that no child process speaks for livefeed.
"""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, MutableMapping

    from twisted.internet.interfaces import IReactorTime

UNREADY_TURN_S = 0.05
"""Seconds between two checks whether livefeed is ready. Units that wait for it start that much later."""

STATUS_S = 1.0
"""Shortest time in seconds between two lines of status."""

MAX_STATUS_CHARACTERS = 200
"""Upper limit of a line of status, which ``systemctl status`` shows on one line."""

SHOWN_FEEDS = 3
"""Number of feeds in a line of status that are named because they are not live."""

_MAX_DIGITS = 19

_log = Logger()


@dataclass(eq=False)
class NotifySocket:
    """The socket of the service manager.

    :ivar address: where it listens; begins with a null character if it is no file (unix(7)).
    :ivar watchdog_s: seconds within which the service manager wants a sign of life; ``None`` if it wants none.
    """

    # required parameters
    address: str
    watchdog_s: float | None = None

    # internal state
    _socket: socket.socket = field(init=False)
    _is_silent: bool = False  # whether the log says already that messages do not arrive

    def __post_init__(self) -> None:
        # Opened now: there may be no free file descriptor when a message must be sent.
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    @classmethod
    def take(cls, environment: MutableMapping[str, str]) -> NotifySocket | None:
        """Takes the socket out of the environment; ``None`` if there is none, or none that livefeed can use."""
        address = environment.pop("NOTIFY_SOCKET", "")
        interval, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
        if not address:
            return None
        if address[0] not in "/@":
            _log.warn("NOTIFY_SOCKET is {address}, which is no Unix socket: it is told nothing", address=address)
            return None
        is_ours = pid in ("", str(os.getpid()))
        is_number = interval.isascii() and interval.isdecimal() and len(interval) <= _MAX_DIGITS
        watchdog_s = int(interval) / 1e6 if is_ours and is_number and int(interval) else None
        return cls(f"\0{address[1:]}" if address[0] == "@" else address, watchdog_s)

    def environment(self) -> dict[str, str]:
        """Gives the variables for a process that becomes the main process of the service (``MAINPID=``)."""
        address = f"@{self.address[1:]}" if self.address[0] == "\0" else self.address
        watchdog = {} if self.watchdog_s is None else {"WATCHDOG_USEC": str(round(self.watchdog_s * 1e6))}
        return {"NOTIFY_SOCKET": address, **watchdog}

    def send(self, *lines: str) -> bool:
        """Sends one message.

        :param lines: such as ``READY=1``.
        :returns: whether it was sent. If not, it may be possible a moment later.
        """
        try:
            self._socket.sendto("\n".join(lines).encode(), self.address)
        except BlockingIOError:
            return False
        except (OSError, ValueError) as error:
            if not self._is_silent:
                _log.warn("the service manager cannot be told {lines}: {error}", lines=lines, error=error)
            self._is_silent = True
            return False
        self._is_silent = False
        return True

    def close(self) -> None:
        """Closes this end."""
        self._socket.close()


@dataclass(eq=False)
class Notify(Service):
    """Tells the service manager about the state of this process; nothing if there is no service manager.

    The signs of life come from the reactor, at half of the time that is allowed: if it hangs, they end, and the service
    manager ends the process. They continue while the process stops, which may take long.

    :ivar manager: the socket of the service manager; ``None`` if there is none.
    :ivar is_ready: tells whether the process serves; asked until it does.
    :ivar status: gives a readable line about the state of the process; asked once a second.
    """

    # required parameters
    manager: NotifySocket | None
    is_ready: Callable[[], bool]
    status: Callable[[], str]
    clock: IReactorTime

    # internal state
    _owed: list[str] = field(init=False, default_factory=list)  # changes of state that could not be sent yet
    _was_ready: bool = False
    _has_left: bool = False  # whether another process speaks for the service
    _sent_status: str = ""
    _sent_phase: str = ""
    _sent_at: float = float("-inf")  # when that status was sent, by the clock

    def startService(self) -> None:
        """IService API."""
        super().startService()
        if self.manager is None:
            return
        if self.manager.watchdog_s is not None:
            alive = LoopingCall(self.manager.send, "WATCHDOG=1")
            alive.clock = self.clock
            alive.start(self.manager.watchdog_s / 2)
        # The reactor runs by then: from the first turn on, it accepts connections.
        self.clock.callLater(0, self._turn)

    def stopService(self) -> None:
        """IService API. This service is the first to stop, and the service manager's time for the stop begins."""
        super().stopService()
        self._tell("STOPPING=1")

    def begin_reload(self) -> None:
        """Tells that a reload begins; :meth:`end_reload` ends it. The service manager waits for the end."""
        # Two lines in one message: systemd compares the time with that of its own request (Type=notify-reload).
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def end_reload(self) -> None:
        """Tells that a reload has ended, with or without success."""
        self._tell("READY=1")

    def hand_over(self, pid: int) -> None:
        """Tells that another process is the main process of the service from now on.

        :param pid: its process id. It has the variables of :meth:`NotifySocket.environment`. This process tells nothing
            more: the service manager would not listen to it.
        """
        if self.manager is not None and self.manager.watchdog_s is not None:
            # The next sign of life comes from the other process, at half of the time from now on.
            self.manager.send("WATCHDOG=1")
        if self.manager is not None:
            self._owe(f"MAINPID={pid}")
            self._insist()
        self._has_left = True

    def _insist(self) -> None:
        """Sends the changes of state that are owed, and soon tries again: this process ends within a moment."""
        self._send_owed()
        if self._owed:
            self.clock.callLater(UNREADY_TURN_S, self._insist)

    def _tell(self, line: str) -> None:
        if self.manager is not None:
            self._owe(line)
            self._send_owed()

    def _owe(self, line: str) -> None:
        """Puts a change of state behind the others. It replaces an earlier one of its kind, so there are a few at most.

        Of several reloads that the service manager has not heard of, the last one matters.
        """
        name = line.partition("=")[0]
        self._owed = [*(each for each in self._owed if each.partition("=")[0] != name), line]

    def _send_owed(self) -> None:
        """Sends the changes of state in their order. One that cannot be sent waits for the next turn."""
        while self._owed and self.manager is not None and self.manager.send(self._owed[0]):
            del self._owed[0]

    def _turn(self) -> None:
        try:
            if not self._was_ready and self.running and self.is_ready():
                self._was_ready = True
                self._owe("READY=1")
            self._send_owed()
            if not self._has_left:
                self._send_status()
        except Exception:
            _log.failure("the service manager was not told the state")
        self.clock.callLater(STATUS_S if self._was_ready else UNREADY_TURN_S, self._turn)

    def _send_status(self) -> None:
        phase, now = self._phase(), self.clock.seconds()
        if self.manager is None or (phase == self._sent_phase and now < self._sent_at + STATUS_S):
            return
        text = f"{phase}{self.status()}"[:MAX_STATUS_CHARACTERS].replace("\n", " ")
        if text != self._sent_status and self.manager.send(f"STATUS={text}"):
            self._sent_status, self._sent_phase, self._sent_at = text, phase, now

    def _phase(self) -> str:
        if not self.running:
            return "Stopping: "
        return "" if self._was_ready else "Starting: "


def status_line(feeds: Iterable[tuple[str, str]], watchers: int, connections: int) -> str:
    """Gives the line of status.

    :param feeds: the name and the state of each feed.
    :param watchers: the number of subscribers of all feeds.
    :param connections: the number of open connections.
    """
    feeds = [*feeds]
    counts = Counter(state for _, state in feeds)
    states = ", ".join(
        f"{count} {state}" for state, count in sorted(counts.items(), key=lambda item: item[0] != "live")
    )
    others = [name for name, state in feeds if state != "live"]
    more = ", ..." if len(others) > SHOWN_FEEDS else ""
    named = f" ({', '.join(others[:SHOWN_FEEDS])}{more})" if others else ""
    return f"feeds: {states or 'none'}{named}; {watchers} subscribers; {connections} connections"
