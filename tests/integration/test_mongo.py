"""MongoDB as a source: a real server, with all that happens to it in a night."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING

import pytest

from tests.helpers.waiting import wait_until
from tests.integration.harness import Livefeed, Polling
from tests.integration.mongo import MongoStore, Relay
from tests.integration.mongo_replica_set import ReplicaSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from livefeed.tls.development import DevelopmentCertificate
    from tests.integration.conftest import Start

pytestmark = pytest.mark.sources

FAST = ("--interval", "0.1")
LIVE = 'feed "feed" is live'
STALE = 'feed "feed" is (?:still )?stale'


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoStore]:
    """A server that nothing happens to; each test has documents of its own."""
    with MongoStore(tmp_path_factory.mktemp("mongo"), own=False) as store:
        yield store


@pytest.fixture
def own_store(tmp_path: Path) -> Iterator[MongoStore]:
    """A server to do anything with."""
    with MongoStore(tmp_path) as store:
        yield store


class Watching(Polling):
    """Polls like a watcher, and tells whether it has ever got a wrong answer."""

    def assert_in_order(self, *numbers: int) -> None:
        """Fails unless every answer was a document, none older than one before it, and these were all there were."""
        assert self.failures == []
        assert {answer.status for answer in self.answers} == {200}
        seen = [json.loads(answer.body)["n"] for answer in self.answers]
        assert seen == sorted(seen)
        assert set(seen) == set(numbers)

    def wait_for_number(self, number: int) -> None:
        """Returns when a watcher has the document with this number."""
        wanted = f'{{"n":{number}}}'.encode()
        self.wait_for(lambda answer: answer.body == wanted and answer.state == "live")


def assert_passes_by(  # noqa: PLR0913
    store: MongoStore,
    livefeed: Livefeed,
    spoil: Callable[[], object],
    mend: Callable[[], object],
    *,
    number: int = 1,
    why: str = "",
) -> None:
    """Fails unless watchers go through a trouble with nothing but a document that grows old.

    :param spoil: the function that causes the trouble.
    :param mend: the function that ends it, after which the document is changed.
    :param number: the document before is ``{"n": number}``.
    :param why: the reason in the log, as a regular expression.
    """
    with Watching(livefeed, pause_s=0.05) as watching:
        watching.wait_for_number(number)
        mark = livefeed.mark()
        spoil()
        watching.wait_for(lambda answer: answer.state == "stale")
        watching.wait_for(lambda _: True, count=20)
        mend()
        store.set_document({"n": number + 1})
        watching.wait_for_number(number + 1)
    watching.assert_in_order(number, number + 1)
    assert watching.states == ["live", "stale", "live"]
    assert re.search(why, livefeed.log(mark)), livefeed.log(mark)
    livefeed.assert_unbroken()


class TestDocuments:
    def test_a_change_reaches_watchers(self, store: MongoStore, start: Start) -> None:
        """Watchers get each change, and equal content has an equal version."""
        store.set_document({"n": 1, "share": 1.5, "name": "Zürich"}, "timely")
        livefeed = start("--source", store.url("timely"))
        assert livefeed.http.get("/feed").content == '{"n":1,"share":1.5,"name":"Zürich"}'.encode()
        version = livefeed.http.get("/feed").headers["ETag"]
        with Polling(livefeed, pause_s=0.02) as polling:
            for fields, body in (({"n": 2}, b'{"n":2}'), ({"n": [1, None]}, b'{"n":[1,null]}')):
                store.set_document(fields, "timely")
                polling.wait_for(lambda answer, body=body: answer.body == body)  # type: ignore[misc]
            store.set_document({"n": 1, "share": 1.5, "name": "Zürich"}, "timely")
            polling.wait_for(lambda answer: answer.headers["ETag"] == version)
        assert polling.failures == []

    def test_two_processes_agree_on_versions(self, store: MongoStore, start: Start) -> None:
        """Two livefeeds that read the same have the same version, and so has one that starts later."""
        store.set_document({"a": {"b": [1.5, "x"]}, "c": True}, "agreed")
        tags = {start("--source", store.url("agreed")).http.get("/feed").headers["ETag"] for _ in range(2)}
        assert len(tags) == 1

    def test_a_query_is_a_list_in_order(self, store: MongoStore, start: Start) -> None:
        """A collection is a list by _id; filter, sort, projection and limit are MongoDB's."""
        documents = [{"_id": number, "votes": number % 7, "party": "AB"[number % 2]} for number in range(2500)]
        store.set_all([*reversed(documents)], "listed")
        whole = start("--source", store.url_of("listed"), *FAST)
        assert whole.http.get("/feed").json() == documents
        chosen = start(
            "--source",
            store.url_of(
                "listed", filter='{"party": "A"}', sort='{"votes": -1}', projection='{"votes": 1}', limit="400"
            ),
            *FAST,
        )
        expected = sorted((one for one in documents if one["party"] == "A"), key=lambda one: -one["votes"])[:400]  # type: ignore[operator]
        listed = [{"_id": one["_id"], "votes": one["votes"]} for one in expected]
        # On a busy machine FerretDB may end a list early, without an error, as MongoDB does not.
        wait_until(lambda: chosen.http.get("/feed").json() == listed, lambda: chosen.http.get("/feed").text[-200:])

    def test_nothing_found(self, store: MongoStore, start: Start) -> None:
        """A query that finds nothing is an empty list; a document that is not there is none."""
        assert start("--source", store.url_of("nothing"), *FAST).http.get("/feed").content == b"[]"
        missing = start("--source", store.url("missing"), *FAST, live=False)
        missing.wait_for_log(STALE + ".*no document matches the filter")

    def test_no_changes_are_said_once(self, store: MongoStore, start: Start) -> None:
        """A server without change streams is said to be one, and is pulled."""
        store.set_document({"n": 1}, "unwatched")
        livefeed = start("--source", store.url("unwatched"), *FAST)
        livefeed.wait_for_log(r"reports (no )?changes")
        assert livefeed.log().count(" reports ") == 1

    def test_too_large(self, store: MongoStore, start: Start) -> None:
        """Four megabytes in the place of the document remove nothing and cost no memory: they are not kept."""
        store.set_document({"n": 1}, "large")
        livefeed = start("--source", store.url("large"), *FAST)
        with Polling(livefeed, pause_s=0.02) as polling:
            polling.wait_for(lambda answer: answer.state == "live", count=3)
            store.set_document({"parts": ["x" * 1000] * 4000}, "large")
            polling.wait_for(lambda answer: answer.state == "stale")
            # A busy machine can be stale before, since a query was too slow.
            livefeed.wait_for_log("larger than --max-bytes")
            before = livefeed.resident_bytes()
            grown = []
            for _ in range(30):
                polling.wait_for(lambda _: True, count=10)
                grown.append(livefeed.resident_bytes() - before)
            assert sum(each >= 200 * 1024 * 1024 for each in grown) <= 1, f"the large answer stays in memory: {grown}"
            store.set_document({"n": 2}, "large")
            polling.wait_for(lambda answer: answer.state == "live" and answer.body == b'{"n":2}')
        assert polling.failures == []
        assert polling.states == ["live", "stale", "live"]
        assert {answer.body for answer in polling.answers} == {b'{"n":1}', b'{"n":2}'}


