"""Folders of tests of trial, which leaves its own."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from twisted.trial.unittest import SynchronousTestCase


def new_folder(test: SynchronousTestCase) -> Path:
    """Gives the path of a folder that does not exist, and is removed at the end of a test."""
    directory = TemporaryDirectory()
    test.addCleanup(directory.cleanup)
    return Path(directory.name) / "folder"
