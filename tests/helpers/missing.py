"""Packages that seem not to be installed."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def missing(package: str, *importers: str) -> Iterator[None]:
    """Makes every import of a package fail, as if it were not installed.

    :param package: the name by which it is imported.
    :param importers: the modules that are imported anew meanwhile, because they import it.
    """
    with patch.dict(sys.modules):
        for name in [*sys.modules]:
            if name in importers:
                del sys.modules[name]
            elif name == package or name.startswith(f"{package}."):
                sys.modules[name] = None  # type: ignore[assignment]
        sys.modules[package] = None  # type: ignore[assignment]
        yield
