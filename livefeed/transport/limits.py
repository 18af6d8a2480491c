"""The limits of a pool, and the number of connections that follows from them.

Rule: nothing here holds or refuses a connection.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass

from twisted.logger import Logger

CPU_SHARE = 0.6
"""The part of a core that new connections may take while the accept rate is automatic.

The rest of the core answers them and the other clients. To answer a new client takes at least two thirds of the time of
its handshake, so the start of a crowd takes no longer than without a limit."""

NO_LIMIT = -1
"""The accept rate without a limit."""

RESERVED_FILES = 256
"""Open files that are set aside: for connections over the limit, sources, the log and Python's own files."""

_log = Logger()


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a pool.

    :ivar connections: open connections at a time; 0 for the limits of memory and of open files. The latter is never
        exceeded. Further clients are told to come back.
    :ivar accept_rate: new connections per second; others wait in the kernel's queue. 0 for the number that takes
        :data:`CPU_SHARE` of a core, and :data:`NO_LIMIT` for no limit.
    :ivar handshake_s: seconds that a TLS handshake may take.
    :ivar idle_s: seconds that a connection may be idle before its first byte, and after a replayed answer. At other
        times its protocol decides, as it does about heads.
    """

    connections: int = 0
    accept_rate: int = 0
    handshake_s: float = 10.0
    idle_s: float = 75.0


@dataclass(slots=True)
class ConnectionLimit:
    """The limits of the number of connections that no setting has.

    :ivar by_memory: the limit where no setting is; 0 if it is not known.
    :ivar held_at: the number since which no more are taken; ``None`` if more are taken.
    """

    by_memory: int = 0
    held_at: int | None = None

    def most(self, wanted: int) -> int:
        """Gives the upper limit of open connections.

        :param wanted: the limit of the settings; 0 for those of memory and of open files.
        """
        files = max_files()
        most = min(wanted or self.by_memory or files, files)
        return most if self.held_at is None else min(most, self.held_at)


def max_files() -> int:
    """Gives the number of connections that the limit of open files allows beside the files that are set aside."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return max(soft - RESERVED_FILES, 16)


def warn_of_few_files(wanted: int) -> None:
    """Logs that the limit of open files is lower than the limit of the settings, if it is."""
    most = max_files()
    if wanted > most:
        _log.warn(
            "the limit of open files allows {most} connections at a time, not {wanted}",
            most=most,
            wanted=wanted,
        )
