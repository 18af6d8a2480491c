"""Rules that hold for every store that a document is pulled from, through all failures of one night.

The stores are real servers; :mod:`tests.integration.store` says how another one is added.
"""

from __future__ import annotations

import contextlib
import re
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
import websockets.exceptions

from tests.integration.harness import Livefeed, Polling
from tests.integration.store import Middle, Store, stores

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from livefeed.tls.development import DevelopmentCertificate

pytestmark = pytest.mark.sources

INTERVAL_S = "0.2"
FLOOD_BYTES = 10 * 1024 * 1024
STALE_TICKS = 2
"""The shortest length of an incident, in failed pulls. Until then, the incident is repeated."""

BACK_TICKS = 2
"""Failed pulls that there may be after a store is back: one that was under way, and one more."""

STORES = stores()
WITH_MIDDLE = [name for name, kind in STORES.items() if kind.has_middle]
WITH_PASSWORD = [name for name, kind in STORES.items() if kind.has_password]
CAN_BE_LARGE = [name for name, kind in STORES.items() if kind.can_be_large]


@dataclass
class Night:
    """A livefeed, the store it pulls from, and the documents that were put there, each newer than the last."""

    # required parameters
    livefeed: Livefeed
    store: Store
    middle: Middle | None

    # internal state
    number: int = 1

    def put_next(self) -> None:
        """Puts a newer document into the store."""
        self.number += 1
        self.store.put(self.number)

    def failed_pulls(self) -> int:
        """Gives how many pulls have failed since the start."""
        return self._pulls("failed")

    def good_pulls(self) -> int:
        """Gives how many pulls have given a document since the start."""
        return self._pulls("good")

    def _pulls(self, kind: str) -> int:
        text = self.livefeed.metrics()
        (count,) = re.findall(rf'livefeed_{kind}_pulls_total\{{feed="feed"\}} (\d+)', text)
        return int(count)

    def changes_logged(self, mark: int) -> list[str]:
        """Gives the lines since a mark, but for the one that says by which way changes are announced."""
        return [line for line in self.livefeed.log(mark).splitlines() if "changes are announced" not in line]

    def number_of(self, document: bytes) -> int:
        """Gives which document it is.

        :raises ValueError: if it is none that was ever put there.
        """
        return [self.store.document(number) for number in range(self.number + 1)].index(document)

    @contextlib.contextmanager
    def watched(self) -> Iterator[Polling]:
        """Fails unless pollers and subscribers get everything in order, up to the newest document."""
        start = self.livefeed.mark()
        messages: list[bytes] = []
        changed = threading.Condition()

        def receive() -> None:
            with contextlib.suppress(websockets.exceptions.ConnectionClosed):
                for message in subscriber:
                    with changed:
                        messages.append(message.encode() if isinstance(message, str) else message)
                        changed.notify_all()

        with self.livefeed.websocket() as subscriber, Polling(self.livefeed, pause_s=0.02) as polling:
            thread = threading.Thread(target=receive, daemon=True)
            thread.start()
            polling.wait_for(lambda answer: answer.state == "live")
            yield polling
            newest = self.store.document(self.number)
            polling.wait_for(lambda answer: answer.state == "live" and answer.body == newest)
            with changed:
                assert changed.wait_for(lambda: messages[-1:] == [newest], 5)
            assert subscriber.close_code is None
        thread.join(5)
        assert polling.failures == []
        assert {answer.status for answer in polling.answers} == {200}
        for documents in ([answer.body for answer in polling.answers], messages):
            numbers = [self.number_of(document) for document in documents]
            assert numbers == sorted(numbers)
        self.livefeed.assert_unbroken()
        log = self.livefeed.log(start)
        assert log.count("is stale") == polling.states.count("stale")
        assert not any(secret in self.livefeed.log() for secret in self.store.secrets)

    def survives(self, spoil: Callable[[], object], mend: Callable[[], object], why: str) -> None:
        """Fails unless the feed is stale while something is wrong, says why, and is live soon after it is mended.

        Fails as well if the memory of livefeed has grown by as much as the data of a flood.
        """
        start, before = self.livefeed.mark(), self.livefeed.resident_bytes()
        with self.watched() as polling:
            failed = self.failed_pulls()
            spoil()
            polling.wait_for(lambda answer: answer.state == "stale")
            polling.wait_for(lambda _: self.failed_pulls() >= failed + STALE_TICKS)
            mend()
            failed = self.failed_pulls()
            self.put_next()
            polling.wait_for(lambda answer: answer.state == "live")
            assert self.failed_pulls() <= failed + BACK_TICKS
        assert polling.states == ["live", "stale", "live"]
        self.livefeed.wait_for_log(f"is (?:still )?stale: .*(?:{why})", start=start)
        assert self.livefeed.resident_bytes() - before < FLOOD_BYTES