class TestTroubles:
    @pytest.fixture
    def livefeed(self, own_store: MongoStore, start: Start) -> Livefeed:
        own_store.set_document({"n": 1})
        return start("--source", own_store.url())

    def test_paused(self, own_store: MongoStore, livefeed: Livefeed) -> None:
        """A server that hangs is not waited for, twice."""
        for number in (1, 2):
            assert_passes_by(own_store, livefeed, own_store.pause, own_store.resume, number=number)

    def test_killed_and_started(self, own_store: MongoStore, livefeed: Livefeed) -> None:
        """A server that is away is followed again when it is back."""
        assert_passes_by(own_store, livefeed, own_store.kill, own_store.start, why="127.0.0.1")

    def test_restarted_at_once(self, own_store: MongoStore, livefeed: Livefeed) -> None:
        """A server that was ended and started between two ticks is followed, with connections of its own."""
        with Watching(livefeed, pause_s=0.05) as watching:
            for number in range(2, 5):
                own_store.restart()
                own_store.set_document({"n": number})
                watching.wait_for_number(number)
        watching.assert_in_order(1, 2, 3, 4)

    def test_never_there(self, own_store: MongoStore, start: Start) -> None:
        """Livefeed starts without its server, and is live as soon as it is there."""
        own_store.set_document({"n": 1})
        own_store.kill()
        livefeed = start("--source", own_store.url(), live=False)
        livefeed.wait_for_log(STALE + ".*cannot connect")
        own_store.start()
        livefeed.wait_for_log(LIVE)

    def test_document_vanishes(self, own_store: MongoStore, livefeed: Livefeed) -> None:
        """A document that is gone takes nothing away."""
        assert_passes_by(
            own_store, livefeed, own_store.remove_document, lambda: None, why="no document matches the filter"
        )

    @pytest.mark.parametrize("signalled", ["term", "paused and term"])
    def test_stopping(self, own_store: MongoStore, livefeed: Livefeed, signalled: str) -> None:
        """SIGTERM ends livefeed in time, also while the server hangs."""
        with Polling(livefeed) as polling:
            if signalled != "term":
                own_store.pause()
                polling.wait_for(lambda answer: answer.state == "stale")
        assert livefeed.terminate(livefeed.stop_s) == 0
        livefeed.assert_unbroken()

    def test_stopping_with_a_long_timeout(self, own_store: MongoStore, start: Start) -> None:
        """The stop does not wait for a query that may take ten seconds."""
        own_store.set_document({"n": 1})
        livefeed = start("--source", own_store.url(timeout="9.9"), "--interval", "1")
        own_store.pause()
        # The tick has given up after 1 s, and the query goes on for 9 s more.
        livefeed.wait_for_log(STALE + ".*no answer within 1 s")
        began = time.monotonic()
        assert livefeed.terminate() == 0
        assert time.monotonic() - began < 8


