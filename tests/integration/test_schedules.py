"""A watcher that changes transport, or reconnects, between any two versions neither misses nor repeats one.

It follows a random schedule of polls, long polls, server-sent events and WebSockets. From one to the next it keeps only
the values that docs/reference/protocol.md names: a tag, an id, a version. Meanwhile the document changes, returns to an
earlier version, stays the same, or cannot be pulled; also in the middle of a request, and while the watcher does not
read.

**It misses none** means that

- each answer to a poll has the newest version, or says that the watcher has the newest;
- a request that waits is answered as soon as there is another version, or by when its time is over;
- on a connection whose watcher keeps up, each tick brings exactly the promised messages, at once;
- a watcher that does not keep up has the newest version and the newest state once it has read everything. It may miss
  versions in between.

**It repeats none** means that

- a request that names the newest version, in any coding, weakly or not, is answered 304, and never 200 or 226;
- no event, snapshot or patch brings the version that was sent last on its connection, or that the watcher has said it
  has; but on a WebSocket a part that was away comes back also as it was, and ``{"have": V}`` is answered, whatever was
  on its way;
- a WebSocket without a subprotocol brings the document once for each good tick, or each change with ``--push change``;
- a watcher that did not read finds no backlog: only the bytes in flight, and then the newest version.

**All messages are right** means that sequences never go backwards, that a document is the pulled one, byte for byte,
and that a patch applies to exactly the version of the watcher, and makes of it the value of the new one, with the
text of each number.
"""

from __future__ import annotations

import contextlib
import json
import math
import random
import socket
import ssl
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.unix import Server
from twisted.trial.unittest import SynchronousTestCase

from livefeed.delivery.websocket.handshake import DELTA
from livefeed.document import codings, snapshot
from livefeed.document.snapshot import version_of
from livefeed.document.timestamps import timestamp
from livefeed.exceptions import SourceError
from livefeed.feed.feed import Feed
from livefeed.feed.freshness import HEARTBEAT_S
from livefeed.intake import making
from livefeed.testing import MemorySource, make_site
from tests.helpers.driven import Client, DrivenReactor, connections_of, make_pool, settle
from tests.integration.harness import TEXT, TRANSPORT, WAIT_S, WORKERS, Livefeed, Wire, replace_file
from tests.integration.watching import Events, Following, Ledger, Polling, Session, Tick, Watcher, WebSocket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from livefeed.config.settings import Push
    from livefeed.tls.development import DevelopmentCertificate

KIB = 1024
NOW = 1_795_000_000.0
PART = "/a/b"
NARROW_BYTES = 2 * KIB
"""The bytes that a narrow connection takes before it is full."""

IN_FLIGHT_BYTES = 16 * KIB
"""The bytes that a watcher that did not read may get besides one message that had begun and the newest one."""

WAITS_S = (1, 3, 20)
MAX_ROUNDS = 100
BURST = 12
"""A number of versions that a narrow connection cannot take."""


# The documents

DIFFERENT, WITHOUT_PART, SCALAR, SAME_VALUE, LARGE, TOO_LARGE = range(100, 106)


Document = tuple[bytes, bytes | None]
"""The whole, and the part of it at :data:`PART`, if it has one."""


