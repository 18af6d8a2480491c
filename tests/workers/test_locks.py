"""The locks of workers, with real files."""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import RuntimeDirError
from livefeed.workers import locks
from livefeed.workers.locks import (
    MAX_INDEX,
    Activity,
    RunningWorker,
    WorkerLock,
    generation_after,
    hold_worker,
    holder_of,
    lock_path,
    remove_left_over,
    running_workers,
)


class LockTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)

    def lock(self, name: str, content: bytes, *, is_held: bool = True) -> None:
        """Makes the lock of a worker."""
        fd = os.open(self.directory / name, os.O_RDWR | os.O_CREAT, 0o600)
        self.addCleanup(os.close, fd)
        os.write(fd, content)
        if is_held:
            fcntl.flock(fd, fcntl.LOCK_EX)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.directory.iterdir())


class RunningTests(LockTestCase):
    def test_held_locks(self) -> None:
        """Each lock that is held names a process. Others were left behind, or are none."""
        self.patch(locks, "_LOOK_S", 0)
        self.patch(locks, "_start_of", lambda pid: 7 if pid < 200 else None)
        self.lock("worker-1-0.lock", b"122 7 accepting\n")
        self.lock("worker-0-6.lock", b"123 8 accepting\n")
        self.lock("worker-0-7.lock", b"200 7 accepting\n")
        self.lock("worker-0-8.lock", b"123 accepting\n")
        self.lock("worker-0-0.lock", b"123 7 draining\n")
        self.lock("worker-0-1.lock", b"124 7\n", is_held=False)
        self.lock("worker-0-2.lock", b"nobody")
        self.lock("worker-0-x.lock", b"125 7\n")
        self.lock("worker-0-03.lock", b"125 7\n")
        self.lock("worker-0.lock", b"125 7\n")
        self.lock(f"worker-0-{MAX_INDEX + 1}.lock", b"126 7\n")
        self.lock("worker-0-4.lock", b"127 7 singing\n")
        (self.directory / "worker-0-5.lock").symlink_to("worker-0-0.lock")
        self.assertEqual(
            running_workers(self.directory),
            [
                RunningWorker(0, 0, 123, Activity.DRAINING),
                RunningWorker(0, 4, 127, Activity.WAITING),
                RunningWorker(1, 0, 122, Activity.ACCEPTING),
            ],
        )

    def test_id_of_another_process(self) -> None:
        """A lock that still names its holder before the present one names nobody until that is replaced."""
        path = lock_path(self.directory, 0, 0)
        path.write_text(f"{os.getpid()} 1 accepting\n")
        lock = self.take(0, 0)
        assert lock is not None
        os.ftruncate(lock.descriptor, 0)
        path.write_text(f"{os.getpid()} 1 accepting\n")
        self.patch(locks, "_LOOK_S", 0)
        self.assertEqual((running_workers(self.directory), holder_of(path)), ([], None))
        looks: list[float] = []

        def name_itself(seconds: float) -> None:
            looks.append(seconds)
            lock.tell(Activity.WAITING)

        self.patch(time, "sleep", name_itself)
        self.assertEqual(running_workers(self.directory), [RunningWorker(0, 0, os.getpid(), Activity.WAITING)])
        self.assertEqual((len(looks), holder_of(path)), (1, os.getpid()))

    def test_looking_leaves_the_lock_free(self) -> None:
        """A worker can take its lock afterwards."""
        self.lock("worker-0-0.lock", b"123 7\n", is_held=False)
        self.assertEqual(running_workers(self.directory), [])
        self.assertIsNotNone(self.take(0, 0))

    def test_locks_of_a_newer_livefeed(self) -> None:
        """One that is held is refused, and stays; what a process has left behind does not count."""
        content = b"123 7 accepting\nformat 2\n"
        self.lock("worker-0-1.lock", content, is_held=False)
        self.assertEqual(running_workers(self.directory), [])
        self.lock("worker-0-0.lock", content)
        error = self.assertRaises(RuntimeDirError, running_workers, self.directory)
        self.assertTrue(str(error).startswith(f"{self.directory}/worker-0-0.lock: has format 2, of a newer"), error)
        self.assertEqual((self.directory / "worker-0-0.lock").read_bytes(), content)

    def test_format(self) -> None:
        """Each lock has its number; further lines are passed over."""
        self.take(0, 0)
        self.assertEqual((self.directory / "worker-0-0.lock").read_text().splitlines()[1:], ["format 1"])
        self.patch(locks, "_start_of", lambda pid: 7)
        self.lock("worker-0-1.lock", b"123 7 draining\nformat 1\nmore\n")
        self.assertIn(RunningWorker(0, 1, 123, Activity.DRAINING), running_workers(self.directory))

    def take(self, generation: int, index: int) -> WorkerLock | None:
        lock = WorkerLock.take(lock_path(self.directory, generation, index))
        if lock is not None:
            self.addCleanup(os.close, lock.descriptor)
        return lock

    def test_taken(self) -> None:
        """A lock belongs to one process, and tells what that does; shorter texts replace longer ones."""
        lock = self.take(2, 3)
        assert lock is not None
        self.assertIsNone(self.take(2, 3))
        for activity in (Activity.WAITING, Activity.ACCEPTING, Activity.DRAINING):
            lock.tell(activity)
            self.assertEqual(running_workers(self.directory), [RunningWorker(2, 3, os.getpid(), activity)])

    def test_left_over(self) -> None:
        """Locks of earlier generations without a process are removed; a worker may be about to take any other."""
        self.lock("worker-0-0.lock", b"123 7\n")
        for name in ("worker-0-1.lock", "worker-1-0.lock", "worker-2-0.lock", "worker-x.lock"):
            self.lock(name, b"124 7\n", is_held=False)
        remove_left_over(self.directory, 1)
        self.assertEqual(self.names(), ["worker-0-0.lock", "worker-1-0.lock", "worker-2-0.lock", "worker-x.lock"])