class TestConnections:
    @pytest.fixture
    def relay(self, own_store: MongoStore) -> Iterator[Relay]:
        own_store.set_document({"n": 1})
        with Relay(own_store.port) as relay:
            yield relay

    @pytest.fixture
    def livefeed(self, own_store: MongoStore, relay: Relay, start: Start) -> Livefeed:
        return start("--source", own_store.url(port=relay.port))

    def test_slow_answers(self, own_store: MongoStore, relay: Relay, livefeed: Livefeed) -> None:
        """Answers that come too late are not waited for; those that are merely late are taken."""
        relay.delay_s = 0.3
        own_store.set_document({"n": 2})
        with Watching(livefeed) as watching:
            watching.wait_for_number(2)

        def slow() -> None:
            relay.delay_s = 3.0

        def quick() -> None:
            relay.delay_s = 0.0

        assert_passes_by(own_store, livefeed, slow, quick, number=2)

    def test_swallowed(self, own_store: MongoStore, relay: Relay, livefeed: Livefeed) -> None:
        """A line on which nothing comes any more is given up, and another is made."""

        def swallow() -> None:
            relay.silent = True

        def mend() -> None:
            relay.silent = False

        # The client's own monitor of the server sometimes notices it before the pull gives up.
        assert_passes_by(own_store, livefeed, swallow, mend, why="no answer within|operation cancelled")

    @pytest.mark.parametrize(
        "nonsense",
        [
            b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
            b"\0" * 64,
            b"\xff" * 64,
            b"\x10\0\0\x7f" + b"\0" * 60,
            b"\x1a\0\0\0" + b"\1\0\0\0" * 2 + b"\xdd\x07\0\0" + b"\0" * 10,
        ],
        ids=["http", "zeros", "ones", "endless", "empty"],
    )
    def test_nonsense(self, own_store: MongoStore, relay: Relay, livefeed: Livefeed, nonsense: bytes) -> None:
        """Answers of another protocol are errors, take no memory, and are forgotten."""
        before = livefeed.resident_bytes()

        def spoil() -> None:
            relay.nonsense = nonsense

        def mend() -> None:
            relay.nonsense = None
            relay.cut()

        assert_passes_by(own_store, livefeed, spoil, mend)
        assert livefeed.resident_bytes() - before < 32 * 1024 * 1024

    def test_cut(self, own_store: MongoStore, relay: Relay, livefeed: Livefeed) -> None:
        """Connections that are cut are made anew, few at a time."""
        with Watching(livefeed, pause_s=0.05) as watching:
            for number in range(2, 7):
                relay.cut()
                own_store.set_document({"n": number})
                watching.wait_for_number(number)
        watching.assert_in_order(*range(1, 7))
        assert relay.accepted < 40


