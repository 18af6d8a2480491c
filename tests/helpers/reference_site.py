"""A site that leaves to twisted.web all that twisted.web can do: the reference of the differential tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.web.http_headers import Headers

from livefeed.web.channel import Channel
from livefeed.web.prepared import NothingPrepared
from livefeed.web.request import Request

if TYPE_CHECKING:
    from livefeed.web.site import Site


class ReferenceChannel(Channel):
    """A channel whose heads twisted.web reads, line by line."""

    reads_whole_heads = False


class ReferenceRequest(Request):
    """A request whose answer twisted.web writes."""

    def reply(self, status: int, head: bytes, body: bytes = b"") -> None:
        """Request API."""
        first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
        self.setResponseCode(status, first.split(b" ", 2)[2])
        self.responseHeaders = Headers()
        for line in lines:
            name, _, value = line.partition(b": ")
            self.responseHeaders.setRawHeaders(name, [value])
        self.write(body)
        self.finish()


def refer_to_twisted(site: Site) -> None:
    """Makes a site the reference, before it listens."""
    site.protocol = ReferenceChannel
    site.requestFactory = ReferenceRequest
    site.make_prepared = NothingPrepared
