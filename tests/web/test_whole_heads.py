"""Plain heads that arrive whole, read as twisted.web reads them line by line."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from livefeed.testing import make_site
from livefeed.web.channel import Channel
from livefeed.web.replay import KEYED
from livefeed.web.whole_heads import headers_of, read_whole_head, values_in
from tests.helpers.reference_site import ReferenceChannel

LINES = (
    b"Accept: text/html, Text/Event-Stream;q=0.5",
    b"accept-encoding:\tgzip, br;q=0.5 ",
    b'If-None-Match: "a", W/"b"',
    b"Origin: https://a.example",
    b"Connection: keep-alive, TE",
    b"Connection: x close",
    b"Prefer: wait=7",
    b"A-IM: json-patch",
    b"User-Agent: \xe4",
    b"X:",
    b"cookie: a=b",
    b"Cookie: c=d",
)


class Recording(Resource):
    """Writes down the requests."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Any] = []

    def render(self, request: Any) -> bytes:
        self.requests.append(
            (
                request.method,
                request.uri,
                request.path,
                request.args,
                request.clientproto,
                request.prepath,
                request.postpath,
                request.fields,
                [[*request.lines_of(name)] for name in (b"COOKIE", b"Host", b"X", b"y", b"Accept")],
                [*request.requestHeaders.getAllRawHeaders()],
                [[*request.lines_of(name)] for name in (b"Cookie", b"Host", b"X", b"Y", b"Accept")],
            )
        )
        return b""


class ReadTests(SynchronousTestCase):
    def seen(self, channel_class: type[Channel], head: bytes) -> list[Any]:
        """Sends a head to a channel, and gives the requests that arrive at a resource."""
        site = make_site().site
        resource = site.resource = Recording()
        site.protocol = channel_class
        channel: Any = site.buildProtocol(None)
        channel.makeConnection(StringTransport())
        channel.dataReceived(head)
        return resource.requests

    @given(
        st.lists(st.sampled_from(LINES), unique=True),
        st.sampled_from((b"GET", b"HEAD")),
        st.sampled_from((b"/feed", b"/a/%62/", b"/feed?a=b&&a=%63;d", b"/feed?" + b"x&" * 70, b"/" + b"a/" * 80)),
    )
    def test_same_request(self, lines: list[bytes], method: bytes, target: bytes) -> None:
        """A request has the same parts however its head was read."""
        head = b"\r\n".join((b"%s %s HTTP/1.1" % (method, target), b"Host: localhost", *lines, b"", b""))
        self.assertEqual(self.seen(Channel, head), self.seen(ReferenceChannel, head))
        self.assertEqual(len(self.seen(Channel, head)), 1)

    def test_what_is_read(self) -> None:
        """The method, the target with its query, and the fields without the white space around them."""
        head = b"GET /feed?x=y HTTP/1.1\r\nHost: a\r\nAccept-Encoding: \tgzip \r\n\r\n"
        read = read_whole_head(head)
        assert read is not None
        method, target, fields = read
        self.assertEqual((method, target), (b"GET", b"/feed?x=y"))
        self.assertEqual(fields.keyed, tuple(b"gzip" if name == b"accept-encoding" else None for name in KEYED))
        self.assertEqual(fields.codings, {"gzip": 1.0})

    def test_equal_fields_are_parsed_once(self) -> None:
        """Two heads with the same fields share the parsed value."""
        first, second = (
            read_whole_head(b"GET /%s HTTP/1.1\r\nHost: a\r\nAccept: x/y\r\n\r\n" % path) for path in (b"a", b"b")
        )
        assert first is not None
        assert second is not None
        self.assertIs(first[2], second[2])

    def test_everything_else_is_left_to_twisted(self) -> None:
        """Nothing is read of two heads, of a part of one, or of one that is not plain."""
        head = b"GET /feed HTTP/1.1\r\nHost: a\r\n\r\n"
        for data in (
            head * 2,
            head[:-1],
            b"\r\n" + head,
            head.replace(b"GET", b"POST"),
            head.replace(b"1.1", b"1.0"),
            head.replace(b"\r\n\r\n", b"\r\nIf-Match: *\r\n\r\n"),
            head.replace(b"\r\n\r\n", b"\r\nContent-Length: 0\r\n\r\n"),
        ):
            self.assertIsNone(read_whole_head(data), data)

    def test_fields(self) -> None:
        """Names are written as twisted.web writes them, and lines with the same name stay lines."""
        head = b"GET / HTTP/1.1\r\nHOST: a\r\ncookie: a=b\r\nCookie:c=d \r\n\r\n"
        self.assertEqual([*headers_of(head).getAllRawHeaders()], [(b"Host", [b"a"]), (b"Cookie", [b"a=b", b"c=d"])])
        self.assertEqual([*headers_of(b"").getAllRawHeaders()], [])

    def test_lines_of_one_name(self) -> None:
        """A name counts where a line begins alone, in any case, and not as the end of another name."""
        head = b"GET /?b:1 HTTP/1.1\r\nHost: a\r\nB:  2 \r\nA-B: 3\r\nb:b: 4\r\nB:\r\n\r\n"
        self.assertEqual(values_in(head, b"B"), [b"2", b"b: 4", b""])
        self.assertEqual(values_in(head, b"b-a"), [])
