"""The limit of open files (``RLIMIT_NOFILE``, getrlimit(2)): each connection is one open file."""

from __future__ import annotations

import resource
from dataclasses import dataclass

from twisted.application.service import Service
from twisted.logger import Logger

_log = Logger()


@dataclass(eq=False)
class FileLimit(Service):
    """Raises the limit of open files at the start. It precedes the listeners, which derive their capacity from it.

    :ivar reserved: number of open files that the transport sets aside for everything but connections; ``None`` if the
        transport sets none aside.
    """

    # required parameters
    reserved: int | None

    def privilegedStartService(self) -> None:
        """IService API."""
        super().privilegedStartService()
        raise_file_limit()
        if self.reserved is not None:
            warn_of_few_files(self.reserved)


def raise_file_limit() -> None:
    """Raises the soft limit of open files to the hard limit, and logs the change."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError) as error:  # such as by a filter of system calls
            _log.warn("the limit of open files stays {soft}: {error}", soft=soft, error=error)
            return
        _log.info("the limit of open files is raised from {soft} to {hard}", soft=soft, hard=hard)


def warn_of_few_files(reserved: int) -> None:
    """Warns if the limit leaves fewer open files for connections than are set aside.

    :param reserved: number of open files that are set aside.
    """
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit < 2 * reserved:
        _log.warn(
            "the limit is {limit} open files, of which {reserved} are set aside for everything but connections: "
            "raise it (LimitNOFILE= in the unit, ulimit -n in a shell)",
            limit=limit,
            reserved=reserved,
        )