@cache
def document(number: int) -> Document:
    """Gives one of the documents. Its part changes with each second one."""
    noise = random.Random(number if number in (DIFFERENT, LARGE, TOO_LARGE) else 0).randbytes
    size = {LARGE: 35 * KIB, TOO_LARGE: 140 * KIB}.get(number, KIB)
    if number == SCALAR:
        return b" -0.50\n", None
    shown = 0 if number == SAME_VALUE else number
    part = b'{"seats":[%d, 1.50, 15e-1, 1E400],"rest": "%s"}' % (shown // 2, noise(size // 5).hex().encode())
    votes = b"[%d,12345678901234567890, %d.0,\n -0.10]" % (shown, shown % 3)
    name = b"c" if number == WITHOUT_PART else b"b"
    members = [b'"votes": %s' % votes, b'"a": {"%s": %s}' % (name, part), b'"rest":"%s"' % noise(size).hex().encode()]
    if number == SAME_VALUE:
        members.reverse()
    return b"{%s}\r\n" % b",\r\n ".join(members), None if number == WITHOUT_PART else part


# Events

Event = tuple[str, int]
"""An event, and a number.

The document can ``change`` to the one with that number, ``swing`` to it and back, change in a ``burst`` to those from
that number on, be the ``same`` again, or ``fail`` to be pulled. ``time`` passes, in seconds. The watcher can ``stall``,
that is, read no more, ``read`` again, and ``say`` that it has what it has (1) or wants all (0).
"""

_happenings: tuple[Event, ...] = (
    *(
        ("change", number)
        for number in (0, 0, 1, 1, 2, 3, DIFFERENT, WITHOUT_PART, SCALAR, SAME_VALUE, LARGE, TOO_LARGE)
    ),
    *(("swing", number) for number in (1, DIFFERENT, WITHOUT_PART)),
    *(("same", 0), ("same", 0), ("same", 0), ("fail", 0), ("fail", 0), ("fail", 0)),
    *(("burst", 10), ("time", 1), ("time", 4)),
)
_doings: tuple[Event, ...] = (*(("stall", 0),) * 4, ("read", 0), ("read", 0), ("say", 0), ("say", 1))
_events, _events_and_doings = st.sampled_from(_happenings), st.sampled_from(_happenings + _doings)


def pulls(event: Event, present: Document | None) -> list[Document | None]:
    """Gives the results of the pulls of an event; ``None`` for a pull that fails."""
    match event:
        case "change", number:
            return [document(number)]
        case "swing", number:
            return [document(number), present]
        case "burst", number:
            return [document(number + step) for step in range(BURST)]
        case "same", _:
            return [present]
        case "fail", _:
            return [None]
        case _:
            return []


@dataclass(frozen=True)
class Episode:
    """The use of one connection by the watcher.

    :ivar way: ``poll``, ``events`` or ``websocket``.
    :ivar delta: whether it asks for patches.
    :ivar says: how it tells its version, if it does.
    :ivar variant: another choice that the way leaves: the coding, Accept or the path, permessage-deflate.
    :ivar wait_s: how long a poll prefers to wait.
    :ivar before: the events before it connects.
    :ivar between: the events after the first half of its request is sent.
    :ivar during: the events and its actions while it is connected.
    :ivar narrow: whether its connection is full soon.
    :ivar leaves_after: how many bytes it reads before it goes without a word; ``None`` if it reads all there is.
    """

    way: str
    delta: bool = False
    says: str = ""
    variant: str = ""
    wait_s: int = 0
    before: tuple[Event, ...] = ()
    between: tuple[Event, ...] = ()
    during: tuple[Event, ...] = ()
    narrow: bool = False
    leaves_after: int | None = None


@st.composite
def episodes(draw: st.DrawFn) -> Episode:
    """Gives an episode of any way."""
    way = draw(st.sampled_from(("poll", "poll", "poll", "events", "websocket")))
    says = {
        "poll": ("", "tag", "tag", "tag", "weak", "among"),
        "events": ("", "field", "query"),
        "websocket": ("", "query"),
    }
    variants = {
        "poll": ("", "gzip", "br", "zstd", "gzip, br, zstd"),
        "events": ("", "named"),
        "websocket": ("", "deflate"),
    }
    wait_s = draw(st.sampled_from((0, 0, 0, *WAITS_S))) if way == "poll" else 0
    before = st.lists(_events, max_size=3).map(tuple)
    during = st.lists(_events, max_size=2) if way == "poll" else st.lists(_events_and_doings, min_size=1, max_size=8)
    return Episode(
        way,
        draw(st.booleans()),
        draw(st.sampled_from(says[way])),
        draw(st.sampled_from(variants[way])),
        wait_s,
        draw(before),
        draw(before) if draw(st.integers(0, 3)) == 3 else (),
        tuple(draw(during)),
        draw(st.booleans()),
        draw(st.one_of(st.none(), st.none(), st.integers(0, 3 * KIB))),
    )


@dataclass(frozen=True)
class Schedule:
    """The schedule of a watcher.

    :ivar episodes: its connections, one after the other.
    :ivar part: whether it watches the part, and not the whole.
    :ivar pushes: the value of the server's ``--push``.
    :ivar begins: whether there is a document when it begins.
    """

    episodes: tuple[Episode, ...]
    part: bool = False
    pushes: Push = "tick"
    begins: bool = True


schedules = st.builds(
    Schedule,
    st.lists(episodes(), min_size=2, max_size=8).map(tuple),
    st.booleans(),
    st.sampled_from(("tick", "tick", "change")),
    st.integers(0, 7).map(bool),
)


GONE_AND_BACK: tuple[Event, ...] = (
    *(("change", LARGE), ("change", 0), ("change", WITHOUT_PART), ("read", 0)),
    *(("change", 0), ("stall", 0), ("change", LARGE), ("read", 0)),
)


def stalled(way: str, *events: Event, delta: bool = False, part: bool = False, pushes: Push = "tick") -> Schedule:
    """Gives a schedule in which these things happen while the watcher reads nothing."""
    return Schedule((Episode(way, delta, during=(("stall", 0), *events), narrow=True),), part, pushes)


# Where it is performed


class Stage(Protocol):
    """A server, its documents, and connections to it.

    :ivar ledger: all versions that the watcher could get.
    :ivar pushes: the value of the server's ``--push``.
    :ivar exact: whether only the schedule causes events.
    """

    ledger: Ledger
    pushes: Push
    exact: bool

    def happen(self, event: Event) -> list[Tick]:
        """Lets something happen, and gives the pulls that were part of it."""

    def connect(self, *, narrow: bool) -> Any:
        """Gives a connection."""

    def drain(self, line: Any, session: Session) -> None:
        """Lets a session receive and send everything."""

    def take(self, line: Any, session: Session, most: int) -> None:
        """Lets a session receive up to *most* bytes."""


@dataclass
class MemoryStage:
    """A livefeed in this process, on a time of its own.

    :param path: the Unix socket on which it listens.
    """

    # required parameters
    path: str
    part: bool
    pushes: Push

    # internal state
    exact: bool = True
    reactor: DrivenReactor = field(default_factory=DrivenReactor)
    source: MemorySource = field(default_factory=MemorySource)
    clients: list[Client] = field(default_factory=list)
    ledger: Ledger = field(init=False)
    _document: Document | None = None
    _number: int = 0
    _sent_at: float = -math.inf

    def __enter__(self) -> Self:
        self.reactor.now = NOW
        self.ledger = Ledger(PART if self.part else "")
        self.feed = Feed("feed", clock=self.reactor, push=self.pushes)
        made = make_site(self.feed, sources={"feed": self.source})
        self.puller, (self.served,) = made.pullers["feed"], made.published
        listening = make_pool(self.reactor) if TRANSPORT == "fast" else self.reactor
        self.port: Any = listening.listenUNIX(self.path, made.site)
        return self

    def __exit__(self, *details: object) -> None:
        for client in self.clients:
            client.close()
        self.port.stopListening()
        self.reactor.settle()
        self.reactor.advance(5)
        self.reactor.close()

    def subscriptions(self) -> int:
        """Gives the number of all subscriptions, on any transport."""
        return sum(len(delivery.feed.subscriptions) for delivery in self.served)

    def happen(self, event: Event) -> list[Tick]:
        """Stage API."""
        if event[0] == "time":
            self.reactor.advance(event[1])
        ticks = [self._pull(given) for given in pulls(event, self._document)]
        if len(ticks) == 1:
            # After several pulls, the test cannot know which was the newest at each request.
            self.ledger.confirm()
        return ticks

    def _pull(self, given: Document | None) -> Tick:
        state, changed = "stale" if given is None else "live", False
        turned, self.ledger.state = state != self.ledger.state, state
        is_new = given not in (None, self._document)
        if given is not None:
            self._number += is_new
            self._document = given
            changed = self.ledger.add(self._number, given[self.part])
        beats = self.pushes == "change" and self.reactor.now - self._sent_at > HEARTBEAT_S - 1
        if is_new or turned or beats:
            self._sent_at = self.reactor.now
        self.source.answers.append(SourceError("away") if given is None else given[0])
        Deferred.fromCoroutine(self.puller.tick())
        return Tick(given is not None, changed, self.ledger.newest.data is not None, turned, beats)

    def connect(self, *, narrow: bool) -> Client:
        """Stage API."""
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(self.path)
        client = Client(sock)
        self.clients.append(client)
        before = self._servers()
        self.reactor.settle()
        if narrow:
            for server in self._servers() - before:
                server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, NARROW_BYTES)
        return client

    def _servers(self) -> set[socket.socket]:
        """Gives the server's ends of the connections; Twisted's have buffers of their own, which are made small."""
        if TRANSPORT == "fast":
            return {connection.sock for pool in self.reactor.pools for connection in connections_of(pool)}
        servers = [reader for reader in self.reactor.getReaders() if isinstance(reader, Server)]
        for server in servers:
            server.bufferSize = NARROW_BYTES
        return {server.socket for server in servers}

    def drain(self, line: Client, session: Session) -> None:
        """Stage API."""
        for _ in range(MAX_ROUNDS):
            settle(self.reactor, line)
            session.receive(self._taken(line))
            if not session.outgoing:
                self.ledger.confirm()
                return
            for said in session.outgoing:
                line.send(said)
            session.outgoing.clear()
        raise AssertionError("there is always something more to be said")

    def take(self, line: Client, session: Session, most: int) -> None:
        """Stage API."""
        self.reactor.settle()
        with contextlib.suppress(BlockingIOError):
            line.received += line.sock.recv(most) if most else b""
        session.receive(self._taken(line))

    def _taken(self, line: Client) -> bytes:
        data, line.received = line.received, b""
        return data


