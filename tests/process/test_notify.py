"""Messages to the service manager: which, when, and that none of them blocks or raises."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from livefeed.process.notify import MAX_STATUS_CHARACTERS, STATUS_S, UNREADY_TURN_S, Notify, NotifySocket, status_line


class Manager:
    """A service manager's end.

    :param address: where it listens; begins with a null character if it is no file.
    """

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)

    def told(self) -> list[str]:
        """Gives the messages since the last call."""
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(65536).decode())
            except BlockingIOError:
                return messages


class NotifyTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = str(Path(directory.name) / "notify")
        self.manager = self.listen(self.path)
        self.clock = Clock()

    def listen(self, address: str) -> Manager:
        manager = Manager(address)
        self.addCleanup(manager.socket.close)
        return manager

    def take(self, **environment: str) -> NotifySocket | None:
        taken = NotifySocket.take(environment)
        self.assertEqual(environment, {})
        if taken is not None:
            self.addCleanup(taken.close)
        return taken


class SocketTests(NotifyTestCase):
    """The socket that the environment names."""

    def test_file(self) -> None:
        """Such as that of systemd."""
        taken = self.take(NOTIFY_SOCKET=self.path)
        assert taken is not None
        self.assertTrue(taken.send("READY=1", "STATUS=é"))
        self.assertEqual(self.manager.told(), ["READY=1\nSTATUS=é"])
        self.assertEqual(taken.environment(), {"NOTIFY_SOCKET": self.path})

    def test_abstract_name(self) -> None:
        """Such as that of systemd in a container."""
        name = f"livefeed-test-{os.getpid()}"
        manager = self.listen(f"\0{name}")
        taken = self.take(NOTIFY_SOCKET=f"@{name}", WATCHDOG_USEC="3000000")
        assert taken is not None
        self.assertTrue(taken.send("READY=1"))
        self.assertEqual(manager.told(), ["READY=1"])
        # The variables of a successor: without the process id of this one.
        self.assertEqual(taken.environment(), {"NOTIFY_SOCKET": f"@{name}", "WATCHDOG_USEC": "3000000"})

    def test_no_manager(self) -> None:
        """The variables of the watchdog alone mean nothing, and are removed all the same."""
        self.assertIsNone(self.take())
        self.assertIsNone(self.take(WATCHDOG_USEC="1000000", WATCHDOG_PID="1"))

    def test_other_kinds_of_socket(self) -> None:
        """A virtual machine can have a vsock. The log says that it is not used."""
        with capturedLogs() as events:
            self.assertIsNone(self.take(NOTIFY_SOCKET="vsock:2:1234"))
        (line,) = [str(formatEvent(event)) for event in events]
        self.assertIn("NOTIFY_SOCKET is vsock:2:1234, which is no Unix socket", line)

    def test_watchdog(self) -> None:
        """It is that of this process, or of any if none is named."""
        for pid in (str(os.getpid()), ""):
            taken = self.take(NOTIFY_SOCKET=self.path, WATCHDOG_USEC="30000000", WATCHDOG_PID=pid)
            assert taken is not None
            self.assertEqual(taken.watchdog_s, 30)
        for usec, pid in (("30000000", "1"), ("0", ""), ("", ""), ("-1", ""), ("x", ""), ("9" * 30, "")):
            taken = self.take(NOTIFY_SOCKET=self.path, WATCHDOG_USEC=usec, WATCHDOG_PID=pid)
            assert taken is not None
            self.assertIsNone(taken.watchdog_s)

    def test_manager_that_is_gone(self) -> None:
        """Nothing is raised, and the log has one line until messages arrive again."""
        taken = self.take(NOTIFY_SOCKET=self.path)
        assert taken is not None
        with capturedLogs() as events:
            for _ in range(2):
                self.manager.socket.close()
                Path(self.path).unlink()
                self.assertFalse(taken.send("READY=1"))
                self.assertFalse(taken.send("READY=1"))
                self.manager = self.listen(self.path)
                self.assertTrue(taken.send("READY=1"))
        lines = [str(formatEvent(event)) for event in events]
        self.assertEqual(len(lines), 2)
        self.assertIn("the service manager cannot be told ('READY=1',): ", lines[0])

    def test_manager_that_hangs(self) -> None:
        """Its queue is full: the call returns at once, and says that the message was not sent."""
        taken = self.take(NOTIFY_SOCKET=self.path)
        assert taken is not None
        with capturedLogs() as events:
            sent = 0
            while taken.send("WATCHDOG=1") and sent < 100_000:
                sent += 1
        self.assertLess(sent, 100_000)
        self.assertEqual(events, [])
        self.manager.told()
        self.assertTrue(taken.send("WATCHDOG=1"))

    @given(st.text(max_size=200), st.text(max_size=30), st.text(max_size=30))
    def test_any_environment(self, address: str, usec: str, pid: str) -> None:
        """No value of the variables raises, neither when it is read nor when a message is sent."""
        with capturedLogs():
            taken = NotifySocket.take({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": usec, "WATCHDOG_PID": pid})
            if taken is not None:
                taken.send("READY=1")
                taken.close()


class ServiceTests(NotifyTestCase):
    """The messages of the service."""

    def setUp(self) -> None:
        super().setUp()
        self.ready = False
        self.line = "a"

    def notify(self, watchdog_s: float | None = None, path: str | None = None) -> Notify:
        manager = NotifySocket(path or self.path, watchdog_s)
        self.addCleanup(manager.close)
        service = Notify(manager, lambda: self.ready, lambda: self.line, self.clock)
        service.startService()
        return service

    def test_ready_once_it_serves(self) -> None:
        """Not when the services have started, but when the reactor runs and the feeds were tried; and once."""
        self.notify()
        self.assertEqual(self.manager.told(), [])
        self.clock.advance(0)
        self.assertEqual(self.manager.told(), ["STATUS=Starting: a"])
        self.ready = True
        self.clock.advance(UNREADY_TURN_S)
        self.assertEqual(self.manager.told(), ["READY=1", "STATUS=a"])
        self.ready = False
        for _ in range(3):
            self.clock.advance(STATUS_S)
        self.assertEqual(self.manager.told(), [])

    def test_status_at_most_once_a_second(self) -> None:
        """Only if it has changed; a longer line is cut, and a line feed would be the end of it."""
        self.notify()
        for number in range(30):
            self.line = f"{number}"
            self.clock.advance(STATUS_S / 10)
        self.assertIn(len(self.manager.told()), (3, 4))
        self.ready, self.line = True, "b\n" * MAX_STATUS_CHARACTERS
        self.clock.advance(STATUS_S)
        told = self.manager.told()
        self.assertEqual(told, ["READY=1", "STATUS=" + "b " * (MAX_STATUS_CHARACTERS // 2)])

    def test_signs_of_life(self) -> None:
        """At half of the time that is allowed, from the start, and also while the process stops."""
        service = self.notify(watchdog_s=4)
        self.assertEqual(self.manager.told(), ["WATCHDOG=1"])
        for _ in range(2):
            self.clock.advance(2)
            self.assertIn("WATCHDOG=1", self.manager.told())
        service.stopService()
        self.manager.told()
        self.clock.advance(2)
        self.assertIn("WATCHDOG=1", self.manager.told())

    def test_stop(self) -> None:
        """The line of status goes on; a process that stops does not become ready."""
        service = self.notify()
        self.clock.advance(0)
        service.stopService()
        self.ready = True
        self.clock.advance(UNREADY_TURN_S)
        self.assertEqual(self.manager.told(), ["STATUS=Starting: a", "STOPPING=1", "STATUS=Stopping: a"])

    def test_reload_and_upgrade(self) -> None:
        """The time of a reload is that of the clock that systemd compares it with."""
        service = self.notify()
        before = time.monotonic_ns() // 1000
        service.begin_reload()
        service.end_reload()
        service.hand_over(4711)
        reloading, *others = self.manager.told()
        name, number = reloading.split("\nMONOTONIC_USEC=")
        self.assertEqual(name, "RELOADING=1")
        self.assertTrue(before <= int(number) <= time.monotonic_ns() // 1000)
        self.assertEqual(others, ["READY=1", "MAINPID=4711"])

    def test_hand_over_to_a_manager_that_hangs(self) -> None:
        """It is tried again soon, and not only with the next line of status: the process is about to end."""
        service = self.notify()
        self.ready = True
        self.clock.advance(0)
        assert service.manager is not None
        while service.manager.send("FILL=1"):
            pass
        service.hand_over(4711)
        self.manager.told()
        self.clock.advance(UNREADY_TURN_S)
        self.assertEqual(self.manager.told(), ["MAINPID=4711"])

    def test_changes_of_state_are_not_lost(self) -> None:
        """If the manager hangs, they are sent later, in their order."""
        service = self.notify()
        assert service.manager is not None
        while service.manager.send("FILL=1"):
            pass
        service.begin_reload()
        service.end_reload()
        self.clock.advance(0)
        self.manager.told()
        self.clock.advance(UNREADY_TURN_S)
        told = self.manager.told()
        self.assertEqual([line.partition("=")[0] for line in told], ["RELOADING", "READY", "STATUS"])

    def test_manager_that_hangs_for_long(self) -> None:
        """The changes of state that wait are few: of each kind the last one, in their order."""
        service = self.notify()
        assert service.manager is not None
        while service.manager.send("FILL=1"):
            pass
        for _ in range(100):
            service.begin_reload()
            service.end_reload()
        service.hand_over(4711)
        self.manager.told()
        self.clock.advance(0)
        told = self.manager.told()
        # There is no line of status behind it: another process speaks for the service.
        self.assertEqual([line.partition("=")[0] for line in told], ["RELOADING", "READY", "MAINPID"])

    def test_errors_do_not_end_it(self) -> None:
        """An error of the line of status is logged, and the next turn comes."""
        service = self.notify()

        def fail() -> str:
            raise ZeroDivisionError

        service.status = fail
        self.clock.advance(0)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        service.status = lambda: "b"
        self.clock.advance(UNREADY_TURN_S)
        self.assertEqual(self.manager.told(), ["STATUS=Starting: b"])

    def test_without_a_manager(self) -> None:
        """Nothing is scheduled, asked or sent."""
        service = Notify(None, lambda: 1 / 0 > 0, lambda: str(1 / 0), self.clock)
        service.startService()
        service.begin_reload()
        service.end_reload()
        service.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class StatusTests(SynchronousTestCase):
    """The line of status."""

    def test_all_is_well(self) -> None:
        """It has the numbers alone."""
        line = status_line([("a", "live"), ("b", "live")], 7, 9)
        self.assertEqual(line, "feeds: 2 live; 7 subscribers; 9 connections")

    def test_feeds_that_are_not_live(self) -> None:
        """They are named, up to three; those that are live come first."""
        states = [("a", "expired"), ("b", "live"), ("c", "stale")]
        self.assertEqual(
            status_line(states, 0, 0), "feeds: 1 live, 1 expired, 1 stale (a, c); 0 subscribers; 0 connections"
        )
        states += [("d", "stale"), ("e", "stale")]
        self.assertIn("(a, c, d, ...);", status_line(states, 0, 0))

    def test_no_feed(self) -> None:
        """A reload can remove the last one."""
        self.assertEqual(status_line([], 0, 0), "feeds: none; 0 subscribers; 0 connections")
