"""TLS sessions that clients resume, with real connections to several workers."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from tests.integration.harness import HOST

if TYPE_CHECKING:
    from tests.integration.conftest import Start

pytestmark = pytest.mark.chosen

CONNECTIONS = 16
"""Number of connections, which the kernel spreads over the workers by chance: all go to one of two in one of 30,000
runs."""


def test_sessions_are_resumed_on_every_worker(start: Start) -> None:
    """With a key of its own in each worker, half of the connections would do a full handshake."""
    livefeed = start("--workers", "2")
    for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
        context = livefeed.tls_context()
        context.maximum_version = version
        session: ssl.SSLSession | None = None
        resumed: list[bool | None] = []
        for _ in range(CONNECTIONS):
            plain = livefeed.tcp_socket()
            with context.wrap_socket(plain, server_hostname=HOST, session=session) as sock:
                sock.sendall(b"GET /feed HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                while sock.recv(65536):
                    pass
                resumed.append(sock.session_reused)
                session = sock.session
        assert resumed == [False] + [True] * (CONNECTIONS - 1), version
