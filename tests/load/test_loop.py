"""The descriptors and the timers of a process."""

from __future__ import annotations

import os
import time

from twisted.trial.unittest import SynchronousTestCase

from livefeed.load.loop import READABLE, WRITABLE, Loop


class LoopTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.loop = Loop()
        self.addCleanup(self.loop.close)
        self.called: list[object] = []

    def pipe(self) -> tuple[int, int]:
        ends = os.pipe()
        for each in ends:
            self.addCleanup(os.close, each)
        return ends

    def test_timers(self) -> None:
        """They are called in the order of their times, and those of the same time in that of their setting."""
        now = time.monotonic_ns()
        for name, delay_ns in (("last", 2000), ("first", 0), ("second", 0)):
            self.loop.at(now + delay_ns, lambda name=name: self.called.append(name))  # type: ignore[misc]
        self.loop.at(now + 3000, self.loop.stop)
        self.loop.run()
        self.assertEqual(self.called, ["first", "second", "last"])

    def test_timers_do_not_starve_descriptors(self) -> None:
        """A timer that sets another one for the past lets descriptors have their turn."""
        source, sink = self.pipe()

        def again() -> None:
            self.called.append("timer")
            self.loop.at(0, again)

        def read(events: int) -> None:
            self.called.append("descriptor")
            self.loop.stop()

        self.loop.at(0, again)
        self.loop.add(source, READABLE, read)
        os.write(sink, b"x")
        self.loop.run()
        self.assertLessEqual(len(self.called), 2)
        self.assertIn("descriptor", self.called)

    def test_handlers(self) -> None:
        """A handler may be replaced, may wait for other events, and is not called once its descriptor is removed."""
        source, sink = self.pipe()
        other_source, other_sink = self.pipe()

        def first(events: int) -> None:
            # Both are ready in the same turn, and the second one is gone by then.
            self.called.append("first")
            for each in {source, other_source} & {*self.loop.handlers}:
                self.loop.remove(each)
            self.loop.add(sink, READABLE, first)
            self.loop.handlers[sink] = second
            self.loop.change(sink, WRITABLE)

        def second(events: int) -> None:
            self.called.append("second")
            self.loop.stop()

        for reading, writing in ((source, sink), (other_source, other_sink)):
            self.loop.add(reading, READABLE, first)
            os.write(writing, b"x")
        self.loop.run()
        self.assertEqual(self.called, ["first", "second"])

    def test_closed_descriptors(self) -> None:
        """One that was closed before it is removed is no error: epoll has forgotten it."""
        source, sink = os.pipe()
        self.addCleanup(os.close, sink)
        self.loop.add(source, READABLE, self.called.append)
        os.close(source)
        self.loop.remove(source)
        self.assertEqual(self.loop.handlers, {})
