"""Threads that the process does not wait for."""

from __future__ import annotations

import errno
import threading
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.trial.unittest import SynchronousTestCase

from livefeed import threads
from livefeed.threads import MAX_RESTING, defer_to_new_thread, start_thread

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


class Given:
    """An object that gives itself."""

    def give(self) -> None:
        """Gives nothing."""


class DaemonTests(SynchronousTestCase):
    """start_thread and defer_to_new_thread."""

    def setUp(self) -> None:
        self.reactor = ReactorDouble()
        # Those of other tests go on resting; those of this test end with it.
        self.patch(threads, "_resting", [])
        self.addCleanup(self.end_resting)

    def end_resting(self) -> None:
        """Gives the threads that rest no work, which ends them."""
        resting, threads._resting = threads._resting, []
        for worker in resting:
            worker.give(None, f"ending {id(worker)}")  # type: ignore[arg-type]

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

    def call(self, work: Callable[..., Any], *arguments: Any) -> Any:
        """Gives the result of some work in a thread."""
        self.reactor.came.clear()
        outcome = defer_to_new_thread(self.reactor, work, *arguments)  # type: ignore[arg-type]
        self.reactor.run()
        return self.successResultOf(outcome)

    def rested(self, count: int) -> None:
        """Waits until some threads rest."""
        deadline = threading.Event()
        for _ in range(WAIT_S * 100):
            if len(threads._resting) == count:
                return
            deadline.wait(0.01)
        raise self.failureException(f"{len(threads._resting)} threads rest, and not {count}")

    def test_thread_is_used_again(self) -> None:
        """A thread that has done its work does the next one, under the name of that."""

        def current() -> tuple[int, str]:
            return threading.get_ident(), threading.current_thread().name

        first, name = self.call(current)
        self.rested(1)
        self.assertEqual(self.call(current), (first, name))
        self.rested(1)
        self.assertEqual(self.call(partial(threading.current_thread)).name, "livefeed current_thread")
        self.rested(1)
        # No thread can be started, and none has to be.
        self.patch(threading.Thread, "start", self.no_thread)
        self.assertEqual(self.call(current), (first, name))

    def test_thread_that_is_given_no_work(self) -> None:
        """It ends, and does not rest again."""
        thread = self.call(threading.current_thread)
        self.rested(1)
        self.end_resting()
        thread.join(WAIT_S)
        self.assertEqual((thread.is_alive(), threads._resting), (False, []))

    def test_calls_at_the_same_time(self) -> None:
        """Each has a thread of its own, and a call that hangs keeps no other waiting. Only a few threads rest."""
        go, count = threading.Event(), MAX_RESTING + 2
        began = threading.Semaphore(0)

        def hang() -> int:
            began.release()
            go.wait(WAIT_S)
            return threading.get_ident()

        hanging = [defer_to_new_thread(self.reactor, hang) for _ in range(count)]  # type: ignore[arg-type]
        for _ in range(count):
            self.assertTrue(began.acquire(timeout=WAIT_S))
        self.assertEqual(self.call(max, 1, 2), 2)
        self.rested(1)
        go.set()
        self.rested(MAX_RESTING)
        while len(self.reactor.handed) < count:
            self.assertTrue(self.reactor.came.wait(WAIT_S))
        self.reactor.run()
        self.assertEqual(len({self.successResultOf(each) for each in hanging}), count)

    def test_work_is_not_kept(self) -> None:
        """A thread that rests keeps neither the work nor its result."""
        given = Given()
        kept = weakref.ref(given)
        self.call(given.give)
        self.rested(1)
        del given
        self.assertIsNone(kept())

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
