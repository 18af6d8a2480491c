"""Numbers are compared exactly, and none takes long."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.exact_numbers import MAX_EXPONENT, MAX_NUMBER_BYTES, Step, is_number, number_of

DISTANCES = st.none() | st.decimals(0, 1000, places=3)
NUMBERS = st.decimals(-10_000, 10_000, allow_nan=False, allow_infinity=False, places=4)


class NumberTests(SynchronousTestCase):
    """number_of and is_number."""

    def test_numbers(self) -> None:
        """The value is exact, in any notation."""
        for text in (b"0", b"-0", b"1200", b"1.50", b"1e3", b"-1E-2", b"12345678901234567890.123456789"):
            self.assertTrue(is_number(text))
            self.assertEqual(number_of(text), Decimal(text.decode()))
        self.assertEqual(number_of(b"0.1"), Decimal("0.10"))
        self.assertNotEqual(number_of(b"9007199254740993"), number_of(b"9007199254740992"))

    def test_no_numbers(self) -> None:
        """Other values are none, and neither is text with digits."""
        for text in (b"", b'"1"', b"null", b"true", b"[1]", b"{}"):
            self.assertFalse(is_number(text), text)
            self.assertIsNone(number_of(text), text)
        for text in (b"-", b"1x", b"1\xff"):
            self.assertIsNone(number_of(text), text)

    def test_limits(self) -> None:
        """A number of just the limits is read; larger ones are no value, at once."""
        self.assertIsNotNone(number_of(b"9" * MAX_NUMBER_BYTES))
        self.assertIsNone(number_of(b"9" * (MAX_NUMBER_BYTES + 1)))
        for sign in ("", "-"):
            self.assertIsNotNone(number_of(f"1e{sign}{MAX_EXPONENT}".encode()))
            self.assertIsNone(number_of(f"1e{sign}{MAX_EXPONENT + 1}".encode()))
            self.assertIsNone(number_of(f"1e{sign}{'9' * 19}".encode()))
            self.assertIsNone(number_of(f"1e{sign}{'9' * 200}".encode()))
        self.assertTrue(is_number(b"1e" + b"9" * 200))


class StepTests(SynchronousTestCase):
    """Step.allows."""

    def test_distance(self) -> None:
        """Up or down, by the distance itself and no more."""
        step = Step(Decimal(5))
        for old, new, allowed in ((10, 15, True), (10, 5, True), (10, 16, False), (10, 4, False), (0, 5, True)):
            self.assertEqual(step.allows(Decimal(old), Decimal(new)), allowed, (old, new))

    def test_percent(self) -> None:
        """In percent of the number before, which may be negative."""
        step = Step(percent=Decimal(20))
        for old, new, allowed in ((10, 12, True), (10, 8, True), (10, 13, False), (-10, -12, True), (-10, -13, False)):
            self.assertEqual(step.allows(Decimal(old), Decimal(new)), allowed, (old, new))

    def test_from_zero(self) -> None:
        """No distance is a percentage of 0: a night begins there."""
        self.assertTrue(Step(percent=Decimal(1)).allows(Decimal(0), Decimal(1_000_000)))
        self.assertFalse(Step(Decimal(5), Decimal(1)).allows(Decimal(0), Decimal(6)))
        self.assertTrue(Step(Decimal(5), Decimal(1)).allows(Decimal(0), Decimal(5)))

    def test_the_larger_one_counts(self) -> None:
        """With both, small numbers may move by the distance, and large ones by the percentage."""
        step = Step(Decimal(5), Decimal(10))
        for old, new, allowed in ((10, 15, True), (1000, 1100, True), (10, 16, False), (1000, 1101, False)):
            self.assertEqual(step.allows(Decimal(old), Decimal(new)), allowed, (old, new))

    def test_direction(self) -> None:
        """Only falls, or only rises, are limited."""
        down, up = Step(Decimal(5), direction="down"), Step(percent=Decimal(10), direction="up")
        for old, new, is_down, is_up in (
            (10, 90, True, False),
            (10, 4, False, True),
            (10, 5, True, True),
            (10, 10, True, True),
        ):
            self.assertEqual(down.allows(Decimal(old), Decimal(new)), is_down, (old, new))
            self.assertEqual(up.allows(Decimal(old), Decimal(new)), is_up, (old, new))
        self.assertEqual((str(down), str(up)), ("down by more than 5", "up by more than 10 %"))

    def test_extreme_numbers(self) -> None:
        """The difference of the largest and the smallest number is exact."""
        large, small = Decimal(f"1e{MAX_EXPONENT}"), Decimal(f"1e-{MAX_EXPONENT}")
        self.assertTrue(Step(large).allows(Decimal(0), large))
        self.assertFalse(Step(large).allows(-small, large))

    @settings(deadline=None)
    @given(NUMBERS, NUMBERS, DISTANCES, DISTANCES)
    def test_exact(self, old: Decimal, new: Decimal, by: Decimal | None, percent: Decimal | None) -> None:
        """Fractions give the same answers."""
        distance = abs(Fraction(new) - Fraction(old))
        expected = old == new or (by is not None and distance <= Fraction(by))
        if not expected and percent is not None:
            expected = by is None if old == 0 else distance * 100 <= Fraction(percent) * abs(Fraction(old))
        self.assertEqual(Step(by, percent).allows(old, new), expected)

    def test_text(self) -> None:
        """It reads well in a sentence that says "by more than"."""
        self.assertEqual(str(Step(Decimal("5E+2"))), "by more than 500")
        self.assertEqual(Step(percent=Decimal("2.5")).limit(), "2.5 %")
        self.assertEqual(Step(Decimal(5), Decimal(20)).limit(), "5 and by more than 20 %")
