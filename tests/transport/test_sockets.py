"""The address and the options of a socket, on real sockets of each family."""

from __future__ import annotations

import socket
import tempfile
from pathlib import Path

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from livefeed.transport.sockets import (
    NOTSENT_LOWAT_BYTES,
    StreamSocket,
    address_of,
    limit_unsent,
    reset_when_closed,
    send_to_all,
)


class StreamEnd(StreamSocket):
    """A stream that only has its socket."""

    __slots__ = ()

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock


class SocketTestCase(SynchronousTestCase):
    def make(self, family: int = socket.AF_INET) -> socket.socket:
        """Makes a socket that is closed after the test."""
        sock = socket.socket(family)
        self.addCleanup(sock.close)
        return sock

    def accepted(self, prepare: bool = False) -> socket.socket:
        """Gives the server's end of a connection over TCP.

        :param prepare: whether the listening socket limits unsent bytes.
        """
        listening, client = self.make(), self.make()
        listening.bind(("127.0.0.1", 0))
        if prepare:
            limit_unsent(listening)
        listening.listen()
        client.connect(listening.getsockname())
        sock, _ = listening.accept()
        self.addCleanup(sock.close)
        return sock


class LimitUnsentTests(SocketTestCase):
    """limit_unsent."""

    def test_accepted_connections_have_the_limit(self) -> None:
        """It is set once, on the listening socket."""
        limits = [
            self.accepted(prepare).getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) for prepare in (True, False)
        ]
        self.assertEqual(limits[0], NOTSENT_LOWAT_BYTES)
        self.assertNotEqual(limits[1], NOTSENT_LOWAT_BYTES)

    def test_unix_socket(self) -> None:
        """It has no such option, which is no error."""
        sock = self.make(socket.AF_UNIX)
        limit_unsent(sock)
        self.assertRaises(OSError, sock.getsockopt, socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)

    def test_system_without_the_option(self) -> None:
        """Nothing is set."""
        sock = self.make()
        option = socket.TCP_NOTSENT_LOWAT
        before = sock.getsockopt(socket.IPPROTO_TCP, option)
        self.patch(socket, "TCP_NOTSENT_LOWAT", None)
        del socket.TCP_NOTSENT_LOWAT
        limit_unsent(sock)
        self.assertEqual(sock.getsockopt(socket.IPPROTO_TCP, option), before)


class ResetTests(SocketTestCase):
    """reset_when_closed."""

    def test_other_end_is_told_of_a_reset(self) -> None:
        """Without it the other end reads an end in order."""
        listening = self.make()
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        found: list[bytes | None] = []
        for prepare in (lambda sock: None, reset_when_closed):
            client = self.make()
            client.connect(listening.getsockname())
            sock, _ = listening.accept()
            prepare(sock)
            sock.close()
            try:
                found.append(client.recv(1))
            except ConnectionResetError:
                found.append(None)
        self.assertEqual(found, [b"", None])

    def test_socket_that_is_gone(self) -> None:
        """There is nothing to be set, which is no error."""
        sock = self.make()
        sock.close()
        reset_when_closed(sock)
        self.assertEqual(sock.fileno(), -1)


