"""The programs that tests talk to livefeed with: a test without its program is skipped, and fails in CI."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def peer(program: str, package: str) -> str:
    """Gives the path of a program that a test talks to livefeed with.

    Where there is none the test is skipped, and pytest says so; with ``LIVEFEED_TEST_PEERS=required``, as in CI, it
    fails instead.

    :param package: the package of Debian that has it.
    """
    path = shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if path is None:
        missing_peer(f"no {program} on the PATH (Debian: {package})")
    return path


def missing_peer(message: str) -> NoReturn:
    """Skips a test whose program is missing, or fails it where no program may be missing."""
    if os.environ.get("LIVEFEED_TEST_PEERS") == "required":
        pytest.fail(message)
    pytest.skip(message)
