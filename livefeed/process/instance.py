"""The instance that this process is: it claims the runtime directory before privileges are given up."""

from __future__ import annotations

import grp
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twisted.application.service import Service
from twisted.logger import Logger

from livefeed.exceptions import ConfigurationError, RuntimeDirError, StartError
from livefeed.process.runtime_dir import RuntimeDir, claim

if TYPE_CHECKING:
    from pathlib import Path

_log = Logger()


@dataclass(eq=False)
class Instance(Service):
    """Claims the runtime directory at the start, and gives it up at the stop.

    If the operator has not chosen the directory, livefeed also serves without it, and logs one warning.

    :ivar path: the runtime directory.
    :ivar place: where the operator has set it; ``""`` for the default, which livefeed can do without.
    :ivar group: the number of the group whose members may use the operator's socket; ``None`` for none.
    :ivar directory: the directory as it was found; not ours before the start.
    """

    # required parameters
    path: Path
    place: str = ""
    group: int | None = None

    # internal state
    directory: RuntimeDir = field(init=False)
    _is_claimed: bool = False

    def __post_init__(self) -> None:
        self.directory = RuntimeDir(self.path, is_ours=False, why_not="livefeed has not been started")

    def privilegedStartService(self) -> None:
        """IService API.

        :raises StartError: if the directory that the operator has set cannot be used.
        """
        super().privilegedStartService()
        if self._is_claimed:
            return
        self._is_claimed = True
        try:
            self.directory = claim(self.path, self.group)
        except RuntimeDirError as error:
            self.directory = RuntimeDir(self.path, is_ours=False, why_not=str(error))
        if self.directory.is_ours:
            return
        why = self.directory.why_not
        if self.place:
            raise StartError(f"livefeed: {self.place}: {why}")
        hint = "; livefeed ctl reaches that one; set --instance NAME for this one" if self.directory.is_taken else ""
        _log.warn("there is no operator's socket: {why}{hint}", why=why, hint=hint)

    def await_predecessor(self) -> None:
        """Has the start claim nothing: the process before an upgrade holds the directory until it hands over."""
        self._is_claimed = True
        self.directory = RuntimeDir(self.path, is_ours=False, why_not="the process before the upgrade holds it")

    def take_over(self, lock: int) -> None:
        """Takes the directory from the process before an upgrade.

        :param lock: the descriptor of its lock. The directory is locked until both processes have closed theirs.
        """
        self.directory = RuntimeDir(self.path, is_ours=True, lock=lock)
        self.directory.sign()

    def startService(self) -> None:
        """IService API."""
        super().startService()
        self.privilegedStartService()

    def stopService(self) -> None:
        """IService API."""
        super().stopService()
        self.directory.release()
        self._is_claimed = False
        self.directory = RuntimeDir(self.path, is_ours=False, why_not="livefeed has been stopped")


def group_number(name: str) -> int:
    """Gives the number of a group.

    :param name: its name or its number.
    :raises ConfigurationError: if there is no such group.
    """
    if name.isdecimal() and len(name) <= len(str(2**32)):
        return int(name)
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise ConfigurationError(f"there is no group {name!r}; `getent group` lists them", "admin_group") from None
