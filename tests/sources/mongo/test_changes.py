"""Change streams, with a double in the place of pymongo's."""

from __future__ import annotations

import random
import threading
from typing import Any, Self, cast

from pymongo.errors import AutoReconnect, OperationFailure
from twisted.logger import ILogObserver, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from livefeed.sources.mongo.changes import MAX_PAUSE_S, MIN_PAUSE_S, Changes

SECRET = "correct-horse"


class ClosingDouble(threading.Event):
    """An event that is never waited for: it keeps how long it would have been, and is set when that was enough."""

    def __init__(self, pauses: int) -> None:
        super().__init__()
        self.waits: list[float] = []
        self._pauses = pauses

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits.append(timeout)
        if len(self.waits) >= self._pauses:
            self.set()
        return self.is_set()


class StreamDouble:
    """A change stream that plays back its arguments: changes, ``None``, errors to raise; then it ends."""

    def __init__(self, *events: object) -> None:
        self.events = [*events]
        self.closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.closed = True

    @property
    def alive(self) -> bool:
        return bool(self.events)

    def try_next(self) -> object | None:
        event = self.events.pop(0)
        if isinstance(event, Exception):
            raise event
        return event


class ChangesTests(SynchronousTestCase):
    """Changes."""

    def setUp(self) -> None:
        self.told = 0
        self.lines: list[str] = []
        self.opened: list[StreamDouble] = []
        observer = cast("ILogObserver", self.observe)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        # The spread is 1 here, but where it is tested.
        self.patch(random, "uniform", lambda low, high: high)

    def observe(self, event: dict[str, Any]) -> None:
        if event.get("log_namespace") == Changes.__module__:
            self.lines.append(str(event["log_format"]).format(**event))

    def note(self) -> None:
        self.told += 1

    def run_through(self, *streams: StreamDouble | Exception, pauses: int | None = None) -> ClosingDouble:
        """Runs the thread's work here, through the streams and errors that are to be had."""
        left = [*streams]

        def open_stream() -> StreamDouble:
            stream = left.pop(0)
            if isinstance(stream, Exception):
                raise stream
            self.opened.append(stream)
            return stream

        closing = ClosingDouble(pauses or len(streams))
        Changes(
            open_stream=open_stream,
            changed=self.note,
            in_reactor=lambda call, *arguments, **fields: call(*arguments, **fields),
            closing=closing,
            describe=lambda error: str(error).replace(SECRET, "***"),
            source="mongodb://h/db/c",
        ).run()
        self.assertEqual(left, [])
        self.assertTrue(all(stream.closed for stream in self.opened))
        return closing

    def test_each_change_is_told_of(self) -> None:
        """Changes are told of, and that nothing has changed is not; opening counts as a change."""
        self.run_through(StreamDouble({"_id": 1}, None, {"_id": 2}, None))
        self.assertEqual(self.told, 3)
        self.assertEqual(self.lines, ["mongodb://h/db/c reports changes, which are pulled at once"])

    def test_server_without_streams(self) -> None:
        """The log says once that the server has no change streams, and the thread ends."""
        for code in (13, 115, 238, 40324, 40573):
            self.lines.clear()
            closing = self.run_through(OperationFailure("there are none here", code))
            self.assertEqual(closing.waits, [])
            self.assertEqual(
                self.lines, ["mongodb://h/db/c reports no changes; they are seen at ticks alone: there are none here"]
            )
        self.assertEqual(self.told, 0)

    def test_errors_are_not_the_end(self) -> None:
        """After an error the stream is opened again, and a change is reported, as some may have been missed."""
        self.run_through(StreamDouble({"_id": 1}, AutoReconnect("gone")), StreamDouble({"_id": 2}))
        self.assertEqual(self.told, 4)
        self.assertEqual(len(self.lines), 3)
        self.assertIn("reports no changes now; they are seen at ticks alone: gone", self.lines[1])

    def test_wrong_password_is_tried_again(self) -> None:
        """A password that is refused may be right later: it is tried again, told of once, and not repeated."""
        error = OperationFailure(f"Authentication failed: {SECRET}", 18)
        self.run_through(error, error, error, StreamDouble(None))
        self.assertEqual(len(self.lines), 2)
        self.assertNotIn(SECRET, "".join(self.lines))

    def test_any_error_is_survived(self) -> None:
        """An unexpected exception does not end the thread."""
        self.run_through(ValueError("odd"), StreamDouble(KeyError("odder")), StreamDouble(None))
        self.assertEqual(self.told, 2)

    def test_pauses_grow_and_begin_anew(self) -> None:
        """Each error makes the pause twice as long, up to a bound; a stream that works makes it short again."""
        errors = [AutoReconnect("gone")] * 8
        closing = self.run_through(*errors, StreamDouble(None, AutoReconnect("gone")), *errors[:2])
        self.assertEqual(closing.waits[:7], [1, 2, 4, 8, 16, 30, 30])
        self.assertEqual(closing.waits[8:], [1, 2, 4])

    def test_stream_that_works_not_once_is_an_error(self) -> None:
        """A stream that is opened and breaks at once is not tried again without a growing pause."""
        streams = [StreamDouble(AutoReconnect("gone")) for _ in range(4)]
        self.assertEqual(self.run_through(*streams).waits, [1, 2, 4, 8])

    def test_pauses_are_spread(self) -> None:
        """Many feeds do not come back in the same instant."""
        asked: list[tuple[float, float]] = []

        def uniform(low: float, high: float) -> float:
            asked.append((low, high))
            return low

        self.patch(random, "uniform", uniform)
        self.assertEqual(self.run_through(AutoReconnect("gone"), AutoReconnect("gone")).waits, [0.5, 1.0])
        self.assertEqual(asked, [(0.5, 1.0)] * 2)
        self.assertLess(MIN_PAUSE_S, MAX_PAUSE_S)

    def test_closing_ends_it(self) -> None:
        """A closed source opens, reports and logs nothing."""
        closing = threading.Event()

        class Closes(StreamDouble):
            def try_next(self) -> object | None:
                closing.set()
                raise AutoReconnect("closed under its hands")

        opened = Closes(None)
        work = Changes(
            open_stream=lambda: opened,
            changed=self.note,
            in_reactor=lambda call, *arguments, **fields: call(*arguments, **fields),
            closing=closing,
            describe=str,
            source="s",
        )
        work.run()
        self.assertTrue(opened.closed)
        self.assertEqual(len(self.lines), 1)
        work.run()
        self.assertEqual(self.told, 1)