@pytest.fixture(scope="module")
def night(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, certificate: DevelopmentCertificate
) -> Iterator[Night]:
    """A store that is watched; the tests of one store share it, one after the other."""
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(STORES[request.param](tmp_path_factory.mktemp("store")))
        store.start()
        store.put(1)
        middle = stack.enter_context(Middle(store.port)) if store.has_middle else None
        livefeed = Livefeed(
            *("--source", store.source(middle.port if middle else None)),
            *("--interval", INTERVAL_S),
            directory=tmp_path_factory.mktemp("livefeed"),
            certificate=certificate,
        )
        yield Night(stack.enter_context(livefeed), store, middle)


@pytest.mark.parametrize("night", STORES, indirect=True)
class TestEveryStore:
    """Each store there is."""

    def test_the_same_document_is_the_same_version(self, night: Night) -> None:
        """A document is served byte for byte, and has the same version when it comes back."""
        tags = []
        for number in (1, 2, 1):
            night.store.put(number)
            with Polling(night.livefeed, pause_s=0.02) as polling:
                document = night.store.document(number)
                answer = polling.wait_for(lambda answer, wanted=document: answer.body == wanted)  # type: ignore[misc]
            tags.append(answer.headers["ETag"])
        assert tags[0] == tags[2] != tags[1]
        night.number = 2
        night.store.put(2)

    def test_changes_are_passed_on(self, night: Night) -> None:
        """Documents that follow each other are seen in their order, and nothing goes stale for it."""
        with night.watched() as polling:
            for _ in range(5):
                night.put_next()
                polling.wait_for(lambda _: True, count=2)
        assert polling.states == ["live"]

    def test_pulls_are_not_logged(self, night: Night) -> None:
        """Ten good ones leave nothing in the log, and those that fail a line for each change of the state."""
        mark, good = night.livefeed.mark(), night.good_pulls()
        with Polling(night.livefeed, pause_s=0.02) as polling:
            polling.wait_for(lambda _: night.good_pulls() >= good + 10)
            assert night.changes_logged(mark) == []
            failed = night.failed_pulls()
            night.store.remove()
            polling.wait_for(lambda _: night.failed_pulls() >= failed + 5)
            night.put_next()
            polling.wait_for(lambda answer: answer.state == "live")
        # Its line of the log may be read after the answer.
        night.livefeed.wait_for_log('feed "feed" is live: ', start=mark)
        stale, live = night.changes_logged(mark)
        assert 'feed "feed" is stale: ' in stale
        assert 'feed "feed" is live: ' in live

    def test_hanging(self, night: Night) -> None:
        """A store that hangs is not waited for for long, and is followed again when it goes on."""
        night.survives(night.store.pause, night.store.resume, night.store.says_hanging)

    def test_killed_and_restarted(self, night: Night) -> None:
        """A store that has died is followed again when it is back."""
        night.survives(night.store.kill, night.store.start, night.store.says_dead)

    def test_missing(self, night: Night) -> None:
        """A document that is taken away takes nothing away."""
        night.survives(night.store.remove, lambda: None, night.store.says_missing)


@pytest.mark.parametrize("night", CAN_BE_LARGE, indirect=True)
def test_large(night: Night) -> None:
    """10 MB in the place of the document are refused, and cost no memory."""
    night.survives(night.store.put_large, night.store.remove, "--max-bytes")


@pytest.mark.parametrize("night", WITH_PASSWORD, indirect=True)
def test_refused_password(night: Night) -> None:
    """A password that is refused is tried again at each tick."""
    night.survives(night.store.lock_out, night.store.let_in, "WRONGPASS|password|lost")


@pytest.mark.parametrize("night", WITH_MIDDLE, indirect=True)
class TestMiddle:
    """Stores that something stands in front of."""

    def test_garbage(self, night: Night) -> None:
        """A store that answers with other bytes than its protocol never becomes a document."""
        assert night.middle is not None
        for garbage in (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\n[]", b"\x00" * 100):
            night.survives(lambda garbage=garbage: night.middle.answer(garbage), night.middle.mend, ".")  # type: ignore[misc]

    def test_flood(self, night: Night) -> None:
        """An answer without end is cut off, and costs no memory."""
        assert night.middle is not None
        flood = night.store.flood + b"x" * FLOOD_BYTES
        night.survives(lambda: night.middle.answer(flood), night.middle.mend, ".")  # type: ignore[union-attr]

    def test_slow(self, night: Night) -> None:
        """An answer that comes byte by byte is not waited for."""
        assert night.middle is not None
        night.survives(lambda: night.middle.slow_down(0.1), night.middle.mend, ".")  # type: ignore[union-attr]
