"""The cost of a TLS handshake on this machine, measured with the context that serves.

It depends on the kind of the key and on the processor: 0.5 ms with a key of P-256, 1.4 ms with RSA of 2048 bits and
7 ms with RSA of 4096 bits, on a virtual machine of which nine in ten seconds were used by others.
"""

from __future__ import annotations

import time
from contextlib import suppress
from statistics import median
from typing import TYPE_CHECKING

from OpenSSL import SSL

if TYPE_CHECKING:
    from collections.abc import Callable

HANDSHAKES = 8
"""Handshakes that are measured: 15 ms with a key of P-256, at the start. The first two take longer than the others."""

MEASURE_S = 0.15
"""Seconds after which no further handshake is measured. Keys of 4096 bits get about ten."""

UNKNOWN_COST_S = 0.001
"""The cost in seconds of a handshake that cannot be measured, as with a folder that has no certificate yet."""

_FLIGHTS = 8
_BIO_BYTES = 65_536


def measure_handshake(
    context: SSL.Context, timer: Callable[[], float] = time.thread_time, wall: Callable[[], float] = time.monotonic
) -> float:
    """Gives the processor seconds that the server's side of a full handshake takes: the median of a few.

    :param context: of the server.
    :param timer: the processor time of this thread, in seconds. Other processes on a busy machine do not count.
    :param wall: limits the time of the measurement.
    :returns: :data:`UNKNOWN_COST_S` if no handshake succeeds.
    """
    client = SSL.Context(SSL.TLS_METHOD)
    end = wall() + MEASURE_S
    costs: list[float] = []
    for _ in range(HANDSHAKES):
        cost = _one_handshake(context, client, timer)
        if cost is None:
            break
        costs.append(cost)
        if wall() > end:
            break
    return median(costs) if costs else UNKNOWN_COST_S


def _one_handshake(context: SSL.Context, client: SSL.Context, timer: Callable[[], float]) -> float | None:
    """Gives the seconds of one handshake in memory; ``None`` if it fails."""
    ours, theirs = SSL.Connection(context, None), SSL.Connection(client, None)
    ours.set_accept_state()
    theirs.set_connect_state()
    spent = 0.0
    try:
        for _ in range(_FLIGHTS):
            their_end = _step(theirs)
            _pass(theirs, ours)
            begun = timer()
            our_end = _step(ours)
            spent += timer() - begun
            if their_end and our_end:
                return spent
            _pass(ours, theirs)
    except SSL.Error:
        pass
    return None


def _step(side: SSL.Connection) -> bool:
    """Takes one side as far as it comes. Returns whether its handshake is done."""
    try:
        side.do_handshake()
    except SSL.WantReadError:
        return False
    return True


def _pass(sender: SSL.Connection, receiver: SSL.Connection) -> None:
    """Passes on the bytes that one side has for the other."""
    with suppress(SSL.WantReadError):  # there are none
        while data := sender.bio_read(_BIO_BYTES):
            receiver.bio_write(data)