class GenerationTests(SynchronousTestCase):
    def generation(self, *running: tuple[int, Activity]) -> int:
        return generation_after(
            RunningWorker(generation, index, 100 + index, activity)
            for index, (generation, activity) in enumerate(running)
        )

    def test_after_a_crash(self) -> None:
        """The workers that accept are those of the new parent. An upgrade that had not come so far is forgotten."""
        waiting, accepting, draining = Activity
        self.assertEqual(self.generation(), 0)
        self.assertEqual(self.generation((3, accepting), (3, accepting)), 3)
        self.assertEqual(self.generation((1, draining), (2, accepting), (2, waiting)), 2)
        self.assertEqual(self.generation((1, accepting), (2, waiting)), 1)
        self.assertEqual(self.generation((1, accepting), (2, accepting)), 2)

    def test_only_draining_workers(self) -> None:
        """None of them can go on, and their locks are taken: the new workers have another generation."""
        self.assertEqual(self.generation((1, Activity.DRAINING), (2, Activity.DRAINING)), 3)


class HoldTests(LockTestCase):
    """A worker of an earlier parent, whose id must not pass to another process unnoticed."""

    def setUp(self) -> None:
        super().setUp()
        self.held: list[int] = []
        self.patch(locks, "_LOOK_S", 0)
        self.patch(locks, "_start_of", lambda pid: 7)
        self.lock("worker-0-1.lock", b"50 7 accepting\n")

    def hold(self, pid: int) -> bool:
        """Plays the processes: all with a small id run."""
        if pid < 100:
            self.held.append(pid)
        return pid < 100

    def let_go(self, *pids: int) -> None:
        for pid in pids:
            self.held.remove(pid)

    def test_only_the_holder_of_the_lock(self) -> None:
        """A process that has ended is not held, and neither is another one with the same id."""
        for pid, is_held in ((100, False), (51, False), (50, True)):
            worker = RunningWorker(0, 1, pid, Activity.ACCEPTING)
            self.assertEqual(hold_worker(self, self.directory, worker), is_held)
        self.assertEqual(self.held, [50])
