"""The clock that measures, the clock that is displayed, and points in time by both."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.selectreactor import SelectReactor
from twisted.internet.task import Clock, LoopingCall
from twisted.logger import capturedLogs, eventAsText
from twisted.trial.unittest import SynchronousTestCase

from livefeed import clocks
from livefeed.clocks import BEAT_S, STEP_S, Beat, Boot, Moment, measure_by_monotonic_clock, monotonic

if TYPE_CHECKING:
    from twisted.internet.interfaces import IReactorTime

NOW = 1_700_000_000.25
SECONDS = st.floats(0, 1e7)
STEPS = st.floats(-1e8, 1e8)


class BeatTests(SynchronousTestCase):
    """Beat."""

    def test_regular_calls_come_together(self) -> None:
        """Calls that began at different times come at the same beats, once in each of their periods."""
        clock = Clock()
        clock.advance(7.03)
        beats: dict[str, list[float]] = {"half": [], "full": [], "late": []}
        for name, period_s, begins_s in (("half", BEAT_S, 0.2), ("full", 2 * BEAT_S, 0.4), ("late", BEAT_S, 0.9)):
            loop = LoopingCall(lambda times: times.append(clock.seconds()), beats[name])
            loop.clock = cast("IReactorTime", Beat(clock))
            clock.callLater(begins_s, loop.start, period_s, now=False)
            self.addCleanup(loop.stop)
        for _ in range(400):
            clock.advance(0.01)
        at = {name: [int(when / BEAT_S) for when in times] for name, times in beats.items()}
        self.assertEqual(at["half"], [16, 17, 18, 19, 20, 21, 22])
        self.assertEqual(at["full"], [17, 19, 21])
        self.assertEqual(at["late"], [17, 18, 19, 20, 21, 22])

    @given(st.floats(0, 1e9), st.floats(0, 1e4))
    def test_a_call_comes_at_a_beat(self, now_s: float, delay_s: float) -> None:
        """It comes later, after the delay, and less than a beat after that."""
        clock = Clock()
        clock.rightNow = now_s
        due_s = Beat(clock).callLater(delay_s, list).getTime()
        self.assertGreater(due_s, now_s)
        self.assertLess(abs(due_s / BEAT_S - round(due_s / BEAT_S)), 1e-6)
        self.assertTrue(now_s + delay_s - 1e-6 <= due_s <= now_s + delay_s + BEAT_S + 1e-6)
        self.assertEqual(Beat(clock).seconds(), now_s)


class MonotonicTests(SynchronousTestCase):
    """monotonic and measure_by_monotonic_clock."""

    def test_time_of_a_suspended_machine_counts(self) -> None:
        """The system must have such a clock, as Linux does."""
        # The values prove nothing: until the machine is suspended, another clock has the same.
        clock: Any = clocks.boottime
        self.assertIs(monotonic, clock)
        self.assertEqual((clock.func, clock.args), (time.clock_gettime, (time.CLOCK_BOOTTIME,)))

    def test_system_without_such_a_clock(self) -> None:
        """A system that does not know the clock, or refuses it."""

        def refuse(number: int) -> float:
            raise OSError(22, "Invalid argument", number)

        self.patch(time, "clock_gettime", refuse)
        self.assertIsNone(clocks._boottime())
        self.patch(time, "CLOCK_BOOTTIME", None)
        self.assertIsNone(clocks._boottime())

    def test_reactor_measures_by_it(self) -> None:
        """Scheduled calls are due by that clock, even if the wall clock is set."""
        reactor: Any = SelectReactor()
        self.addCleanup(reactor.disconnectAll)
        self.addCleanup(reactor.removeAll)
        measure_by_monotonic_clock(reactor)
        before = monotonic()
        call = reactor.callLater(5, lambda: None)
        self.assertTrue(before + 5 <= call.getTime() <= monotonic() + 5)
        self.patch(time, "time", lambda: NOW)
        self.assertLessEqual(reactor.timeout(), 5)
        self.assertIs(call.seconds, monotonic)

    def test_something_was_scheduled_before(self) -> None:
        """The call would be due in decades: the clock is left as it is, and the log says so."""
        clock = Clock()
        clock.callLater(1, lambda: None)
        with capturedLogs() as log:
            measure_by_monotonic_clock(clock)
        self.assertEqual(clock.seconds(), 0)
        self.assertIn("was scheduled before livefeed", eventAsText(log[0]))


class BootTests(SynchronousTestCase):
    """Boot.current."""

    def of(self, content: bytes | None) -> Boot | None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "boot_id"
            if content is not None:
                path.write_bytes(content)
            self.patch(clocks, "BOOT_ID", path)
            return Boot.current()

    def test_it_is_named_and_measured(self) -> None:
        """The id has no line feed."""
        boot = self.of(b"9a4c0f8e-5d3b-4d0e-8f6a-1c2b3a4d5e6f\n")
        assert boot is not None
        self.assertEqual(boot.id, "9a4c0f8e-5d3b-4d0e-8f6a-1c2b3a4d5e6f")
        self.assertGreaterEqual(monotonic(), boot.seconds() - 60)

    def test_it_is_not_named(self) -> None:
        """There is no file, or an empty one, or no id in it."""
        for content in (None, b"", b"\n", b"x" * 37, b"\xff\n"):
            self.assertIsNone(self.of(content))

    def test_it_is_not_measured(self) -> None:
        """An id without a clock is not used."""
        self.patch(clocks, "boottime", None)
        self.assertIsNone(self.of(b"9a4c0f8e\n"))


class MomentTests(SynchronousTestCase):
    """Moment."""

    @given(SECONDS, SECONDS, STEPS)
    def test_age_does_not_depend_on_the_wall_clock(self, measured_s: float, later_s: float, step_s: float) -> None:
        """The age ignores steps of the wall clock, and the displayed time matches it to less than a step."""
        moment = Moment(measured_s, NOW)
        now = Moment(measured_s + later_s, NOW + later_s + step_s)
        age_s = moment.age_s(now)
        self.assertLess(abs(age_s - later_s), 1e-5)
        displayed = moment.displayed(now)
        self.assertLessEqual(displayed, now.wall_s)
        self.assertLess(abs(now.wall_s - displayed - age_s), STEP_S + 1e-5)

    @given(SECONDS, SECONDS, st.floats(-0.001, 0.001))
    def test_displayed_time_does_not_wander(self, measured_s: float, later_s: float, between_s: float) -> None:
        """Some time passes between the readings of the two clocks."""
        moment = Moment(measured_s, NOW)
        now = Moment(measured_s + later_s + 0.01, NOW + later_s + 0.01 + between_s)
        self.assertEqual(moment.displayed(now), NOW)

    @given(SECONDS, SECONDS, STEPS)
    def test_moment_that_was_not_measured(self, measured_s: float, later_s: float, step_s: float) -> None:
        """It is at the latest possible time, or earlier if the wall clock says so."""
        moment = Moment(measured_s, NOW, by_wall=True)
        now = Moment(measured_s + later_s, NOW + later_s + step_s)
        self.assertLess(abs(moment.age_s(now) - max(later_s, later_s + step_s)), 1e-5)
        self.assertLessEqual(moment.displayed(now), now.wall_s)

    def test_age_is_never_negative(self) -> None:
        """This holds even if a clock goes backwards."""
        self.assertEqual(Moment(10.0, NOW).age_s(Moment(5.0, NOW)), 0)
        self.assertEqual(Moment(10.0, NOW, by_wall=True).age_s(Moment(5.0, NOW - 9)), 0)
