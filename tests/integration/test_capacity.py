"""How many connections a livefeed holds, as it is started."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.integration.harness import TCP, TWISTD, WORKERS

if TYPE_CHECKING:
    from tests.integration.conftest import Start

pytestmark = pytest.mark.processes

GET = b"GET /feed HTTP/1.1\r\nHost: localhost\r\n\r\n"
SOFT_LIMIT = 300
"""Open files: of these, 44 would be for connections."""


def test_limit_of_files_is_raised_before_connections_are_counted(start: Start) -> None:
    """Where the soft limit is low, as it usually is, the hard one decides how many there may be."""
    command = ("sh", "-c", f'ulimit -S -n {SOFT_LIMIT} && exec "$@"', "sh", *TWISTD)
    server = start(listen=(TCP,), command=command)
    with ExitStack() as stack:
        wires = [stack.enter_context(server.wire()) for _ in range(SOFT_LIMIT + 10)]
        for wire in wires:
            wire.send(GET)
        assert {wire.response().status for wire in wires} == {200}


def test_connections_are_capped(start: Start) -> None:
    """A connection above the limit is told to come back; when another one closes, there is room again.

    Each worker has its part of the limit.
    """
    server = start("--max-connections", str(3 * max(WORKERS, 1)), "--push", "change", listen=(TCP,))
    with server.wires_of_one(4) as wires:
        for _ in range(2):
            for wire in wires[:3]:
                wire.send(GET)
                assert wire.response().status == 200
        wires[3].send(GET)
        response = wires[3].response()
        assert (response.status, response.headers["Retry-After"]) == (503, "5")
        assert wires[3].rest() == b""
        wires[0].close()
        wires[3].close()
        statuses: list[int] = []
        # When the server notices that one has left is its own affair.
        while 200 not in statuses:
            assert len(statuses) < 100, statuses
            with server.wire() as late:
                late.send(GET)
                statuses.append(late.response().status)
