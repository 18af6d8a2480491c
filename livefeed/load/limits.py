"""Open files and memory: a run that cannot work is refused before it begins."""

from __future__ import annotations

import resource

from livefeed.exceptions import FollowError

RESERVED_FILES = 64
"""The open files of a process besides those of its watchers."""

MAX_CONNECTIONS = 1_000_000
"""The largest number of watchers: a process of 20,000 takes 60 MB."""

MAX_PROCESSES = 256
"""The largest number of processes."""


def raise_open_files() -> int:
    """Allows this process as many open files as it may have, and gives their number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def check_open_files(connections: int, processes: int, limit: int) -> None:
    """Refuses a run that needs more open files than a process may have.

    :param connections: of all processes together.
    :param limit: the open files of a process; -1 for no limit.
    :raises FollowError: with the number of processes that would do.
    """
    each = -(-connections // processes)
    if limit < 0 or each + RESERVED_FILES <= limit:
        return
    enough = -(-connections // max(limit - RESERVED_FILES, 1))
    raise FollowError(
        f"{each:,} connections in a process need {each + RESERVED_FILES:,} open files, and this shell allows {limit:,} "
        f"(ulimit -Hn): use -t {enough}, or have the limit raised"
    )
