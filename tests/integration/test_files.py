"""Files that are written in all possible ways, as watchers see them."""

from __future__ import annotations

import os
import shutil
import signal
import time
from typing import TYPE_CHECKING

import pytest

from tests.integration.harness import WAIT_S, Polling, replace_file

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import Start
    from tests.integration.harness import Livefeed

pytestmark = pytest.mark.sources

LONG_TICK = ("--interval", "30")
"""The tick is so late that only the kernel can have told of a change within a test."""

LIVE, STALE = 'feed "feed" is live', 'feed "feed" is stale'


def numbered(number: int) -> bytes:
    return b'{"n": %d}' % number


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "document.json"
    replace_file(path, numbered(0))
    return path


def assert_follows(livefeed: Livefeed, write: object, *, versions: int = 20) -> None:
    """Fails unless each version that *write* writes is pushed before the next tick, and none that is older later."""
    assert callable(write)
    with livefeed.websocket() as subscriber:
        assert subscriber.recv(timeout=WAIT_S) == numbered(0).decode()
        for number in range(1, versions):
            write(numbered(number))
            assert subscriber.recv(timeout=WAIT_S) == numbered(number).decode()
    assert "is stale" not in livefeed.log()


class TestTold:
    """Changes that the kernel tells of are not waited for."""

    def test_replaced_by_rename(self, start: Start, path: Path) -> None:
        """A file that is replaced by rename, as writers should, is served at once."""
        livefeed = start("--source", f"file:{path}", *LONG_TICK)
        assert_follows(livefeed, lambda data: replace_file(path, data))

    def test_written_in_place(self, start: Start, path: Path) -> None:
        """A writer that truncates the file and writes it anew."""
        livefeed = start("--source", f"file:{path}", *LONG_TICK)
        assert_follows(livefeed, path.write_bytes)

    def test_config_map(self, start: Start, path: Path) -> None:
        """A link over a link that is replaced, with the directory that it leads to."""
        volume = path.parent

        def publish(data: bytes) -> None:
            new = volume / f"..{time.time_ns()}"
            new.mkdir()
            (new / "document.json").write_bytes(data)
            (volume / "..tmp").symlink_to(new.name)
            old = os.path.realpath(volume / "..data")
            (volume / "..tmp").replace(volume / "..data")
            if old != str(volume / "..data"):
                shutil.rmtree(old)

        publish(numbered(0))
        path.unlink()
        path.symlink_to("..data/document.json")
        livefeed = start("--source", f"file:{path}", *LONG_TICK)
        assert_follows(livefeed, publish)

    def test_appears(self, start: Start, path: Path) -> None:
        """A file that was missing is pulled when it is there."""
        path.unlink()
        livefeed = start("--source", f"file:{path}", *LONG_TICK, live=False)
        livefeed.wait_for_log(f"{STALE}.*cannot be read: No such file or directory")
        with livefeed.websocket() as subscriber:
            assert subscriber.ping().wait(5)
            path.write_bytes(numbered(0))
            assert subscriber.recv(timeout=WAIT_S) == numbered(0).decode()

    def test_queue_that_overflows(self, start: Start, path: Path) -> None:
        """A change is pulled although its event was lost in the kernel's queue."""
        livefeed = start("--source", f"file:{path}", *LONG_TICK)
        with livefeed.websocket() as subscriber:
            assert subscriber.recv(timeout=WAIT_S) == numbered(0).decode()
            livefeed.process.signal(signal.SIGSTOP)
            try:
                for number in range(9000):
                    (path.parent / f"other{number % 2}").write_bytes(b"x" * (1 + number % 3))
                replace_file(path, numbered(1))
            finally:
                livefeed.process.signal(signal.SIGCONT)
            assert subscriber.recv(timeout=WAIT_S) == numbered(1).decode()


class TestTick:
    """The tick sees changes of which the kernel does not tell."""

    def test_written_in_two_steps(self, start: Start, path: Path) -> None:
        """A writer that pauses for less than a pull may wait is never seen with half of its work."""
        livefeed = start("--source", f"file:{path}", "--interval", "0.05")
        with Polling(livefeed, pause_s=0.02) as polling:
            for number in range(1, 30):
                document = numbered(number)
                with path.open("wb", buffering=0) as file:
                    file.write(document[:4])
                    time.sleep(0.06)
                    file.write(document[4:])
                polling.wait_for(lambda answer, document=document: answer.body == document)  # type: ignore[misc]
        assert polling.failures == []
        numbers = [int(answer.body[6:-1]) for answer in polling.answers]
        assert numbers == sorted(numbers)
        assert polling.states == ["live"], livefeed.log()

    def test_directory_goes_and_comes(self, start: Start, path: Path) -> None:
        """It is told by the state, and the watch is taken up again."""
        livefeed = start("--source", f"file:{path}", "--interval", "0.2")
        for number, remove in enumerate(
            (lambda: shutil.rmtree(path.parent), lambda: path.parent.rename(path.parent.with_name("old"))), 1
        ):
            mark = livefeed.mark()
            remove()
            livefeed.wait_for_log(f"{STALE}.*No such file", start=mark)
            mark = livefeed.mark()
            path.parent.mkdir()
            replace_file(path, numbered(number))
            livefeed.wait_for_log(LIVE, start=mark)
            assert livefeed.http.get("/feed").content == numbered(number)

    def test_link_to_a_directory(self, start: Start, path: Path, tmp_path: Path) -> None:
        """A release that is switched by a link above the file."""
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            (tmp_path / name / "document.json").write_bytes(b'"%b"' % name.encode())
        current = tmp_path / "current"
        current.symlink_to("one")
        livefeed = start("--source", f"file:{current}/document.json", "--interval", "0.2")
        with livefeed.websocket() as subscriber:
            assert subscriber.recv(timeout=WAIT_S) == '"one"'
            (tmp_path / "new").symlink_to("two")
            (tmp_path / "new").replace(current)
            while subscriber.recv(timeout=WAIT_S) != '"two"':
                pass