class Performance:
    """A watcher that goes by a schedule on a stage."""

    def __init__(self, stage: Stage, schedule: Schedule) -> None:
        self.watcher = Watcher(stage.ledger)
        self._stage = stage
        self._schedule = schedule
        self._line: Any = None  # on which it polls, as long as nothing else was done there

    def perform(self) -> Counter[str]:
        """Runs the whole schedule, fails at the first error, and counts the messages that the watcher got."""
        for episode in self._schedule.episodes:
            for event in episode.before:
                self._stage.happen(event)
            self._stage.ledger.confirm()
            self._perform(episode)
        # In the end, a request gets the newest version.
        self._perform(Episode("poll"))
        newest = self._stage.ledger.newest
        assert newest.version in (None, self.watcher.version)
        return self.watcher.got

    def _perform(self, episode: Episode) -> None:
        session = self._session(episode)
        line = self._line if self._line is not None and not episode.narrow else None
        if line is None:
            line = self._stage.connect(narrow=episode.narrow)
        self._line = None
        opening = session.opening()
        if episode.between:
            line.send(opening[:20])
            for event in episode.between:
                self._stage.happen(event)
            self._stage.ledger.confirm()
        line.send(opening[20 if episode.between else 0 :])
        visit = Visit(self._stage, session, line, narrow=episode.narrow)
        visit.begin()
        for event in episode.during:
            visit.take_part(event)
        visit.end(episode.leaves_after)
        if isinstance(session, Polling) and session.ended and episode.leaves_after is None:
            self._line = line
        else:
            line.close()

    def _session(self, episode: Episode) -> Session:
        delta, says, variant = episode.delta, episode.says, episode.variant
        pushes = self._stage.pushes
        match episode.way:
            case "poll":
                wait_s = episode.wait_s if self._stage.exact else max(WAITS_S) * bool(episode.wait_s)
                return Polling(self.watcher, coding=variant, names=says, patch=delta, wait_s=wait_s)
            case "events":
                return Events(self.watcher, delta=delta, says=says, named=variant == "named", pushes=pushes)
            case _:
                deflate = variant == "deflate"
                return WebSocket(self.watcher, delta=delta, says=says, deflate=deflate, pushes=pushes)


