"""Waiting for something that nothing tells of, such as what another process has done to a file."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT_S = 60.0
"""The time in seconds for which anything is waited for. It only ends tests that would fail, so it is generous."""

LOOK_S = 0.01
"""The time in seconds between two looks."""


def wait_until(is_so: Callable[[], object], what: str | Callable[[], object], timeout_s: float = WAIT_S) -> None:
    """Returns as soon as something is so.

    :param what: what has not happened, for the message of the failure; or gives that.
    :raises AssertionError: if that takes too long.
    """
    deadline = time.monotonic() + timeout_s
    never = threading.Event()
    while not is_so():
        assert time.monotonic() < deadline, what if isinstance(what, str) else what()
        never.wait(LOOK_S)
