"""Ports of reactors that do not run."""

from __future__ import annotations

from typing import Any


def close_port(reactor: Any, port: Any) -> None:
    """Closes the port and the descriptors of a reactor that does not run."""
    port.connectionLost(None)
    reactor.removeAll()
    for sock in (reactor.waker.i, reactor.waker.o) if hasattr(reactor.waker, "i") else ():
        if not isinstance(sock, int):
            sock.close()
