"""Packages beside livefeed, which bring sources along."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def install(directory: Path, module: str, code: str, *entries: str) -> None:
    """Puts a distribution of one module into a directory, as an installer does.

    :param entries: its entry points for sources, each ``scheme = module:name``.
    """
    (directory / f"{module}.py").write_text(code)
    information = directory / f"{module}-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module.replace('_', '-')}\nVersion: 1.0\n")
    lines = "\n".join(entries)
    (information / "entry_points.txt").write_text(f"[livefeed.sources]\n{lines}\n")
