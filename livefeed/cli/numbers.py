"""Numbers on the command line."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_WATCHERS = 10_000_000
"""The largest number of watchers that a machine can be asked about: more than one machine holds."""

MAX_DOCUMENT_BYTES = 256 * 1024 * 1024
"""The largest document that a feed can be set to serve."""

_SHOWN = 20
_FACTORS = {"K": 1000, "M": 1_000_000}


def watchers_of(text: str) -> int:
    """Reads a number of watchers, such as ``20000`` or ``20,000``.

    :raises ArgumentTypeError: if it is none.
    """
    digits = text.replace(",", "").replace("_", "")
    if not _is_number(digits) or not 1 <= int(digits) <= MAX_WATCHERS:
        raise argparse.ArgumentTypeError(f"{text[:_SHOWN]!r} is not a number from 1 to {MAX_WATCHERS:,}")
    return int(digits)


def size_of(text: str) -> int:
    """Reads a number of bytes, such as ``4096``, ``20KB`` or ``1MB``.

    :raises ArgumentTypeError: if it is none.
    """
    digits = text.upper().replace(",", "").removesuffix("B").strip()
    factor = _FACTORS.get(digits[-1:], 1)
    digits = digits.rstrip("KM").strip() if factor > 1 else digits
    if not _is_number(digits) or not 1 <= int(digits) * factor <= MAX_DOCUMENT_BYTES:
        raise argparse.ArgumentTypeError(f"{text[:_SHOWN]!r} is not a size such as 4096, 20KB or 1MB, up to 256 MiB")
    return int(digits) * factor


def number_from(least: float, most: float) -> Callable[[str], float]:
    """Gives a reader of numbers, which may have a percent sign.

    :param least: the least number that it takes.
    :param most: the largest one.
    """

    def read(text: str) -> float:
        try:
            value = float(text.removesuffix("%"))
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text[:_SHOWN]!r} is not a number from {least:g} to {most:g}")
        return value

    return read


def _is_number(digits: str) -> bool:
    # Longer texts are not converted: Python takes a time that grows with the square of the length.
    return digits.isascii() and digits.isdecimal() and len(digits) < _SHOWN
