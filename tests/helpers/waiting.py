"""Waits for a condition of which no event tells, such as the content of a file that another process writes."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT_S = 60.0
"""The longest wait in seconds. Only tests that fail wait for so long, so the limit is generous."""

LOOK_S = 0.01
"""The usual time in seconds between two checks."""


def wait_until(
    is_so: Callable[[], object],
    what: str | Callable[[], object],
    timeout_s: float = WAIT_S,
    *,
    look_s: float = LOOK_S,
) -> None:
    """Returns as soon as a condition is true.

    :param what: the message of the failure, or a function that gives it.
    :param look_s: the time in seconds between two checks.
    :raises AssertionError: after *timeout_s* seconds.
    """
    deadline = time.monotonic() + timeout_s
    never = threading.Event()
    while not is_so():
        assert time.monotonic() < deadline, what if isinstance(what, str) else what()
        never.wait(look_s)
