"""Threads that the process does not wait for."""

from __future__ import annotations

import errno
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import SynchronousTestCase

from livefeed.threads import defer_to_new_thread, start_thread

if TYPE_CHECKING:
    from collections.abc import Callable

WAIT_S = 10


class ReactorDouble:
    """Keeps the calls from threads until the test runs them."""

    def __init__(self) -> None:
        self.handed: list[Callable[[], object]] = []
        self.came = threading.Event()

    def callFromThread(self, call: Callable[..., object], *arguments: Any) -> None:
        self.handed.append(lambda: call(*arguments))
        self.came.set()

    def run(self) -> None:
        assert self.came.wait(WAIT_S)
        while self.handed:
            self.handed.pop(0)()


class DaemonTests(SynchronousTestCase):
    """start_thread and defer_to_new_thread."""

    def setUp(self) -> None:
        self.reactor = ReactorDouble()

    def test_work_is_done_in_a_daemon(self) -> None:
        """The thread has its name, and the process does not wait for it."""
        done = threading.Event()
        seen: list[threading.Thread] = []

        def work() -> None:
            seen.append(threading.current_thread())
            done.set()

        start_thread(work, name="pulls")
        self.assertTrue(done.wait(WAIT_S))
        self.assertEqual(seen[0].name, "pulls")
        self.assertTrue(seen[0].daemon)

    def test_partial_is_called(self) -> None:
        """A partial has no name, so the thread has that of its function."""
        outcome = defer_to_new_thread(self.reactor, partial(max, 1), 2)  # type: ignore[arg-type]
        self.reactor.run()
        self.assertEqual(self.successResultOf(outcome), 2)

    def test_result_comes_in_the_reactors_thread(self) -> None:
        """The Deferred fires with the result of the work, in the reactor's thread."""
        outcome = defer_to_new_thread(self.reactor, threading.current_thread)  # type: ignore[arg-type]
        self.assertTrue(self.reactor.came.wait(WAIT_S))
        self.assertNoResult(outcome)
        self.reactor.run()
        self.assertIsNot(self.successResultOf(outcome), threading.current_thread())

    def test_what_is_raised_comes_too(self) -> None:
        """The Deferred fails with the exception of the work, of any class."""
        for kind in (ValueError, KeyboardInterrupt):

            def work(kind: type[BaseException] = kind) -> None:
                raise kind("no")

            self.reactor.came.clear()
            outcome = defer_to_new_thread(self.reactor, work)  # type: ignore[arg-type]
            self.reactor.run()
            self.failureResultOf(outcome, kind)

    def test_no_more_threads(self) -> None:
        """If the kernel starts no more threads, the call raises an OSError."""
        self.patch(threading.Thread, "start", self.no_thread)
        error = self.assertRaises(OSError, defer_to_new_thread, self.reactor, print)
        self.assertEqual(error.errno, errno.EAGAIN)

    @staticmethod
    def no_thread(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    def test_cancelled(self) -> None:
        """The result of a cancelled call is discarded."""
        go = threading.Event()
        outcome = defer_to_new_thread(self.reactor, go.wait, WAIT_S)  # type: ignore[arg-type]
        errors: list[object] = []
        outcome.addErrback(errors.append)
        outcome.cancel()
        self.assertEqual(len(errors), 1)
        go.set()
        self.reactor.run()
        self.assertEqual(len(errors), 1)
