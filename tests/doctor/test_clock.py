"""The clock of the machine, and the time that a look at it takes."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.doctor.clock import RELEASED_AT, check_clock, check_clock_source

NOW = RELEASED_AT + 1


class ClockTests(SynchronousTestCase):
    def test_synchronised(self) -> None:
        """A clock that runs with the measured time is in order."""
        self.assertEqual(check_clock(NOW, 0.1, is_synchronised=True).level, "ok")

    def test_not_synchronised(self) -> None:
        """It may be wrong by any time; another system tells nothing."""
        found = check_clock(NOW, 0, is_synchronised=False)
        self.assertEqual((found.level, found.mend), ("warning", "timedatectl set-ntp true"))
        self.assertEqual(check_clock(NOW, 0, is_synchronised=None).level, "note")

    def test_jump(self) -> None:
        """It was set while the command ran, in either direction."""
        for jump_s, shown in ((-3600, "-3600.0 s"), (1.5, "+1.5 s")):
            found = check_clock(NOW, jump_s, is_synchronised=True)
            self.assertEqual(found.level, "warning")
            self.assertIn(shown, found.text)

    def test_first_year(self) -> None:
        """A machine without a battery begins in 1970."""
        self.assertEqual(check_clock(12.0, 0, is_synchronised=True).level, "problem")


class SourceTests(SynchronousTestCase):
    def test_sources(self) -> None:
        """A slow source is mended by a faster one, if there is one."""
        self.assertEqual(check_clock_source("tsc", []).text, "tsc")
        self.assertEqual(check_clock_source("", []).level, "ok")
        found = check_clock_source("hpet", ["hpet", "kvm-clock", "tsc"])
        self.assertEqual((found.level, found.mend.split(" > ")[0]), ("warning", "echo tsc"))
        self.assertEqual(check_clock_source("acpi_pm", ["acpi_pm"]).level, "note")
