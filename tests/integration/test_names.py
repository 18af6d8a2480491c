"""Name servers that do not answer, and names that only some resolvers take."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.harness import HOST, TCP, TWISTD, Polling, Redis
from tests.integration.origin_store import WilfulOrigin, answer_of
from tests.integration.stores.redis import StringStore

if TYPE_CHECKING:
    from tests.integration.conftest import Start

pytestmark = pytest.mark.sources

SILENT = 12
"""More feeds than the reactor has threads."""

# Python runs this at its start: *.silent is a name whose name server never answers, all other names are this machine's.
RESOLVER = f"""
import socket, time

def getaddrinfo(host, port, *args, _system=socket.getaddrinfo, **options):
    if host.endswith(".silent"):
        time.sleep(3600)
    return _system("{HOST}" if host.endswith((".test", "_redis")) else host, port, *args, **options)

socket.getaddrinfo = getaddrinfo
"""

OTHER_HOST = "127.0.0.2"

# The address of *.moving stands in a file. It is resolved again soon, since a test must be short.
MOVING = """
import pathlib, socket
import livefeed.sources.names

def getaddrinfo(host, port, *args, _system=socket.getaddrinfo, **options):
    if host.endswith(".moving"):
        host = pathlib.Path({place!r}).read_text()
    return _system(host, port, *args, **options)

livefeed.sources.names.MAX_AGE_S = 0.5
socket.getaddrinfo = getaddrinfo
"""


def with_resolver(directory: Path, resolver: str = RESOLVER) -> tuple[str, ...]:
    """Gives the command of a livefeed in whose process names are resolved so."""
    folder = directory / "resolver"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(resolver)
    return "env", f"PYTHONPATH={folder}", *TWISTD


def test_silent_name_servers(start: Start, tmp_path: Path) -> None:
    """Feeds whose names are not resolved hurt no other, take a thread each, and do not delay the end."""
    hosts = [f"https://a{number}.silent/" for number in range(SILENT - 2)]
    hosts += ["redis://b.silent/0/key", "redis+sentinel://c.silent,d.silent/main/0/key"]
    with WilfulOrigin(lambda asked: answer_of(b"%d" % asked.number)) as origin:
        feeds = [f'[feeds.silent-{number}]\nsource = "{host}"\n' for number, host in enumerate(hosts)]
        feeds.append(f'[feeds.good]\nsource = "http://r3---sn_.test:{origin.port}/"\n')
        (tmp_path / "livefeed.toml").write_text("interval = 0.2\n" + "".join(feeds))
        livefeed = start("--config", "livefeed.toml", listen=(TCP,), command=with_resolver(tmp_path), live=False)
        for number in range(SILENT):
            livefeed.wait_for_log(f'feed "silent-{number}" is stale')
        livefeed.wait_for_log('feed "good" is live')
        origin.wait_for(len(origin.asked) + 20)
        assert 'feed "good" is stale' not in livefeed.log()
        status = Path(f"/proc/{livefeed.pid}/status").read_text()
        threads = re.search(r"Threads:\s+([0-9]+)", status)
        assert threads is not None
        assert int(threads[1]) <= SILENT + 3
        assert livefeed.terminate() == 0


def test_name_with_an_underscore(start: Start, tmp_path: Path) -> None:
    """The names that container engines give are names like any other."""
    with StringStore(tmp_path) as store:
        store.start()
        store.put(1)
        source = f"redis://stack_redis:{store.port}/0/results?announce=results"
        livefeed = start("--source", source, listen=(TCP,), command=with_resolver(tmp_path))
        livefeed.wait_for_log("changes are announced by stack_redis")


def test_redis_that_moves(start: Start, tmp_path: Path) -> None:
    """A name that leads to another server is followed once that one answers, though the old one still does."""
    place = tmp_path / "place"
    place.write_text(HOST)
    with StringStore(tmp_path) as old:
        old.start()
        old.put(1)
        new = Redis(tmp_path, host=OTHER_HOST)
        new.port = old.port
        source = f"redis://redis.moving:{old.port}/0/results"
        resolver = MOVING.format(place=str(place))
        livefeed = start(
            "--source", source, "--interval", "0.1", listen=(TCP,), command=with_resolver(tmp_path, resolver)
        )
        with Polling(livefeed, pause_s=0.02) as polling:
            polling.wait_for(lambda answer: answer.body == old.document(1))
            place.write_text(OTHER_HOST)
            livefeed.wait_for_log("redis.moving:[0-9]+ leads elsewhere, where cannot connect: .* connection is kept")
            old.put(2)
            polling.wait_for(lambda answer: answer.body == old.document(2))
            with new:
                new.command("SET", "results", old.document(3))
                polling.wait_for(lambda answer: answer.body == old.document(3))
                assert polling.states == ["live"]
            assert "leads elsewhere, and is followed" in livefeed.log()
        assert polling.failures == []
