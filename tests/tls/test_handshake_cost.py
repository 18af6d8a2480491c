"""The cost of a handshake is that of the server's side alone, and measuring it ends in time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from twisted.trial.unittest import SynchronousTestCase

from livefeed.tls.handshake_cost import HANDSHAKES, MEASURE_S, UNKNOWN_COST_S, measure_handshake
from livefeed.tls.options import make_options
from tests.helpers.tls import self_signed

if TYPE_CHECKING:
    from OpenSSL import SSL


class Timer:
    """A timer that goes on by a step each time that it is read."""

    def __init__(self, step_s: float) -> None:
        self.now = 0.0
        self.step_s = step_s
        self.reads = 0

    def __call__(self) -> float:
        self.reads += 1
        self.now += self.step_s
        return self.now


def context_of(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> SSL.Context:
    return make_options([self_signed(key, "localhost", days=1)], key).getContext()


class MeasureTests(SynchronousTestCase):
    def test_keys_differ(self) -> None:
        """RSA of 4096 bits takes many times as long as P-256."""
        short = measure_handshake(context_of(ec.generate_private_key(ec.SECP256R1())))
        long = measure_handshake(context_of(rsa.generate_private_key(65537, 4096)))
        self.assertTrue(0 < 2 * short < long, (short, long))

    def test_steps_of_the_server_count(self) -> None:
        """A handshake of TLS 1.3 has two: the answer to ClientHello, and the client's Finished."""
        timer = Timer(0.25)
        cost = measure_handshake(context_of(ec.generate_private_key(ec.SECP256R1())), timer, lambda: 0.0)
        self.assertEqual((cost, timer.reads), (0.5, 4 * HANDSHAKES))

    def test_it_ends_in_time(self) -> None:
        """However slow the machine is, one handshake is measured, and no more after the limit of time."""
        timer = Timer(1.0)
        measure_handshake(context_of(ec.generate_private_key(ec.SECP256R1())), timer, Timer(MEASURE_S + 0.1))
        self.assertEqual(timer.reads, 4)

    def test_handshakes_that_fail(self) -> None:
        """A context without a certificate has a cost all the same."""
        self.assertEqual(measure_handshake(make_options([], None).getContext()), UNKNOWN_COST_S)
