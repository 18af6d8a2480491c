"""The clock of the server."""

from __future__ import annotations

from email.utils import formatdate

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.load.clock import LAG_NS, SAMPLES, SECOND_NS, Offset, offset_of

NOW_NS = 1_764_464_400 * SECOND_NS


def asked(now_ns: int, true_offset_ns: int, way_ns: int) -> Offset:
    """Gives the estimate of one answer, which takes *way_ns* there and as long back."""
    server_s = (now_ns + way_ns + true_offset_ns) // SECOND_NS
    offset = offset_of(formatdate(server_s, usegmt=True), now_ns, now_ns + 2 * way_ns)
    assert offset is not None
    return offset


class ClockTests(SynchronousTestCase):
    @given(
        st.integers(-5 * SECOND_NS, 5 * SECOND_NS), st.integers(0, 50_000_000), st.integers(NOW_NS, NOW_NS + SECOND_NS)
    )
    def test_estimate(self, true_offset_ns: int, way_ns: int, now_ns: int) -> None:
        """A dozen answers limit the difference to the time of the way, and never exclude the true one."""
        offset = asked(now_ns, true_offset_ns, way_ns)
        for _ in range(SAMPLES - 1):
            now_ns = offset.best_moment_ns(now_ns + 2 * way_ns)
            narrowed = offset.narrowed(asked(now_ns, true_offset_ns, way_ns))
            assert narrowed is not None
            offset = narrowed
        self.assertTrue(offset.lowest_ns <= true_offset_ns <= offset.highest_ns)
        self.assertLessEqual(abs(offset.estimate_ns - true_offset_ns), offset.error_ns + 1)
        self.assertLess(offset.error_ns, 2 * way_ns + LAG_NS + 1_000_000)

    def test_no_date(self) -> None:
        """An answer without a date says nothing."""
        for date in (None, "", "soon", "Mon, 99 Nov 2026 00:00:00 GMT"):
            self.assertIsNone(offset_of(date, 0, 0))

    def test_contradiction(self) -> None:
        """Two answers that cannot both be right give no estimate."""
        self.assertIsNone(Offset(0, 10).narrowed(Offset(11, 20)))
