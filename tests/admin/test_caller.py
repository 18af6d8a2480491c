"""The name of the operator behind a request."""

from __future__ import annotations

import os
import pwd
import socket
from types import SimpleNamespace
from typing import Any

from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from livefeed.admin import caller
from livefeed.admin.caller import caller_of, user_of


class CallerTests(SynchronousTestCase):
    """Users of the Unix socket, and bearers of a token."""

    def setUp(self) -> None:
        self.pair = socket.socketpair()
        for each in self.pair:
            self.addCleanup(each.close)

    def request(self, peer: Any) -> Any:
        transport = SimpleNamespace(getHandle=lambda: self.pair[0])
        return SimpleNamespace(getClientAddress=lambda: peer, channel=SimpleNamespace(transport=transport))

    def test_token(self) -> None:
        """It says nothing about its bearer, but the connection has an address."""
        self.assertEqual(caller_of(self.request(IPv4Address("TCP", "192.0.2.7", 1))), "token@192.0.2.7")

    def test_user(self) -> None:
        """The kernel names the user."""
        name = pwd.getpwuid(os.geteuid()).pw_name
        self.assertEqual(caller_of(self.request(UNIXAddress(None))), name)

    def test_user_without_a_name(self) -> None:
        """In a container, say, users have numbers alone."""

        def nobody(_: int) -> None:
            raise KeyError

        self.patch(caller, "pwd", SimpleNamespace(getpwuid=nobody))
        self.assertEqual(user_of(self.pair[0]), f"uid {os.geteuid()}")

    def test_other_systems(self) -> None:
        """A system that does not tell the user does not prevent the command."""
        self.pair[0].close()
        self.assertEqual(user_of(self.pair[0]), "a user of the operator's socket")
