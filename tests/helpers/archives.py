"""The wheel and the sdist of this checkout, built once for all tests of a process."""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent.parent


@dataclass(frozen=True, slots=True)
class Archives:
    """The files that a release consists of."""

    wheel: Path
    sdist: Path


@cache
def archives() -> Archives:
    """Gives the archives of this checkout. They are removed when the process ends."""
    directory = tempfile.TemporaryDirectory()
    atexit.register(directory.cleanup)
    return build(CHECKOUT, Path(directory.name))


def build(source: Path, output: Path, **variables: str) -> Archives:
    """Builds the wheel and the sdist of a folder, without a network.

    :param variables: variables of the environment that differ from those of this process.
    """
    run_build(source, output, **variables)
    (wheel,) = output.glob("*.whl")
    (sdist,) = output.glob("*.tar.gz")
    return Archives(wheel, sdist)


def build_wheel(source: Path, output: Path) -> Path:
    """Builds the wheel of a folder."""
    run_build(source, output, "--wheel")
    (wheel,) = output.glob("*.whl")
    return wheel


def run_build(source: Path, output: Path, *options: str, **variables: str) -> None:
    """Runs the tool ``build``.

    :raises AssertionError: if it fails.
    """
    command = [sys.executable, "-m", "build", "--no-isolation", *options, "--outdir", str(output), str(source)]
    run = subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def unpacked(sdist: Path, folder: Path) -> Path:
    """Unpacks the sdist, and gives the folder with its files."""
    with tarfile.open(sdist) as archive:
        if hasattr(tarfile, "data_filter"):  # not before Python 3.11.4
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(folder)
    (root,) = folder.iterdir()
    return root
