"""The parent with workers in memory: links that record, processes that end when they are told to."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from livefeed.exceptions import LinkError, StartError
from livefeed.process.runtime_dir import RuntimeDir
from livefeed.workers.adoption import ADOPT_S
from livefeed.workers.earlier import UNHEARD_S
from livefeed.workers.messages import PROTOCOL, Hello, LeftWorker, Message
from livefeed.workers.supervisor import HEARTBEAT_S, LATE_S, LEND_S, State
from tests.helpers.parents import BEAT, LOCAL, FakeLink, ParentTestCase

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred


class StartTests(ParentTestCase):
    def test_workers_get_their_sockets(self) -> None:
        """Each is welcome with the socket that is meant for it, and sent the feeds from then on."""
        self.start()
        self.assertTrue(self.pulling.running)
        for index in range(2):
            link = self.hello(index, self.pid_of(index))
            (welcome,) = link.sent
            self.assertEqual((welcome.type, welcome.facts["listen"], welcome.facts["index"]), ("welcome", [0], index))
            group = self.parent.endpoints[0].group
            self.assertEqual(welcome.fds, (group.sockets[index].fileno(),))
            self.assertIs(self.feeds.links[-1], link)

    def test_other_process_in_the_directory(self) -> None:
        """Two parents cannot have the same runtime directory."""
        self.directory = RuntimeDir(Path("/x"), is_ours=False, why_not="another livefeed uses /x (process 7)")
        error = self.assertRaises(StartError, self.make().privilegedStartService)
        self.assertIn("--workers: another livefeed uses /x (process 7)", str(error))

    def test_workers_of_a_newer_livefeed(self) -> None:
        """They are neither taken over nor killed: the start fails before anything is bound."""
        self.orphan(0, 77, activity="accepting\nformat 2")
        error = self.assertRaises(StartError, self.make().privilegedStartService)
        self.assertIn("--workers: ", str(error))
        self.assertIn("has format 2, of a newer livefeed", str(error))
        self.assertEqual(self.processes.signals, [])

    def test_strangers_are_refused(self) -> None:
        """A process that is none of the workers gets nothing."""
        self.start()
        for index, pid in ((0, 5), (7, self.pid_of(0)), (-1, 5)):
            link = self.hello(index, pid)
            self.assertEqual((link.kinds(), link.is_closed), (["refused"], True))
        self.assertEqual(self.feeds.links, [])


class MessageTests(ParentTestCase):
    def test_heartbeats(self) -> None:
        """Their figures are reported, and their samples added up for each process."""
        link, _ = self.bring_up()
        link.receive("heartbeat", BEAT)
        report = self.parent.report()[0]
        self.assertEqual((report["connections"], report["watchers"]), (4, {"feed": {"websocket": 3}}))
        self.processes.end(self.pid_of(0))
        self.hello(0, self.pid_of(0)).receive("heartbeat", BEAT)
        self.assertEqual(self.figures.calls, [("report", 0, 1), ("end", 0, 1), ("report", 0, 3)])

    def test_impossible_reports(self) -> None:
        """A heartbeat or a hello with other values than livefeed sends is an error of the link, and changes nothing."""
        link, _ = self.bring_up()
        sample = ["connections", [["a", "b"]], 1.0]
        heartbeats: list[dict[str, Any]] = [
            {"watchers": {"feed": {"websocket": -3}}},
            {"watchers": {"f" * 2000: {}}},
            {"connections": -1},
            {"samples": [["connections", [["a"]], 1.0]]},
            {"samples": [["connections", [], "x"]]},
            {"samples": [["connections", [["a", "b" * 2000]], 1.0]]},
            {"deliveries": [["feed", "v"]]},
            {"deliveries": [["feed", "v", 1.0, None, -1]]},
        ]
        for wrong in heartbeats:
            with self.subTest(wrong), self.assertRaisesRegex(LinkError, "a message heartbeat cannot be read"):
                link.receive("heartbeat", BEAT | wrong)
        self.assertEqual(self.figures.calls, [])
        link.receive("heartbeat", BEAT | {"samples": [sample], "deliveries": [["feed", "v", None, 2.0, 3]]})
        self.assertEqual(self.figures.calls, [("report", 0, 1)])
        hellos: list[dict[str, Any]] = [
            {"places": {"feed": -1}},
            {"feeds": {"feed": {"version": "v", "sequence": [2**60, 1]}}},
        ]
        for wrong in hellos:
            facts = {"protocol": PROTOCOL, "livefeed": "1", "pid": 1, "index": 0}
            with self.subTest(wrong), self.assertRaises(LinkError):
                Message("hello", facts | wrong).read(Hello)


class FailureTests(ParentTestCase):
    def test_dead_worker(self) -> None:
        """Its socket is lent to the other one if the next process takes long, and then given back."""
        _, other = self.bring_up()
        self.processes.end(self.pid_of(0))
        self.run_for(LEND_S + 0.3, other)
        adopt = other.sent[-1]
        self.assertEqual((adopt.type, adopt.facts), ("adopt", {"owner": 0, "listen": [0]}))
        self.assertEqual(adopt.fds, (self.parent.endpoints[0].group.sockets[0].fileno(),))
        link = self.hello(0, self.pid_of(0))
        link.receive("ready")
        self.assertEqual((other.sent[-1].type, other.sent[-1].facts), ("release", {"owner": 0}))

    def test_hanging_worker(self) -> None:
        """A worker without heartbeats is killed."""
        _, other = self.bring_up()
        pid = self.pid_of(0)
        self.run_for(HEARTBEAT_S + LATE_S + 0.5, other)
        self.assertEqual(self.processes.signals[0], (pid, signal.SIGKILL))


class DrainTests(ParentTestCase):
    """All workers send their watchers away, and run on."""

    def beat(self, link: FakeLink, phase: str, sockets: int) -> None:
        report = {"phase": phase, "sockets": sockets, "streams": 0, "pollers": 0, "left": 1}
        link.receive("heartbeat", BEAT | {"drain": report})

    def test_release(self) -> None:
        """Each is told so, and their heartbeats tell the progress; no canary is sent any more."""
        links = self.bring_up()
        released = self.parent.releasing.release(successor=True)
        self.assertEqual([each.sent[-1].type for each in links], ["let_go"] * 2)
        self.beat(links[0], "released", 3)
        before = self.canaries
        self.why_not = "it accepts no more"
        self.run_for(1.5)
        self.assertIn(self.canaries - before, range(3))  # those that were under way
        self.assertIsNone(self.parent.supervisor.obstacle())
        self.beat(links[1], "releasing", 2)
        self.assertNoResult(released)
        self.beat(links[1], "released", 4)
        self.successResultOf(released)
        self.assertEqual((self.parent.releasing.report().sockets, self.parent.releasing.report().left), (7, 2))

    def test_death_and_new_link(self) -> None:
        """A dead worker is not waited for, and one that connects again is told again."""
        links = self.bring_up()
        released = self.parent.releasing.release(successor=False)
        self.beat(links[0], "releasing", 3)
        self.processes.end(self.pid_of(0))
        self.assertEqual(self.parent.supervisor.alive(), [1])
        again = self.hello(1, self.pid_of(1), sockets=[0])
        self.assertEqual((again.sent[-1].type, again.sent[-1].facts), ("let_go", {"successor": False}))
        self.assertNoResult(released)
        self.beat(again, "released", 4)
        self.successResultOf(released)
        self.assertEqual(self.parent.releasing.report().left, 1)


class StopTests(ParentTestCase):
    def test_stop(self) -> None:
        """The workers are told to end, and the stop has ended when they have."""
        links = self.bring_up()
        self.processes.ends_by_itself = False
        stopped: Deferred[Any] = self.parent.stopService()
        self.assertEqual([number for _, number in self.processes.signals], [signal.SIGTERM] * 2)
        self.assertNoResult(stopped)
        self.assertFalse(self.pulling.running)
        self.assertEqual(self.hello(0, self.pid_of(0)).kinds(), ["refused"])
        for pid in tuple(self.processes.alive):
            self.processes.end(pid)
        self.successResultOf(stopped)
        self.assertTrue(all(link.is_closed for link in links))
        for link in links:
            link.receiver.lost(link)
        self.assertEqual(self.reactor.getDelayedCalls(), [])


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

    def test_adopted(self) -> None:
        """The worker goes on with its socket, the feeds begin afterwards, and only the missing worker is started."""
        self.orphan(1, 77)
        self.start()
        self.assertFalse(self.pulling.running)
        self.assertEqual(self.processes.alive, {77: 1})
        link = self.hello(1, 77, sockets=[1])
        self.assertEqual((link.kinds(), link.sent[0].fds), (["welcome", "sockets"], ()))
        self.assertFalse(self.pulling.running)
        self.give(link, 1)
        self.assertTrue(self.pulling.running)
        self.assertEqual(sorted(self.processes.alive.values()), [0, 1])
        group = self.parent.endpoints[0].group
        self.assertEqual(
            {sock.getsockname() for sock in group.sockets.values()}, {self.before.getsockname()}, group.sockets
        )
        self.assertEqual(self.parent.supervisor.workers[1].state, State.READY)
        self.assertEqual(self.processes.held, [77])

    def test_stop_meanwhile(self) -> None:
        """Workers that have not said hello are told to end as well, and killed if they do not; nothing begins."""
        self.orphan(0, 77)
        self.orphan(1, 78)
        parent = self.start()
        link = self.hello(1, 78, sockets=[1])
        self.processes.ends_by_itself = False
        stopped = parent.stopService()
        self.assertEqual(sorted(self.processes.signals), [(77, signal.SIGTERM), (78, signal.SIGTERM)])
        self.assertEqual(self.hello(0, 77, sockets=[1]).kinds(), ["refused"])
        self.give(link, 1)
        self.processes.end(78)
        self.run_for(ADOPT_S + 1.0)
        self.assertNoResult(stopped)
        self.run_for(60.0)
        self.assertIn((77, signal.SIGKILL), self.processes.signals)
        self.processes.end(77)
        self.successResultOf(stopped)
        self.assertFalse(self.pulling.running)
        self.assertEqual(self.processes.count, 0)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_end_of_the_last_one_after_the_stop(self) -> None:
        """The feeds do not begin because nobody is waited for any more."""
        self.orphan(0, 77)
        stopped = self.start().stopService()
        self.successResultOf(stopped)
        self.assertEqual((self.pulling.running, self.processes.count), (False, 0))

    def sockets(self) -> list[socket.socket]:
        return [*self.parent.endpoints[0].group.sockets.values()]

    def test_fewer_workers(self) -> None:
        """A worker that has no place any more ends in order."""
        self.orphan(5, 77)
        self.start()
        link = self.hello(5, 77, sockets=[1])
        self.assertEqual(link.kinds(), ["refused"])
        self.assertEqual(self.processes.signals, [(77, signal.SIGTERM)])
        self.assertTrue(self.pulling.running)

    def test_failure_to_bind(self) -> None:
        """If a missing socket cannot be bound, the process ends with the reason."""
        self.orphan(0, 77)
        parent = self.start()
        link = self.hello(0, 77, sockets=[1])
        self.patch(parent.endpoints[0].group, "settle", self.fail_to_bind)
        self.give(link, 0)
        self.assertTrue(self.reactor.stopped)
        self.assertIn("livefeed: the start fails: no room", self.lines())

    def fail_to_bind(self, adopted: dict[int, socket.socket]) -> None:
        for sock in adopted.values():
            sock.close()
        raise OSError("no room")


class EarlierGenerationTests(ParentTestCase):
    """A parent that starts after a crash, while workers of two generations run."""

    def setUp(self) -> None:
        super().setUp()
        self.before = socket.create_server(("127.0.0.1", 0), reuse_port=True)
        self.addCleanup(self.before.close)

    def orphans(self) -> None:
        """Has a worker of generation 4 run that accepts, and one of generation 3 that drains."""
        self.orphan(0, 77, 4)
        self.orphan(0, 66, 3, "draining")

    def adopt(self) -> FakeLink:
        """Has the worker that accepts say hello, and pass on its socket."""
        link = self.hello(0, 77, sockets=[1], numbers=[[0]], generation=4)
        link.receive("sockets", {"listen": [[LOCAL, 0]]}, (os.dup(self.before.fileno()),))
        return link

    def test_both_are_waited_for(self) -> None:
        """The one that accepts goes on, and the other one is fed until it ends; the feeds begin after both."""
        self.orphans()
        parent = self.start()
        self.assertEqual((parent.generation, self.server.generation), (4, 4))
        self.adopt()
        self.assertFalse(self.pulling.running)
        earlier = self.hello(0, 66, sockets=[0], generation=3, is_draining=True)
        self.assertTrue(self.pulling.running)
        self.assertEqual((earlier.kinds(), earlier.sent[0].fds), (["welcome"], ()))
        self.assertIn(earlier, self.feeds.links)
        earlier.receive("heartbeat", BEAT)
        facts = [(each["generation"], each["index"], each["pid"], each["state"]) for each in parent.report()]
        self.assertEqual(facts, [(4, 0, 77, "ready"), (4, 1, 1001, "starting"), (3, 0, 66, "draining")])
        self.assertEqual(parent.report()[2]["watchers"], {"feed": {"websocket": 3}})

    def test_worker_of_a_failed_upgrade(self) -> None:
        """It has no clients, and is in the way: it is killed."""
        self.orphan(0, 77, 4)
        self.orphan(0, 88, 5, "waiting")
        parent = self.start()
        self.assertEqual((parent.generation, self.processes.signals), (4, [(88, signal.SIGKILL)]))
        self.adopt()
        self.assertTrue(self.pulling.running)

    def test_stop(self) -> None:
        """Earlier workers are told to hurry, and the stop waits for them."""
        self.orphans()
        parent = self.start()
        self.adopt()
        self.hello(0, 66, sockets=[0], generation=3, is_draining=True)
        self.processes.ends_by_itself = False
        stopped: Deferred[Any] = parent.stopService()
        for pid in (77, 1001):
            self.processes.end(pid)
        self.assertNoResult(stopped)
        self.assertIn((66, signal.SIGTERM), self.processes.signals)
        parent.hurry()
        self.assertIn((66, signal.SIGKILL), self.processes.signals)
        self.processes.end(66)
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_places(self) -> None:
        """Places that an earlier worker has are granted to nobody else, and it is given none that are free."""
        self.limits = {"feed": 10}
        self.orphans()
        self.start()
        own = self.adopt()
        self.assertNotIn("lease", own.kinds())
        earlier = self.hello(0, 66, sockets=[0], generation=3, is_draining=True, places={"feed": 6})
        for _ in range(2):
            own.receive("heartbeat", BEAT | {"watchers": {}})
        self.assertEqual([each.facts["places"] for each in own.sent if each.type == "lease"][-1], 4)
        for _ in range(2):
            earlier.receive("heartbeat", BEAT)
        own.receive("heartbeat", BEAT | {"watchers": {}})
        self.assertEqual([each.facts["places"] for each in own.sent if each.type == "lease"][-1], 7)
        self.processes.end(66)
        own.receive("heartbeat", BEAT | {"watchers": {}})
        self.assertEqual([each.facts["places"] for each in own.sent if each.type == "lease"][-1], 10)


class UpgradeTests(ParentTestCase):
    """A parent that takes the place of another one, while that runs."""

    def begin(self) -> list[FakeLink]:
        """Starts the next parent, whose workers are ready, and have no sockets."""
        self.directory = RuntimeDir(self.directory.path, is_ours=False, why_not="another livefeed uses it")
        for index in (0, 1):
            self.orphan(index, 60 + index, 6)
        self.parent = parent = self.make(generation=7, has_sockets=False)
        self.addCleanup(self.stop, parent)
        parent.privilegedStartService()
        for endpoint in parent.endpoints:
            self.successResultOf(endpoint.listen(self.factory))
        parent.startService()
        links = [self.hello(index, self.pid_of(index), generation=7) for index in range(self.count)]
        for link in links:
            link.receive("ready")
        return links

    def is_listening(self) -> set[int]:
        sockets = self.parent.endpoints[0].group.sockets.values()
        return {sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) for sock in sockets}

    def test_before_it_takes_over(self) -> None:
        """Its workers prove themselves without sockets; nothing is pulled, and nobody is let in."""
        self.limits = {"feed": 10}
        links = self.begin()
        self.assertTrue(self.parent.is_ready())
        self.assertEqual([(each.sent[0].facts["listen"], each.sent[0].fds) for each in links], [([], ())] * 2)
        self.run_for(LEND_S + 1.0, *links)
        self.assertEqual([each.kinds() for each in links], [["welcome"]] * 2)
        self.assertEqual((self.pulling.running, self.server.is_published, self.server.generation), (False, False, 7))
        self.assertEqual(self.is_listening(), {0})
        self.assertEqual(self.hello(0, 60, sockets=[1], generation=6).kinds(), ["refused"])

    def test_takes_over(self) -> None:
        """The workers are given the sockets, those of the earlier parent are sent away, and the feeds begin."""
        self.limits = {"feed": 10}
        links = self.begin()
        left = [LeftWorker(6, index, 60 + index, {"feed": 3}, [["a", [], 1.0]]) for index in (0, 1)]
        self.parent.take_over(left)
        self.assertTrue(self.server.is_published)
        self.assertEqual(self.is_listening(), {1})
        group = self.parent.endpoints[0].group
        for index, link in enumerate(links):
            adopt = link.sent[1]
            self.assertEqual((adopt.type, adopt.facts), ("adopt", {"owner": index, "listen": [0]}))
            self.assertEqual(adopt.fds, (group.sockets[index].fileno(),))
        self.assertTrue(self.pulling.running)
        self.assertEqual([call[0] for call in self.figures.calls if call[1] < 0], ["report"] * 2)
        self.assertEqual(sum(each.sent[-1].facts["places"] for each in links), 4)
        earlier = self.hello(0, 60, sockets=[1], generation=6)
        self.assertEqual(earlier.kinds(), ["welcome", "drain"])
        self.assertEqual([each["pid"] for each in self.parent.report()], [1001, 1002, 60, 61])
        # A worker that starts afterwards is given its socket with the welcome.
        self.processes.end(1001)
        again = self.hello(0, self.pid_of(0), generation=7)
        self.assertEqual((again.sent[0].facts["listen"], again.sent[0].facts["numbers"]), ([0], [0]))

    def test_nothing_was_told(self) -> None:
        """Without the word of the earlier parent, places are granted once its workers have said theirs."""
        self.limits = {"feed": 10}
        links = self.begin()
        self.parent.take_over()
        self.assertEqual([each.kinds() for each in links], [["welcome", "adopt"]] * 2)
        self.hello(0, 60, sockets=[1], generation=6, places={"feed": 5})
        self.processes.end(61)
        self.assertEqual(sum(each.sent[-1].facts["places"] for each in links), 5)

    def test_earlier_workers_that_do_not_come(self) -> None:
        """They are killed."""
        links = self.begin()
        self.parent.take_over()
        self.run_for(UNHEARD_S + 1.0, *links)
        self.assertEqual(self.processes.signals, [(60, signal.SIGKILL), (61, signal.SIGKILL)])

    def test_stop_before_it_takes_over(self) -> None:
        """Its own workers end, and those of the other parent are left alone."""
        self.begin()
        self.processes.ends_by_itself = False
        self.parent.stopService()
        self.assertEqual(self.processes.signals, [(1001, signal.SIGTERM), (1002, signal.SIGTERM)])

    def test_more_sockets_than_workers(self) -> None:
        """Each worker accepts on several, and another one takes all of them while it is down."""
        self.count = 3
        links = self.begin()
        extra = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(extra.close)
        groups = [self.parent.endpoints[0].group]
        self.patch(groups[0], "sockets_of", lambda index: [(index, extra), (index + 3, extra)])
        self.parent.take_over()
        self.assertEqual([each.facts["owner"] for each in links[1].sent[1:]], [1, 4])
        self.processes.end(self.pid_of(1))
        self.run_for(LEND_S + 0.3, links[0], links[2])
        self.assertEqual([each.facts["owner"] for each in links[0].sent[3:]], [1, 4])
        again = self.hello(1, self.pid_of(1))
        self.assertEqual((again.sent[0].facts["listen"], again.sent[0].facts["numbers"]), ([0, 0], [1, 4]))
        again.receive("ready")
        self.assertEqual(
            [(each.type, each.facts["owner"]) for each in links[0].sent[5:]], [("release", 1), ("release", 4)]
        )


class ResigningTests(ParentTestCase):
    """A parent whose place is taken."""

    def test_left_workers(self) -> None:
        """The next parent is told their counts and places."""
        self.limits = {"feed": 10}
        links = self.bring_up()
        for link in links * 2:
            link.receive("heartbeat", BEAT | {"watchers": {}, "samples": [["a", [], 2.0]]})
        self.assertEqual(
            self.parent.workers_to_leave(),
            [LeftWorker(0, index, 1001 + index, {"feed": 5}, [("a", [], 2.0)]) for index in (0, 1)],
        )

    def test_resigned(self) -> None:
        """Nothing is started, killed or lent; no worker is told to end by its stop."""
        links = self.bring_up()
        self.parent.resign()
        self.processes.end(self.pid_of(0))
        self.run_for(HEARTBEAT_S + LATE_S + 2.0)
        self.assertEqual((self.processes.signals, sorted(self.processes.alive)), ([], [1002]))
        self.assertEqual(links[1].kinds(), ["welcome"])
        self.assertEqual(self.hello(1, 1002, sockets=[1]).kinds(), ["refused"])
        self.successResultOf(self.parent.stopService())
        self.assertEqual(self.processes.signals, [])

    def test_resumed(self) -> None:
        """After a failure, dead workers are replaced, and their sockets lent meanwhile."""
        links = self.bring_up()
        self.parent.resign()
        self.processes.end(self.pid_of(0))
        self.run_for(LEND_S, links[1])
        self.parent.resume()
        self.run_for(0.5, links[1])
        self.assertEqual(sorted(self.processes.alive), [1002, 1003])
        self.assertEqual((links[1].sent[-1].type, links[1].sent[-1].facts), ("adopt", {"owner": 0, "listen": [0]}))

    def test_resumed_after_the_next_parent_took_over(self) -> None:
        """Its workers, which accept on the same sockets, find this parent, and are sent away."""
        self.bring_up()
        self.parent.resign()
        self.orphan(0, 70, generation=1)
        self.server.is_published = False
        self.parent.resume()
        self.assertTrue(self.server.is_published)
        self.assertEqual(self.hello(0, 70, sockets=[1], generation=1).kinds(), ["welcome", "drain"])
        self.assertEqual(self.hello(0, 71, sockets=[1], generation=1).kinds(), ["refused"])

    def test_name_that_cannot_be_made(self) -> None:
        """A full disk does not keep the parent from going on."""
        self.bring_up()
        self.parent.resign()

        def fail() -> None:
            raise OSError(28, "No space left on device")

        self.patch(self.server, "publish", fail)
        self.parent.resume()
        self.assertFalse(self.parent.supervisor.has_resigned)


class ManyDeathsTests(ParentTestCase):
    def test_nothing_is_left_over(self) -> None:
        """After 20 deaths there are as many descriptors, timers, links and readers as after the first ones."""
        links = self.bring_up()
        counts = []
        for _ in range(20):
            self.processes.end(self.pid_of(0))
            links[0].receiver.lost(links[0])
            self.run_for(35.0, links[1])  # the longest pause before a start
            links[0] = self.hello(0, self.pid_of(0))
            links[0].receive("ready")
            self.run_for(1.0, *links)
            counts.append(
                (
                    len(list(Path("/proc/self/fd").iterdir())),
                    len(self.reactor.getDelayedCalls()),
                    len(self.feeds.links),
                    len(self.parent._connected),
                )
            )
            for link in links:
                link.sent.clear()
        self.assertEqual(len(set(counts)), 1, counts)
        self.assertTrue(self.parent.is_ready())