class Visit:
    """The events of one connection, and the number of messages that they should bring."""

    def __init__(self, stage: Stage, session: Session, line: Any, *, narrow: bool) -> None:
        self._stage = stage
        self._narrow = narrow
        self._session = session
        self._line = line
        self._least = self._most = session.due_at_once()
        self._stalled = False
        self._waited_s = 0

    def begin(self) -> None:
        """Reads the messages that come at once."""
        self._drain()

    def take_part(self, event: Event) -> None:
        """Performs an event, and reads the resulting messages, unless the watcher does not read."""
        kind, value = event
        if kind == "stall":
            self._stalled = isinstance(self._session, Following)
        elif kind == "read":
            self._stalled = False
        elif kind == "say":
            said = self._session.say("version" if value else "nothing")
            self._most += said
            self._least += said and self._stage.ledger.newest.data is not None
            self._speak()
        else:
            self._note_time(*event)
            ticks = self._stage.happen(event)
            if isinstance(self._session, Events):
                self._session.alone = len(ticks) == 1
            due = 0 if self._session.ended else sum(self._session.due(tick) for tick in ticks)
            self._most += len(ticks) if self._stalled else due
            # A version that exists for a moment may be skipped.
            self._least += due if len(ticks) == 1 else 0
        if self._stalled:
            self._least = 0
        else:
            self._drain()

    def end(self, leaves_after: int | None) -> None:
        """Reads the rest, or leaves it."""
        session = self._session
        if leaves_after is not None:
            self._stage.take(self._line, session, leaves_after if self._stalled else 0)
            return
        self._stalled = False
        if isinstance(session, Polling) and session.wait_s and not session.ended and self._stage.exact:
            self.take_part(("time", session.wait_s))
        self._drain()

    def _note_time(self, kind: str, value: int) -> None:
        session = self._session
        if kind == "time" and isinstance(session, Polling) and self._stage.exact:
            self._waited_s += value
            session.time_is_over = self._waited_s >= session.wait_s > 0

    def _speak(self) -> None:
        for said in self._session.outgoing:
            self._line.send(said)
        self._session.outgoing.clear()

    def _drain(self) -> None:
        session = self._session
        session.sizes.clear()
        self._stage.drain(self._line, session)
        assert session.up_to_date, "there is something newer"
        if self._stage.exact:
            count = len(session.sizes)
            assert self._least <= count <= self._most, f"{count} messages, not {self._least} to {self._most}"
            older = session.sizes[:-1]
            assert not self._narrow or sum(older) - max(older, default=0) < IN_FLIGHT_BYTES, "a backlog"
            if isinstance(session, Following):
                session.forget()
        self._least = self._most = 0


