"""The adoption of workers, by a parent that starts while those of an earlier one run."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

from livefeed.exceptions import LinkError
from livefeed.workers import locks
from livefeed.workers.adoption import ADOPT_S, PAUSED_S, ROUNDS
from tests.helpers.parents import LOCAL, FakeLink, ParentTestCase


class AdoptionTests(ParentTestCase):
    """A parent that starts while workers of an earlier one run."""

    def setUp(self) -> None:
        super().setUp()
        self.before = socket.create_server(("127.0.0.1", 0), reuse_port=True)
        self.addCleanup(self.before.close)

    def give(self, link: FakeLink, *owners: int, description: str = LOCAL) -> None:
        """Has a worker pass on its sockets."""
        fds = tuple(os.dup(self.before.fileno()) for _ in owners)
        link.receive("sockets", {"listen": [[description, owner] for owner in owners]}, fds)

    def sockets(self) -> list[socket.socket]:
        return [*self.parent.endpoints[0].group.sockets.values()]

    def test_id_of_another_process(self) -> None:
        """A worker has ended before it was held, and its id was given to another process, which is left alone."""
        self.orphan(0, 77)
        hold = self.processes.hold

        def hold_late(pid: int) -> bool:
            self.patch(locks, "_start_of", lambda pid: pid + 1)
            self.patch(locks, "_LOOK_S", 0)
            return hold(pid)

        self.patch(self.processes, "hold", hold_late)
        self.start()
        self.run_for(ADOPT_S + 1.0)
        self.assertEqual((self.processes.held, self.processes.signals), ([], []))
        self.assertTrue(self.pulling.running)

    def test_sockets_that_were_not_asked_for(self) -> None:
        """They end the link: a worker that accepts is asked once, after its hello."""
        self.orphan(0, 77)
        self.orphan(1, 78)
        self.start()
        link = self.hello(0, 77, sockets=[1])
        self.give(link, 0)
        with self.assertRaisesRegex(LinkError, "not asked for"):
            link.receive("sockets", {"listen": []})

    def test_sockets_that_do_not_listen(self) -> None:
        """They are not used, and neither are those with other descriptions; none stays open."""
        self.orphan(0, 77)
        self.start()
        link = self.hello(0, 77, sockets=[1])
        client = socket.create_connection(self.before.getsockname())
        before = len(list(Path("/proc/self/fd").iterdir()))
        fds = tuple(map(os.dup, (client.fileno(), self.before.fileno())))
        link.receive("sockets", {"listen": [[LOCAL, 0], ["tcp:1", 0]]}, fds)
        self.assertEqual(len(list(Path("/proc/self/fd").iterdir())), before)
        client.close()
        self.assertTrue(all(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) for sock in self.sockets()))

    def test_lent_sockets(self) -> None:
        """A socket that the worker serves for a dead one is kept, and the worker stops to serve it."""
        self.orphan(1, 77)
        self.start()
        link = self.hello(1, 77, sockets=[2])
        self.give(link, 0, 1)
        self.assertEqual((link.sent[-1].type, link.sent[-1].facts), ("release", {"owner": 0}))
        self.assertEqual(sorted(self.parent.endpoints[0].group.sockets), [0, 1])

    def test_worker_that_does_not_answer(self) -> None:
        """It is killed after some seconds, and the start goes on."""
        self.orphan(0, 77)
        self.start()
        self.run_for(ADOPT_S + 0.2)
        self.assertEqual(self.processes.signals, [(77, signal.SIGKILL)])
        self.assertTrue(self.pulling.running)
        self.assertEqual(sorted(self.processes.alive.values()), [0, 1])
        self.assertIn("worker 0 of an earlier parent (process 77) does not answer, and is killed", self.lines())

    def test_pause_of_this_process(self) -> None:
        """It may not have read what the worker has said: the worker is given the time again, but not for ever."""
        self.orphan(0, 77)
        self.start()
        self.reactor.advance(ADOPT_S + PAUSED_S + 0.1)
        self.assertEqual(self.processes.signals, [])
        self.give(self.hello(0, 77, sockets=[1]), 0)
        self.assertTrue(self.pulling.running)

    def test_pauses_without_end(self) -> None:
        """The start goes on after a number of them."""
        self.orphan(0, 77)
        self.start()
        for _ in range(ROUNDS):
            self.assertEqual(self.processes.signals, [])
            self.reactor.advance(ADOPT_S + PAUSED_S + 0.1)
        self.assertEqual(self.processes.signals, [(77, signal.SIGKILL)])

    def test_worker_that_ends_meanwhile(self) -> None:
        """Nothing is waited for any more."""
        self.orphan(0, 77)
        self.start()
        self.processes.end(77)
        self.assertTrue(self.pulling.running)

    def test_worker_that_has_ended_before(self) -> None:
        """Its lock says that it runs, and its process is gone: all starts as usual."""
        self.orphan(0, 77)
        self.processes.alive.clear()
        self.start()
        self.assertTrue(self.pulling.running)
        self.assertTrue(all(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) for sock in self.sockets()))

    def test_other_endpoints(self) -> None:
        """A worker with other endpoints ends in order: it cannot serve those of this parent."""
        self.orphan(0, 77)
        self.start()
        link = self.hello(0, 77, sockets=[1], listen=["tcp:1:interface=127.0.0.1"])
        self.assertEqual((link.kinds(), self.processes.signals), (["refused"], [(77, signal.SIGTERM)]))

    def test_more_endpoints(self) -> None:
        """A worker with more endpoints ends as well."""
        self.orphan(0, 77)
        self.start()
        link = self.hello(0, 77, sockets=[1, 1], listen=[*self.listen, "tcp:1:interface=127.0.0.1"])
        self.assertEqual((link.kinds(), self.processes.signals), (["refused"], [(77, signal.SIGTERM)]))

    def test_unix_socket(self) -> None:
        """The shared socket of the workers is kept at its path."""
        path = self.directory.path / "s"
        self.listen = [f"unix:{path}"]
        before = socket.socket(socket.AF_UNIX)
        self.addCleanup(before.close)
        before.bind(str(path))
        before.listen()
        self.before = before
        self.orphan(1, 77)
        self.start()
        self.give(self.hello(1, 77, sockets=[1]), 1, description=self.listen[0])
        (sock,) = self.sockets()
        self.assertEqual(sock.getsockname(), str(path))
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
