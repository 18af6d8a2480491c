"""Programs of the tests that are written in Go, and built where they are needed."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class GoError(Exception):
    """Go is missing, or a build fails."""


def build(sources: Path, target: Path) -> Path:
    """Builds the program of a folder, unless it is newer than its sources.

    :raises GoError: if Go is missing, or the build fails.
    """
    newest = max(path.stat().st_mtime for path in sources.iterdir())
    if target.exists() and target.stat().st_mtime > newest:
        return target
    go = shutil.which("go")
    if go is None:
        raise GoError(f"{target.name} needs Go (Debian: golang-go)")
    target.parent.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod"}
    built = subprocess.run(
        [go, "build", "-o", str(target), "."], cwd=sources, env=environment, capture_output=True, text=True, check=False
    )
    if built.returncode:
        raise GoError(f"{target.name} cannot be built:\n{built.stderr}")
    return target
