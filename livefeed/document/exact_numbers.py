"""Numbers of a document as values that are compared and subtracted exactly, without rounding.

Rule: no number takes long. One with too many digits or too large an exponent is no value here, and callers say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import Literal

MAX_NUMBER_BYTES = 256
"""The largest number of bytes of a number that is compared. A double needs 24 at most."""

MAX_EXPONENT = 6144
"""The largest exponent of ten of a number that is compared, also with a minus: that of IEEE 754's decimal128. The
difference of two numbers then has 13,000 digits at most, and takes some microseconds."""

# More digits than any difference or product has here, so nothing is rounded.
_EXACT = Context(prec=20_000, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[])

Direction = Literal["up", "down", "both"]

_BEGINNINGS = frozenset(b"-0123456789")
_HUNDRED = Decimal(100)


def is_number(value: bytes) -> bool:
    """Tells whether a value of a document is a number, of any size."""
    return value[:1] != b"" and value[0] in _BEGINNINGS


def number_of(value: bytes) -> Decimal | None:
    """Gives the number that a value of a document is; ``None`` if it is none, or exceeds a limit."""
    if not is_number(value) or len(value) > MAX_NUMBER_BYTES:
        return None
    try:
        number = Decimal(value.decode())
    except (ArithmeticError, UnicodeDecodeError):  # an exponent of 19 digits, or no JSON
        return None
    return number if abs(number.adjusted()) <= MAX_EXPONENT else None


@dataclass(frozen=True, slots=True)
class Step:
    """How far a number may move at once. It may move by the larger one of the two distances.

    :ivar by: a distance, 0 or more; ``None`` for none.
    :ivar percent: a distance in percent of the number before, 0 or more; ``None`` for none. No distance is a percentage
        of 0, so with this alone, a number may move from 0 anywhere.
    :ivar direction: the direction in which the distance is limited, ``up`` or ``down``, or ``both``.
    """

    by: Decimal | None = None
    percent: Decimal | None = None
    direction: Direction = "both"

    def allows(self, old: Decimal, new: Decimal) -> bool:
        """Tells whether a number may move from one value to another."""
        if new == old or self.direction == ("down" if new > old else "up"):
            return True
        distance = _EXACT.abs(_EXACT.subtract(new, old))
        if self.by is not None and distance <= self.by:
            return True
        if self.percent is None:
            return False
        if old == 0:
            return self.by is None
        return _EXACT.multiply(distance, _HUNDRED) <= _EXACT.multiply(self.percent, _EXACT.abs(old))

    def limit(self) -> str:
        """Gives the distance as text, behind "by more than"."""
        by = "" if self.by is None else f"{self.by:f}"
        percent = "" if self.percent is None else f"{self.percent:f} %"
        return f"{by} and by more than {percent}" if by and percent else by or percent

    def __str__(self) -> str:
        direction = "" if self.direction == "both" else f"{self.direction} "
        return f"{direction}by more than {self.limit()}"