class OptionTests(SocketTestCase):
    """The options of a StreamSocket."""

    def options(self, sock: socket.socket) -> tuple[bool, bool]:
        """Gives what the kernel says of TCP_NODELAY and SO_KEEPALIVE."""
        levels = ((socket.IPPROTO_TCP, socket.TCP_NODELAY), (socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        no_delay, keep_alive = (bool(sock.getsockopt(*level)) for level in levels)
        return no_delay, keep_alive

    def test_keep_alive(self) -> None:
        """It is set and read on the socket."""
        stream = StreamEnd(self.accepted())
        for enabled in (True, False):
            stream.setTcpKeepAlive(enabled)
            self.assertEqual(stream.getTcpKeepAlive(), enabled)
            self.assertEqual(self.options(stream.sock), (False, enabled))

    def test_no_delay(self) -> None:
        """It is read on the socket and can be turned off. It is on from the start, so turning it on does nothing."""
        stream = StreamEnd(self.accepted())
        stream.setTcpNoDelay(True)
        self.assertEqual((stream.getTcpNoDelay(), self.options(stream.sock)), (False, (False, False)))
        stream.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.assertTrue(stream.getTcpNoDelay())
        stream.setTcpNoDelay(False)
        self.assertEqual((stream.getTcpNoDelay(), self.options(stream.sock)), (False, (False, False)))

    def test_unix_socket(self) -> None:
        """It has no options of TCP: setting one does nothing."""
        stream = StreamEnd(self.make(socket.AF_UNIX))
        for enabled in (True, False):
            stream.setTcpNoDelay(enabled)
            stream.setTcpKeepAlive(enabled)
            self.assertFalse(stream.getTcpKeepAlive())

    def test_after_the_end(self) -> None:
        """All options are off, and setting one does nothing."""
        stream = StreamEnd(self.accepted())
        stream.setTcpKeepAlive(True)
        stream.sock.close()
        for enabled in (True, False):
            stream.setTcpNoDelay(enabled)
            stream.setTcpKeepAlive(enabled)
            self.assertEqual((stream.getTcpNoDelay(), stream.getTcpKeepAlive()), (False, False))


class AddressTests(SocketTestCase):
    """StreamSocket.getHost and address_of."""

    def test_tcp(self) -> None:
        """The server's address, with its port."""
        sock = self.accepted()
        self.assertEqual(StreamEnd(sock).getHost(), IPv4Address("TCP", "127.0.0.1", sock.getsockname()[1]))

    def test_unix(self) -> None:
        """The path; the address of a socket without one is empty."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = str(Path(directory.name) / "s")
        sock = self.make(socket.AF_UNIX)
        self.assertEqual(StreamEnd(sock).getHost(), UNIXAddress(""))
        sock.bind(path)
        self.assertEqual(StreamEnd(sock).getHost(), UNIXAddress(path))

    def test_after_the_end(self) -> None:
        """There is no address any more: the port is 0."""
        for family, address in ((socket.AF_INET, IPv4Address("TCP", "", 0)), (socket.AF_UNIX, UNIXAddress(""))):
            sock = self.make(family)
            sock.close()
            self.assertEqual(StreamEnd(sock).getHost(), address)

    def test_names_of_each_family(self) -> None:
        """The names of IPv6 have two more parts; those of Linux's abstract sockets are bytes; some have none."""
        for family, name, address in (
            (socket.AF_INET, ("192.0.2.1", 443), IPv4Address("TCP", "192.0.2.1", 443)),
            (socket.AF_INET6, ("::1", 443, 7, 9), IPv6Address("TCP", "::1", 443)),
            (socket.AF_UNIX, "/run/s", UNIXAddress("/run/s")),
            (socket.AF_UNIX, b"\0abstract", UNIXAddress(b"\0abstract")),
            (socket.AF_UNIX, None, UNIXAddress("")),
        ):
            self.assertEqual(address_of(family, name), address)


class SendToAllTests(SocketTestCase):
    """send_to_all."""

    def test_counts(self) -> None:
        """Each socket has its own: all bytes, a part, or none if it is full or closed."""
        socks, ends = [], []
        for _ in range(4):
            sock, end = socket.socketpair()
            self.addCleanup(sock.close)
            self.addCleanup(end.close)
            sock.setblocking(False)
            socks.append(sock)
            ends.append(end)
        free, full, closed, last = socks
        size = 10_000_000
        self.assertEqual(send_to_all([free, last], b"once", 4), [4, 4])
        (part,) = send_to_all([full], b"x" * size, size)
        self.assertTrue(0 < part < size, part)
        closed.close()
        self.assertEqual(send_to_all(socks, b"again", 5), [5, 0, 0, 5])
        self.assertEqual([ends[0].recv(100), ends[3].recv(100)], [b"onceagain"] * 2)
        self.assertEqual(send_to_all([], b"x", 1), [])
