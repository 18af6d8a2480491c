"""Real files and a real Redis as sources. Rules for every store are in ``test_every_source``."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tests.integration.harness import WAIT_S, Livefeed, Polling, Redis, replace_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.integration.conftest import Start

pytestmark = pytest.mark.sources

DOCUMENT = b'\t{"a": 1.50,  "b": 12345678901234567890 ,\r\n "c":"\xc3\xbc\\u00fc"}  \n'
NOT_DOCUMENTS = (
    b"",
    b" \n",
    b"{",
    b"not JSON",
    b"NaN",
    b'{"a": 1, "a": 2}',
    b'"\xff"',
    b"\xef\xbb\xbf[]",
    b"[1] [2]",
    b"[" * 900,
)
FAST = ("--interval", "0.1")
LIVE = 'feed "feed" is live'
STALE = 'feed "feed" is (?:still )?stale'


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A server that nothing happens to; each test has keys of its own."""
    with Redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


def assert_served(livefeed: Livefeed, document: bytes, state: str) -> None:
    response = livefeed.http.get("/feed")
    assert response.status_code == 200
    assert response.headers["Livefeed-State"] == state
    assert response.content == document


def assert_goes_stale_and_back(
    livefeed: Livefeed, good: bytes, spoil: Callable[[], object], mend: Callable[[], object], better: bytes
) -> None:
    """Fails unless *good* is served on while the document is spoilt, and *better* once it is mended."""
    assert_served(livefeed, good, "live")
    start = livefeed.mark()
    spoil()
    livefeed.wait_for_log(STALE, start=start)
    assert_served(livefeed, good, "stale")
    with livefeed.websocket() as subscriber:
        assert subscriber.recv(timeout=WAIT_S) == good.decode()
        start = livefeed.mark()
        mend()
        livefeed.wait_for_log(LIVE, start=start)
        assert subscriber.recv(timeout=WAIT_S) == better.decode()
    assert_served(livefeed, better, "live")
    assert livefeed.log().count("is stale") == 1


class TestFile:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        path = tmp_path / "document.json"
        replace_file(path, DOCUMENT)
        return path

    @pytest.fixture
    def livefeed(self, start: Start, path: Path) -> Livefeed:
        return start("--source", f"file:{path}", "--max-bytes", "1000", *FAST)

    def test_replaced_by_rename_is_served(self, livefeed: Livefeed, path: Path) -> None:
        """A file that is put in the place of another is at all watchers, byte for byte."""
        with livefeed.websocket() as subscriber:
            for document in (DOCUMENT, b"[1.0]\n", b" 2 ", DOCUMENT):
                replace_file(path, document)
                while subscriber.recv(timeout=WAIT_S) != document.decode():
                    pass
                assert_served(livefeed, document, "live")
        assert "is stale" not in livefeed.log()

    def test_half_written_is_not_served(self, livefeed: Livefeed, path: Path) -> None:
        """While a file is half written, the last whole version is served; then the new one."""
        whole = b'{"half": 1, "whole": 2}'

        with path.open("r+b", buffering=0) as file:

            def begin() -> None:
                file.truncate(0)
                file.write(whole[:10])

            assert_goes_stale_and_back(livefeed, DOCUMENT, begin, lambda: file.write(whole[10:]), whole)

    def test_removed_and_restored(self, livefeed: Livefeed, path: Path) -> None:
        """A file that is gone takes nothing away, and is followed again when it is back."""

        assert_goes_stale_and_back(livefeed, DOCUMENT, path.unlink, lambda: replace_file(path, b"[3]"), b"[3]")
        assert "No such file" in livefeed.log()

    def test_too_large_is_not_served(self, livefeed: Livefeed, path: Path) -> None:
        """A document of --max-bytes is served, one with one byte more is refused."""
        largest = b'"' + b"x" * 998 + b'"'

        assert_goes_stale_and_back(
            livefeed,
            DOCUMENT,
            lambda: replace_file(path, largest + b" "),
            lambda: replace_file(path, largest),
            largest,
        )
        assert "--max-bytes" in livefeed.log()

    def test_what_is_not_json_is_not_served(self, livefeed: Livefeed, path: Path) -> None:
        """The good document stays in place of any document that the gate refuses."""
        good = DOCUMENT
        for number, refused in enumerate(NOT_DOCUMENTS):
            mark = livefeed.mark()
            replace_file(path, refused)
            livefeed.wait_for_log(STALE, start=mark)
            assert_served(livefeed, good, "stale")
            mark, good = livefeed.mark(), b"[%d]" % number
            replace_file(path, good)
            livefeed.wait_for_log(LIVE, start=mark)
            assert_served(livefeed, good, "live")

    def test_a_directory_in_its_place_is_not_read(self, livefeed: Livefeed, path: Path) -> None:
        """The log says that a source is not a file."""

        def put_directory() -> None:
            path.unlink()
            path.mkdir()

        def put_file() -> None:
            path.rmdir()
            replace_file(path, b"[5]")

        assert_goes_stale_and_back(livefeed, DOCUMENT, put_directory, put_file, b"[5]")

    def test_subscribers_before_the_first_document_get_it_when_it_is_there(self, start: Start, tmp_path: Path) -> None:
        """A client that subscribes before the first version gets that version at once when it comes."""
        path = tmp_path / "a%20late?file.json"
        livefeed = start("--source", f"file:{tmp_path}/a%2520late%3Ffile.json", *FAST, live=False)
        livefeed.wait_for_log(STALE)
        with livefeed.websocket() as subscriber:
            assert subscriber.ping().wait(5)
            replace_file(path, DOCUMENT)
            assert subscriber.recv(timeout=WAIT_S) == DOCUMENT.decode()


