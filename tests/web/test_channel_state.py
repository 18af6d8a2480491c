"""The state of a channel."""

from __future__ import annotations

from tests.helpers.channels import GET, ChannelTestCase


class IdleTests(ChannelTestCase):
    def assert_idle_after(self, data: bytes, expected: bool) -> None:
        """The client sends bytes, and the channel is idle afterwards or not."""
        self.channel.dataReceived(data)
        self.assertEqual((data, self.channel._is_idle()), (data, expected))

    def test_requests(self) -> None:
        """A channel is idle before a request and after its answer, and not once anything of the next has come."""
        for data, expected in ((b"", True), (GET, True), (GET[:10], False), (GET[10:], True), (b"\r\n", False)):
            self.assert_idle_after(data, expected)
        self.assert_idle_after(GET, True)
        self.assert_idle_after(b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n", False)

    def test_slow_reader(self) -> None:
        """Nor is it idle while the client does not read its answers."""
        self.channel.pauseProducing()
        self.assert_idle_after(b"", False)
        self.channel.resumeProducing()
        self.assert_idle_after(b"", True)