# In memory


# A part goes, and comes back many times, at last as it was.
_SEVERAL = Episode("events", before=(("burst", 10),), during=(("change", WITHOUT_PART), ("burst", 10)))
COMES_BACK_AND_CHANGES = Schedule((_SEVERAL,), part=True, begins=False)

# A long poll is answered with a version that exists for a moment, and the client reads the answer after that.
_WAITS = Episode("poll", says="tag", wait_s=1, during=(("swing", 1), ("change", 0)))
MOMENTARY_ANSWER = Schedule((Episode("poll", between=(("change", 2),)), _WAITS))


@pytest.mark.transports
class SchedulesTests(SynchronousTestCase):
    """Hundreds of schedules, in one process and on one clock."""

    def setUp(self) -> None:
        # These bytes are compressed again and again: it would take most of the time.
        for name in ("compress", "compress_well"):
            cached = cache(getattr(codings, name))
            self.patch(snapshot, name, cached)
            if name == "compress_well":
                self.patch(making, name, cached)
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = str(Path(directory.name) / "site")

    def perform(self, schedule: Schedule) -> Counter[str]:
        with MemoryStage(self.path, schedule.part, schedule.pushes) as stage:
            if schedule.begins:
                stage.happen(("change", 0))
            got = Performance(stage, schedule).perform()
            for client in stage.clients:
                client.close()
            # A client that has closed its side may still read: Twisted's transport sends all earlier answers first.
            stage.reactor.advance(max(WAITS_S) + 1)
            self.assertEqual(stage.subscriptions(), 0)
        self.assertEqual(self.flushLoggedErrors(), [])
        return got

    @given(schedules)
    @settings(deadline=None, max_examples=400, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @example(COMES_BACK_AND_CHANGES)
    @example(stalled("events", ("change", LARGE), ("swing", 1)))
    @example(stalled("events", ("change", LARGE), ("swing", 1), delta=True))
    @example(stalled("websocket", ("change", LARGE), ("swing", 1), pushes="change"))
    @example(stalled("websocket", ("change", LARGE), ("burst", 10), ("same", 0)))
    @example(stalled("websocket", ("change", LARGE), ("burst", 10), ("fail", 0), delta=True))
    @example(stalled("events", *GONE_AND_BACK, part=True))
    @example(stalled("events", *GONE_AND_BACK, part=True, delta=True))
    @example(stalled("websocket", *GONE_AND_BACK, part=True))
    def test_no_version_is_missed_or_repeated(self, schedule: Schedule) -> None:
        """No watcher misses or repeats a version, for any behaviour of the watcher and any events."""
        self.perform(schedule)

    def test_schedules_lead_everywhere(self) -> None:
        """The property above would prove nothing about an answer that no schedule brings."""
        got: Counter[str] = Counter()

        @given(schedules)
        @settings(deadline=None, max_examples=200, database=None, derandomize=True)
        def count(schedule: Schedule) -> None:
            got.update(self.perform(schedule))

        count()
        pushed = {
            f"{way} {kind}"
            for way in ("Events", "WebSocket")
            for kind in ("document", "snapshot", "patch", "heartbeat")
        }
        expected = {"200", "226", "304", "404", "503", "waited 200", "waited 226", *pushed}
        self.assertEqual({kind: got[kind] for kind in expected if not got[kind]}, {})


# Over TLS, with a process


@dataclass
class ProcessStage:
    """A livefeed process that follows a file.

    :param livefeed: the process.
    :param path: the file.
    """

    # required parameters
    livefeed: Livefeed
    path: Path
    part: bool
    pushes: Push

    # internal state
    exact: bool = False
    ledger: Ledger = field(init=False)
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _document: Document = field(default_factory=lambda: document(0))
    _number: int = 0
    _is_waiting: bool = False  # whether there is a poll that may have been answered meanwhile

    def __enter__(self) -> Self:
        self._clerks = self._stack.enter_context(self.livefeed.subscriber_of_each(DELTA))
        replace_file(self.path, self._document[0])
        self.ledger = Ledger(PART if self.part else "", state="live")
        said = self._wait_for("live")
        self._number = int(said["sequence"].partition(".")[2])
        # A part may be known there since an earlier version.
        self.ledger.add(0 if self.part else self._number, self._document[self.part])
        self.ledger.confirm()
        return self

    def __exit__(self, *details: object) -> None:
        self._stack.close()

    def happen(self, event: Event) -> list[Tick]:
        """Stage API. It returns when it has come about."""
        ticks = [self._pull(given) for given in pulls(event, self._document)]
        if len(ticks) == 1 and not self._is_waiting:
            self.ledger.confirm()
        return ticks

    def _pull(self, given: Document | None) -> Tick:
        state, changed, changes = "stale" if given is None else "live", False, False
        turned, self.ledger.state = state != self.ledger.state, state
        if given is None:
            self.path.unlink(missing_ok=True)
        else:
            changes = given != self._document
            self._number += changes
            self._document = given
            changed = self.ledger.add(self._number, given[self.part])
            replace_file(self.path, given[0])
        if changes or turned:
            self._wait_for(state)
        elif self.pushes == "tick":
            self._wait_for(state, after="" if given is None else timestamp(time.time()))
        return Tick(given is not None, changed, self.ledger.newest.data is not None, turned)

    def _wait_for(self, state: str, after: str = "") -> dict[str, Any]:
        """Returns when livefeed has pulled the present document, and gives its answer; with workers, that of the last.

        :param after: when it must have been pulled, where nothing else tells.
        """
        return [self._wait_for_one(clerk, state, after) for clerk in self._clerks][-1]

    def _wait_for_one(self, clerk: Wire, state: str, after: str) -> dict[str, Any]:
        version = version_of(self._document[0])
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            message: dict[str, Any] = json.loads(clerk.frame_of(TEXT))
            if (message["version"], message["state"]) == (version, state) and message["at"] >= after:
                return message
        raise AssertionError(f"the document is not {state}, and of version {version}")

    def connect(self, *, narrow: bool) -> Wire:
        """Stage API."""
        self._is_waiting = False
        return self._stack.enter_context(self.livefeed.wire(receive_buffer=4 * KIB if narrow else None))

    def drain(self, line: Wire, session: Session) -> None:
        """Stage API."""
        deadline = time.monotonic() + WAIT_S
        while True:
            for said in session.outgoing:
                line.send(said)
            session.outgoing.clear()
            if session.up_to_date:
                # The answer to a long poll may have a version that existed for a moment, even if it is read late.
                self._is_waiting = isinstance(session, Polling) and not session.ended
                if not self._is_waiting:
                    self.ledger.confirm()
                return
            line.sock.settimeout(deadline - time.monotonic())
            data = line.sock.recv(64 * KIB)
            assert data, "the connection has ended"
            session.receive(data)

    def take(self, line: Wire, session: Session, most: int) -> None:
        """Stage API."""
        line.sock.settimeout(0)
        with contextlib.suppress(ssl.SSLWantReadError):
            session.receive(line.sock.recv(most) if most else b"")


@pytest.fixture(scope="module")
def followed(
    certificate: DevelopmentCertificate, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Push, tuple[Livefeed, Path]]]:
    """A livefeed for each choice of ``--push``, and the file that it follows."""
    pushes: tuple[Push, ...] = ("tick", "change")
    with contextlib.ExitStack() as stack:
        servers: dict[Push, tuple[Livefeed, Path]] = {}
        for push in pushes:
            directory = tmp_path_factory.mktemp(push)
            path = directory / "document.json"
            replace_file(path, document(0)[0])
            options = ("--source", f"file:{path}", "--interval", "0.05", "--push", push)
            servers[push] = (
                stack.enter_context(Livefeed(*options, directory=directory, certificate=certificate)),
                path,
            )
        yield servers


class TestSchedulesOverTls:
    """A few, with a process as an operator starts it, and a file that changes."""

    @given(schedules)
    @example(MOMENTARY_ANSWER)
    @settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    def test_no_version_is_missed_or_repeated(
        self, followed: dict[Push, tuple[Livefeed, Path]], schedule: Schedule
    ) -> None:
        """The other test checks times and numbers of messages: here the ticks come by themselves."""
        livefeed, path = followed[schedule.pushes]
        # Each worker cuts parts by itself, and those that nobody follows there only when they are asked for. So two
        # workers may give the same part two sequences, and a schedule leads from one worker to the other.
        part = schedule.part and not WORKERS
        with ProcessStage(livefeed, path, part, schedule.pushes) as stage:
            Performance(stage, schedule).perform()
