"""The packages of the extras, which not every installation has: the message about one that is missing.

The message has the command that installs it here: pip, pipx and uv each have one of their own.
"""

from __future__ import annotations

import json
import re
import shlex
import sys
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from livefeed.exceptions import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import Distribution

_DISTRIBUTION = "livefeed"
_REQUIREMENT = re.compile(r"""([^;]*[^;\s])\s*;.*\bextra == ['"]([a-z]+)['"]""")
_NAME = re.compile(r"[A-Za-z0-9._-]+")
_CACHES = ("archive-v", "environments-v")
"""The beginnings of the names of the folders in which uv has environments for single runs."""


@contextmanager
def needed_extra(extra: str, subject: str) -> Iterator[None]:
    """Imports packages of an extra, or tells how to install them.

    :param extra: the extra, such as ``mongo``.
    :param subject: the beginning of the message: what cannot work without it.
    :raises MissingExtraError: if a module is missing that is not livefeed's own.
    """
    try:
        yield
    except MissingExtraError as error:
        # A module below has named the extra that it needs. The caller needs that one and more.
        raise MissingExtraError(_message(extra, subject, error.name), name=error.name) from None
    except ModuleNotFoundError as error:
        if (error.name or _DISTRIBUTION).partition(".")[0] == _DISTRIBUTION:
            raise
        raise MissingExtraError(_message(extra, subject, error.name), name=error.name) from None


def install_command(extra: str, prefix: Path, python: str) -> str:
    """Gives the command that installs an extra into an environment, for a shell.

    :param extra: the extra.
    :param prefix: the folder of the environment.
    :param python: its interpreter.
    """
    # A command that makes the environment anew must name everything that is in it.
    extras = ",".join(sorted({extra, *_installed_extras()}))
    anew = shlex.quote(f"{_DISTRIBUTION}[{extras}]{_origin()}")
    if (prefix / "pipx_metadata.json").is_file():
        if prefix.parent.name != "venvs":
            return f"pipx run --spec {anew} {_DISTRIBUTION} ..."
        needed = _needed_by(extra) or (f"{_DISTRIBUTION}[{extra}]",)
        return shlex.join(("pipx", "inject", prefix.name, *needed))
    if (prefix / "uv-receipt.toml").is_file():
        return f"uv tool install {anew}"
    if prefix.parent.name.startswith(_CACHES):
        return f"uvx --from {anew} {_DISTRIBUTION} ..."
    # The source that livefeed was installed from is not needed again.
    here = shlex.quote(f"{_DISTRIBUTION}[{extra}]")
    if find_spec("pip") is None:
        return f"uv pip install --python {shlex.quote(python)} {here}"
    return f"{shlex.quote(python)} -m pip install {here}"


def _message(extra: str, subject: str, module: str | None) -> str:
    """Gives the message about an extra, one of whose modules is missing."""
    missing = [name for name in _packages_of(extra) if not _installed(name)] or [str(module).partition(".")[0]]
    are = "is" if len(missing) == 1 else "are"
    command = install_command(extra, Path(sys.prefix), sys.executable)
    return f"{subject} needs {' and '.join(missing)}, which {are} not installed. To install: {command}"


def _requirements() -> list[tuple[str, str]]:
    """Gives what the extras need, such as ``pymongo>=4.20``, each with its extra.

    There is nothing if livefeed itself is not installed.
    """
    installed = _installed(_DISTRIBUTION)
    found = (installed.requires if installed else None) or ()
    return [(match[1], match[2]) for match in map(_REQUIREMENT.match, found) if match]


def _needed_by(extra: str) -> tuple[str, ...]:
    """Gives the packages of an extra, with their versions."""
    return tuple(needed for needed, of in _requirements() if of == extra)


def _packages_of(extra: str) -> tuple[str, ...]:
    """Gives the packages of an extra, without their versions."""
    return tuple(_NAME.findall(needed)[0] for needed in _needed_by(extra))


def _installed_extras() -> set[str]:
    """Gives the extras of which every package is there."""
    return {extra for _, extra in _requirements() if all(map(_installed, _packages_of(extra)))}


def _installed(package: str) -> Distribution | None:
    """Gives an installed package; ``None`` if it is none."""
    # Imported here: it takes 50 ms, and only a failure needs it.
    from importlib.metadata import PackageNotFoundError, distribution  # noqa: PLC0415

    try:
        return distribution(package)
    except PackageNotFoundError:
        return None


def _origin() -> str:
    """Gives the file or folder that livefeed was installed from, as a part of a requirement; nothing for an index."""
    installed = _installed(_DISTRIBUTION)
    text = installed.read_text("direct_url.json") if installed else None  # PEP 610
    url = json.loads(text)["url"] if text else ""
    # Any other URL might have a password.
    return f" @ {url}" if url.startswith("file:") else ""