class TestPasswords:
    PASSWORD = "hu/sh:hu@sh"

    def test_refused_and_then_taken(self, tmp_path: Path, start: Start) -> None:
        """With a wrong password the feed is stale; once it is right it is live; no log line has it."""
        with MongoStore(tmp_path, user="watcher", password="another") as store:
            store.set_document({"n": 1})
            url = store.url(credentials="watcher:hu%2Fsh%3Ahu%40sh@")
            livefeed = start("--source", url, *FAST, live=False)
            livefeed.wait_for_log(STALE + ".*Authentication failed")
            response = livefeed.http.get("/feed")
            assert response.status_code == 503
            store.set_password(self.PASSWORD)
            livefeed.wait_for_log(LIVE)
            assert livefeed.http.get("/feed").content == b'{"n":1}'
            mark = livefeed.mark()
            store.kill()
            livefeed.wait_for_log(STALE, start=mark)
            assert livefeed.log().count("is stale") == 2
            for secret in (self.PASSWORD, "hu%2Fsh", "watcher"):
                assert secret not in livefeed.log()

    def test_password_that_is_missing(self, tmp_path: Path, start: Start) -> None:
        """If the password that the server wants is missing, the log has the server's message."""
        with MongoStore(tmp_path, user="watcher", password="another") as store:
            livefeed = start("--source", store.url(credentials=""), *FAST, live=False)
            livefeed.wait_for_log(STALE + ".*requires authentication")


class TestTls:
    def test_certificate_is_verified(self, tmp_path: Path, start: Start, certificate: DevelopmentCertificate) -> None:
        """TLS works with the CA of the setting and fails without it; the log says why."""
        with MongoStore(tmp_path, certificate=certificate) as store:
            store.set_document({"n": 1})
            url = store.url(port=store.tls_port, tls="true", tlsCAFile=str(certificate.ca))
            assert start("--source", url, *FAST).http.get("/feed").content == b'{"n":1}'
            stranger = start("--source", store.url(port=store.tls_port, tls="true"), *FAST, live=False)
            stranger.wait_for_log(STALE + ".*certificate verify failed")
            plain = start("--source", store.url(port=store.tls_port), *FAST, live=False)
            plain.wait_for_log(STALE)


class TestChangeStreams:
    """pymongo's change streams, told by a stand-in for a replica set."""

    @pytest.fixture
    def replica_set(self) -> Iterator[ReplicaSet]:
        with ReplicaSet({"n": 1}) as replica_set:
            yield replica_set

    @pytest.fixture
    def livefeed(self, replica_set: ReplicaSet, start: Start) -> Livefeed:
        livefeed = start("--source", replica_set.url(), "--interval", "3600")
        livefeed.wait_for_log("reports changes, which are pulled at once")
        return livefeed

    def test_changes_are_pulled_at_once(self, replica_set: ReplicaSet, livefeed: Livefeed) -> None:
        """With an hour from tick to tick, a change is at a watcher without one, and again."""
        with Watching(livefeed, pause_s=0.02) as watching:
            watching.wait_for_number(1)
            for number in range(2, 6):
                replica_set.change({"n": number})
                watching.wait_for_number(number)
        watching.assert_in_order(*range(1, 6))
        assert watching.states == ["live"]
        assert "fullDocument" not in str(replica_set.pipelines)

    def test_quiet_streams_stay_open(self, replica_set: ReplicaSet, livefeed: Livefeed) -> None:
        """A collection in which nothing is written for a while is asked about each second, and not opened anew."""
        assert replica_set.wait_for_questions(4)
        replica_set.change({"n": 2})
        with Watching(livefeed, pause_s=0.02) as watching:
            watching.wait_for_number(2)
        assert len(replica_set.pipelines) == 1

    def test_writes_without_end_are_pulled_now_and_then(self, replica_set: ReplicaSet, livefeed: Livefeed) -> None:
        """Where much is written, it is pulled ten times a second at most, and the last of it is there."""
        before = replica_set.finds
        began = time.monotonic()
        for number in range(2, 502):
            replica_set.change({"n": number})
        with Polling(livefeed, pause_s=0.02) as polling:
            polling.wait_for(lambda answer: answer.body == b'{"n":501}')
        assert replica_set.finds - before <= 10 * (time.monotonic() - began) + 2

    def test_streams_that_break_are_opened_again(self, replica_set: ReplicaSet, livefeed: Livefeed) -> None:
        """After its connections were cut, the stream is opened again, and missed changes are pulled."""
        # The pull that opening brings with it is over then: one that is cut may be a tick late.
        assert replica_set.wait_for_questions(2)
        mark = livefeed.mark()
        replica_set.cut()
        replica_set.change({"n": 2})
        with Watching(livefeed, pause_s=0.02) as watching:
            watching.wait_for_number(2)
            replica_set.change({"n": 3})
            watching.wait_for_number(3)
        livefeed.assert_unbroken()
        assert "is stale" not in livefeed.log(mark)

    def test_stopping_while_a_stream_waits(self, livefeed: Livefeed) -> None:
        """SIGTERM does not wait for the next change."""
        assert livefeed.terminate() == 0
        livefeed.assert_unbroken()