class TestRedis:
    def test_a_set_reaches_watchers(self, redis: Redis, start: Start) -> None:
        """A SET is at a subscriber and at a poller, byte for byte, with the default interval."""
        redis.command("SET", "results", b"[0]")
        livefeed = start("--source", redis.url("results"))
        arrived: set[str] = set()
        changed = threading.Condition()

        def receive() -> None:
            for message in subscriber:
                assert isinstance(message, str)
                with changed:
                    arrived.add(message)
                    changed.notify_all()

        with livefeed.websocket() as subscriber, Polling(livefeed, pause_s=0.02) as polling:
            thread = threading.Thread(target=receive, daemon=True)
            thread.start()
            polling.wait_for(lambda answer: answer.body == b"[0]")
            for document in (DOCUMENT, b"1.50", b"12345678901234567890", b' {"odd" :\t[ ] }\n'):
                redis.command("SET", "results", document)
                polling.wait_for(lambda answer, wanted=document: answer.body == wanted)  # type: ignore[misc]
                text = document.decode()
                with changed:
                    assert changed.wait_for(lambda text=text: text in arrived, WAIT_S)  # type: ignore[misc]
        thread.join(5)
        assert not thread.is_alive()
        assert polling.failures == []

    def test_keys_are_percent_encoded(self, redis: Redis, start: Start) -> None:
        """A key of any characters, in another database, can be followed."""
        key = "results/2026 ü?#%:@"
        encoded = "results/2026%20%C3%BC%3F%23%25:@"
        redis.command("SET", key, DOCUMENT)
        livefeed = start("--source", redis.url(encoded), *FAST)
        assert_served(livefeed, DOCUMENT, "live")

    def test_a_value_that_is_not_json_is_not_served(self, redis: Redis, start: Start) -> None:
        """The good document stays in place of any value that the gate refuses."""
        redis.command("SET", "refused", DOCUMENT)
        livefeed = start("--source", redis.url("refused"), "--max-bytes", "1000", *FAST)
        good = DOCUMENT
        for number, refused in enumerate([*NOT_DOCUMENTS, b"x" * 1001, b"x" * 50_000]):
            mark = livefeed.mark()
            redis.command("SET", "refused", refused)
            livefeed.wait_for_log(STALE, start=mark)
            assert_served(livefeed, good, "stale")
            mark, good = livefeed.mark(), b"[%d]" % number
            redis.command("SET", "refused", good)
            livefeed.wait_for_log(LIVE, start=mark)
            assert_served(livefeed, good, "live")

    def test_a_key_of_another_type_is_not_served(self, redis: Redis, start: Start) -> None:
        """A list in place of a string removes nothing; the log has the error of Redis."""
        redis.command("SET", "typed", DOCUMENT)
        livefeed = start("--source", redis.url("typed"), *FAST)

        def put_list() -> None:
            # Renamed over the key, so that it is never seen missing.
            redis.command("RPUSH", "list", "[1]")
            redis.command("RENAME", "list", "typed")

        assert_goes_stale_and_back(livefeed, DOCUMENT, put_list, lambda: redis.command("SET", "typed", b"[8]"), b"[8]")
        assert "WRONGTYPE" in livefeed.log()

    def test_a_large_document_is_served_whole(self, redis: Redis, start: Start) -> None:
        """A document of exactly --max-bytes is served, one byte more is refused."""
        largest = b'"' + b"x" * (1024 * 1024 - 2) + b'"'
        redis.command("SET", "large", largest)
        livefeed = start("--source", redis.url("large"), *FAST)
        assert_served(livefeed, largest, "live")
        start_of_log = livefeed.mark()
        redis.command("SET", "large", largest + b" ")
        livefeed.wait_for_log(STALE, start=start_of_log)
        assert_served(livefeed, largest, "stale")

    @pytest.mark.parametrize("user", ["", "watcher"])
    def test_a_wrong_password_is_tried_again_and_never_logged(self, tmp_path: Path, start: Start, user: str) -> None:
        """With a wrong password the feed is stale; once the password is right it is live; no log line has it."""
        password = "hush%2Fhush"  # which stands for hush/hush
        with Redis(tmp_path, password="another") as redis:
            redis.command("SET", "results", DOCUMENT)
            if user:
                redis.command("ACL", "SETUSER", user, "on", ">another", "~results", "+getrange", "+select")
            source = redis.url("results", f"{user}:{password}@")
            livefeed = start("--source", source, *FAST, live=False)
            livefeed.wait_for_log(STALE)
            response = livefeed.http.get("/feed")
            assert response.status_code == 503
            assert response.headers["Livefeed-State"] == "stale"
            if user:
                redis.command("ACL", "SETUSER", user, ">hush/hush")
            else:
                redis.command("CONFIG", "SET", "requirepass", "hush/hush")
            livefeed.wait_for_log(LIVE)
            assert_served(livefeed, DOCUMENT, "live")
            assert "hush" not in livefeed.log()
            assert livefeed.log().count("is stale") == 1

    def test_a_password_that_is_missing_is_said_to_be(self, tmp_path: Path, start: Start) -> None:
        """If Redis requires a password and none is given, the log has the error of Redis."""
        with Redis(tmp_path, password="another") as redis:
            livefeed = start("--source", redis.url("results"), *FAST, live=False)
            livefeed.wait_for_log(STALE + ".*NOAUTH")

    def test_a_server_that_was_never_there_is_waited_for(self, tmp_path: Path, start: Start) -> None:
        """Livefeed starts without its Redis, and is live as soon as it is there."""
        with Redis(tmp_path) as redis:
            redis.kill()
            livefeed = start("--source", redis.url("results"), *FAST, live=False)
            livefeed.wait_for_log(STALE)
            redis.start()
            redis.command("SET", "results", DOCUMENT)
            livefeed.wait_for_log(LIVE)
            assert_served(livefeed, DOCUMENT, "live")
            assert livefeed.log().count("is stale") == 1

    def test_connections_that_are_cut_are_made_again(self, redis: Redis, start: Start) -> None:
        """A connection that Redis cuts is replaced, and nothing is left open."""
        redis.command("SET", "cut", DOCUMENT)
        livefeed = start("--source", redis.url("cut"), *FAST)
        for number in range(5):
            redis.command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            document = b"[%d]" % number
            redis.command("SET", "cut", document)
            with livefeed.websocket() as subscriber:
                while subscriber.recv(timeout=WAIT_S) != document.decode():
                    pass
        assert_served(livefeed, document, "live")
        clients = redis.command("CLIENT", "LIST", "TYPE", "normal").decode().splitlines()
        assert len([line for line in clients if "cmd=client" not in line]) <= 1
