"""Requests that livefeed refuses although twisted.web would accept them."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.web.resource import Resource

from tests.helpers.channels import DOCUMENT, GET, ChannelTestCase

if TYPE_CHECKING:
    from livefeed.testing import Response
    from livefeed.web.request import Request


class StrictnessTests(ChannelTestCase):
    def test_ordinary_request_is_answered_and_the_connection_kept(self) -> None:
        """Strictness is for the others."""
        for _ in range(3):
            response = self.receive(GET)
            self.assertEqual((response.status, response.body), (200, DOCUMENT))
        self.assertFalse(self.transport.ended)

    def test_host_is_required_once(self) -> None:
        """RFC 9112, 3.2."""
        self.assert_refused(400, b"GET /feed HTTP/1.1\r\n\r\n")
        self.assert_refused(400, b"GET /feed HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n")
        self.assert_refused(400, b"GET /feed HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n")

    def test_malformed_host_is_refused(self) -> None:
        """RFC 9112, 3.2: a Host that cannot be one is no better than none."""
        for host in (
            b"",
            b"a b",
            b"a/b",
            b"user@a",
            b"a:80:81",
            b"a:x",
            b"[::1",
            b"a,b c",
            b"\xc3\xa4",
            b"a?b",
            b"a#b",
        ):
            self.assert_refused(400, b"GET /feed HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")

    def test_all_kinds_of_host_are_accepted(self) -> None:
        """Names, addresses, with and without a port (RFC 3986, 3.2.2)."""
        for host in (
            b"a",
            b"a.example:8443",
            b"127.0.0.1",
            b"[::1]",
            b"[::1]:8443",
            b"xn--4ca.example",
            b"a_b",
            b"a:",
        ):
            self.connect()
            response = self.receive(b"GET /feed HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
            self.assertEqual((host, response.status), (host, 200))

    def test_versions_are_two(self) -> None:
        """An answer has the version of its request, HTTP/1.1 or 1.0; other versions are refused (RFC 9110, 6.2)."""
        for version in (b"HTTP/1.0", b"HTTP/1.1"):
            self.connect()
            self.channel.dataReceived(b"GET /feed " + version + b"\r\nHost: a\r\n\r\n")
            self.assertTrue(self.transport.value().startswith(version + b" 200 OK\r\n"))
        for version in (b"HTTP/0.9", b"HTTP/1.2", b"HTTP/2.0", b"http/1.1", b"HTTP/1.10", b"HTTPS/1.1"):
            self.assert_refused(400, b"GET /feed " + version + b"\r\nHost: a\r\n\r\n")
            self.assertTrue(self.transport.value().startswith(b"HTTP/1.1 400 "))

    def test_control_characters_are_refused(self) -> None:
        """Control characters are refused in the request line, names, values and folded lines (RFC 9110, 5.5)."""
        for code in (*range(0x09), 0x0A, 0x0B, 0x0C, 0x0D, *range(0x0E, 0x20), 0x7F):
            character = bytes([code])
            for template in (
                b"GET /fe%sed HTTP/1.1\r\nHost: localhost\r\n\r\n",
                b"GET /feed HTTP/1.1\r\nHost: localhost\r\nX-A%s: b\r\n\r\n",
                b"GET /feed HTTP/1.1\r\nX-A: b%sc\r\nHost: localhost\r\n\r\n",
            ):
                self.assert_refused(400, template % character)

    def test_client_that_speaks_tls(self) -> None:
        """It sends no end of a line, and would wait for ever: its first byte is refused, after others too."""
        hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
        for cut in (1, 3, len(hello)):
            self.assert_refused(400, hello[:cut])
        self.connect()
        self.assertEqual(self.receive(GET).status, 200)
        self.assertEqual(self.receive(hello).status, 400)
        self.assertTrue(self.transport.ended)

    def test_tab_and_text_beyond_ascii_are_let_through_in_values(self) -> None:
        """They are allowed there, if not recommended."""
        self.assertEqual(self.receive(GET[:-2] + b"X-A: b\tc\xe4\xff\r\n\r\n").status, 200)

    def test_target_that_is_none_is_refused(self) -> None:
        """RFC 9112, 3.2: it begins with a slash, is a URL, or is an asterisk."""
        for target in (b"feed", b"xfeed", b"?", b"*feed", b"ftp://a/feed", b"a:443"):
            self.assert_refused(400, b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")

    def test_absolute_target_has_a_host(self) -> None:
        """One that is empty or malformed is refused, and so is a name of a user (RFC 9110, 4.2)."""
        for authority in (b"", b":80", b"user@a", b"user:password@a", b"a b", b"[::1", b"a:b", b"a:123456", b"a,b@"):
            for path in (b"/feed", b"", b"?x"):
                self.assert_refused(400, b"GET http://" + authority + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
        for target in (b"http://a", b"HTTPS://a?x=/y", b"http://[::1]:8443/feed", b"http://a:/feed"):
            self.connect()
            response = self.receive(b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertEqual((target, response.status), (target, 200))

    def test_absolute_target_goes_before_host(self) -> None:
        """An absolute target overrides the Host field, which must still be present (RFC 9112, 3.2.2)."""
        hosts: list[bytes] = []

        class Asking(Resource):
            isLeaf = True

            def render(self, request: Request) -> bytes:
                hosts.extend(request.requestHeaders.getRawHeaders(b"Host", []))
                return b"x"

        self.site.resource.putChild(b"host", Asking())
        for target in (b"/host", b"http://b.example:8080/host", b"https://c.example/host?x=http://d/"):
            self.receive(b"GET " + target + b" HTTP/1.1\r\nHost: a.example\r\n\r\n")
        self.assertEqual(hosts, [b"a.example", b"b.example:8080", b"c.example"])
        self.assert_refused(400, b"GET http://b.example/host HTTP/1.1\r\n\r\n")

    def test_asterisk_is_for_options_alone(self) -> None:
        """RFC 9112, 3.2.4."""
        response = self.receive(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual((response.status, response.headers["server"]), (204, "livefeed"))
        response = self.receive(b"GET * HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual((response.status, response.headers["server"]), (400, "livefeed"))

    def test_folded_lines_are_refused(self) -> None:
        """RFC 9112, 5.2."""
        self.assert_refused(400, GET[:-2] + b"X-A: b\r\n c\r\n\r\n")
        self.assert_refused(400, GET[:-2] + b"X-A: b\r\n\tc\r\n\r\n")

    def test_long_names_are_refused(self) -> None:
        """The limit is needed because Twisted remembers ten thousand field names forever, however long they are."""
        self.assert_refused(431, GET[:-2] + b"X" * 129 + b": b\r\n\r\n")
        self.connect()
        self.assertEqual(self.receive(GET[:-2] + b"X" * 128 + b": b\r\n\r\n").status, 200)

    def test_target_beyond_ascii_is_refused(self) -> None:
        """RFC 3986 has nothing but ASCII."""
        for character in (b"\x80", b"\xa0", b"\xb0", b"\xc3\xa4"):
            self.assert_refused(400, b"GET /fe" + character + b"ed HTTP/1.1\r\nHost: localhost\r\n\r\n")

    def test_malformed_requests_are_refused_in_json(self) -> None:
        """Requests that twisted.web itself refuses are answered with 400 in the same JSON format as the others."""
        for head in (
            b"nonsense\r\n",
            b"GET /feed\r\n",
            b"GET  /feed HTTP/1.1\r\n",
            b"GET /feed HTTP/2.0\r\n",
            b"G@T /feed HTTP/1.1\r\n",
            b"GET /feed HTTP/1.1\r\nno colon\r\nHost: localhost\r\n\r\n",
            b"GET /feed HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
            b"GET /feed HTTP/1.1\r\nHost : localhost\r\n\r\n",
            b"GET /feed HTTP/1.1\r\n folded: first\r\nHost: localhost\r\n\r\n",
            b"GET /feed HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
            b"GET /feed HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            b"GET /feed HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"GET /feed HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n",
            b"GET /feed HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: identity\r\n\r\n",
        ):
            self.assert_refused(400, head)

    def test_large_heads_are_refused(self) -> None:
        """16 KiB in all, one long line or many short ones; 100 fields, Host among them (RFC 6585, 5)."""
        self.assert_refused(431, GET[:-2] + b"X-A: " + b"a" * 16_384 + b"\r\n\r\n")
        self.assert_refused(431, GET[:-2] + (b"X-A: " + b"a" * 1000 + b"\r\n") * 17 + b"\r\n")
        self.assert_refused(431, GET[:-2] + b"A: b\r\n" * 100 + b"\r\n")
        self.connect()
        self.assertEqual(self.receive(GET[:-2] + b"X-A: " + b"a" * 15_000 + b"\r\n\r\n").status, 200)
        self.assertEqual(self.receive(GET[:-2] + b"A: b\r\n" * 99 + b"\r\n").status, 200)

    def test_larger_heads_can_be_allowed(self) -> None:
        """A head may be as large as the setting, and no larger."""
        self.site.max_head_bytes = 20_000
        self.connect()
        self.assertEqual(self.receive(GET[:-2] + b"X-A: " + b"a" * 19_000 + b"\r\n\r\n").status, 200)
        self.assert_refused(431, GET[:-2] + b"X-A: " + b"a" * 20_000 + b"\r\n\r\n")

    def test_long_targets_are_refused(self) -> None:
        """A long target gets 414 (RFC 9112, 3), a long head without a target 431; a target of 8,000 bytes is served."""
        for data in (b"GET /" + b"a" * 20_000, GET + b"HEAD /" + b"a" * 16_384 + b" HTTP/1.1\r\nHost: a\r\n\r\n"):
            self.connect()
            self.channel.dataReceived(data)
            self.assertIn(b"HTTP/1.1 414 ", self.transport.value())
            self.assert_closing()
        self.assert_refused(431, b"G" * 20_000 + b" / HTTP/1.1\r\n")
        self.connect()
        self.assertEqual(self.receive(GET.replace(b"/feed", b"/feed?" + b"a" * 8000)).status, 200)

    def test_head_is_refused_without_content(self) -> None:
        """HEAD is refused without content (RFC 9110, 9.3.2), even if the request line is malformed."""
        for rest in (
            b"/feed HTTP/1.1\r\n\r\n",
            b"/feed HTTP/1.1\r\nHost: a\r\nX\x01: b\r\n",
            b"/feed HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n",
            b"/feed HTTP/1.1\r\nX: " + b"a" * 20_000,
            b"/feed HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
            b"http:///feed HTTP/1.1\r\nHost: a\r\n\r\n",
            b"/fe\x01ed HTTP/1.1\r\n",
            b" /feed HTTP/1.1\r\n",
            b"/" + b"x" * 20_000,
        ):
            self.connect()
            head = self.receive(GET.replace(b"GET", b"HEAD"))
            self.assertEqual((head.status, head.body), (200, b""))
            refused = self.receive(b"HEAD " + rest)
            self.assertIn(refused.status, (400, 414, 431))
            self.assertEqual((rest[:60], refused.body), (rest[:60], b""))
            self.connect()
            expected = self.receive(b"GET " + rest)
            self.assertEqual(without_date(refused), without_date(expected))
            self.assertEqual(refused.headers["content-length"], str(len(expected.body)))
        self.connect()
        self.receive(GET.replace(b"GET", b"HEAD"))
        self.assertNotEqual(self.receive(b"nonsense\r\n").body, b"")

    def test_expectations_are_ignored(self) -> None:
        """Unknown expectations are ignored, and so is every expectation of HTTP/1.0 (RFC 9110, 10.1.1 and 15.2)."""
        for line in (b"GET /feed HTTP/1.0", b"GET /feed HTTP/1.1"):
            for expectation in (b"100-continue", b"100-Continue, x", b"tea"):
                self.connect()
                response = self.receive(line + b"\r\nHost: a\r\nExpect: " + expectation + b"\r\n\r\n")
                self.assertEqual((line, expectation, response.status), (line, expectation, 200))
        self.connect()
        head = b"POST /feed HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
        self.assertEqual(self.receive(head).status, 405)

    def test_transfer_encoding_ends_with_chunked(self) -> None:
        """Any other coding leaves the end of the content unknown: 400, and the connection is closed (RFC 9112, 6.3)."""
        for method in (b"GET", b"POST"):
            for coding in (
                b"identity",
                b"gzip",
                b"chunked, gzip",
                b"chunked, identity",
                b"xchunked",
                b"",
                b"chunked;q=1",
            ):
                head = b" /feed HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: " + coding + b"\r\n\r\n"
                self.assert_refused(400, method + head)
            head = b" /feed HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n"
            self.assert_refused(400, method + head)

    def test_transfer_encoding_in_http_1_0_ends_the_connection(self) -> None:
        """The connection ends after one answer, whatever the other fields are (RFC 9112, 6.1)."""
        for rest in (b"Transfer-Encoding: chunked\r\n", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"):
            self.connect()
            self.channel.dataReceived(
                b"POST /feed HTTP/1.0\r\nConnection: keep-alive\r\n" + rest + b"\r\n0\r\n\r\n" + GET
            )
            self.assertEqual(self.transport.value().count(b"HTTP/1."), 1)
            self.assert_closing()

    def test_length_that_is_none_is_malformed(self) -> None:
        """A length that is no number is 400, however long it is (RFC 9112, 6.3): only a number can be too large."""
        for length in (
            b"x" * 30,
            b"-" + b"1" * 30,
            b"1" * 30 + b" 1",
            b"1" * 30 + b", " + b"1" * 30,
            b"1, 1",
            b"",
            b"\xb2",
        ):
            self.assert_refused(400, GET[:-2] + b"Content-Length: " + length + b"\r\n\r\n")

    def test_content_is_not_waited_for(self) -> None:
        """A request with content is answered at once, and the rest of it is thrown away."""
        for method, status in ((b"GET", 413), (b"HEAD", 413), (b"OPTIONS", 204), (b"POST", 405), (b"PUT", 405)):
            for field in (
                b"Content-Length: 99999999999",
                b"Transfer-Encoding: chunked",
                b"transfer-encoding: Chunked",
            ):
                self.connect()
                response = self.receive(method + b" /feed HTTP/1.1\r\nHost: a\r\n" + field + b"\r\n\r\n")
                self.assertEqual((method, field, response.status), (method, field, status))
                self.assertEqual(response.headers["connection"], "close")
                self.assert_closing()

    def test_length_that_no_number_holds_is_refused(self) -> None:
        """Python refuses to convert more than 4,300 digits; real lengths have at most 19."""
        self.assert_refused(413, GET[:-2] + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n")

    def test_empty_content_is_none(self) -> None:
        """A length of zero says that there is no content, and the connection is kept."""
        response = self.receive(GET[:-2] + b"Content-Length: 0\r\n\r\n")
        self.assertEqual(response.status, 200)
        self.assertFalse(self.transport.ended)

    def test_nobody_is_told_to_go_on(self) -> None:
        """A client that sends Expect: 100-continue gets the final answer immediately (RFC 9110, 10.1.1)."""
        head = b"POST /feed HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n"
        self.assertEqual(self.receive(head).status, 405)
        self.connect()
        self.assertEqual(self.receive(GET[:-2] + b"Expect: 100-continue\r\n\r\n").status, 200)

    def test_nothing_is_answered_after_a_refusal(self) -> None:
        """The bytes behind a malformed request are discarded, because they may have been smuggled."""
        self.assert_refused(400, b"GET /feed HTTP/1.1\r\nHost: a\r\nX\x01: b\r\n\r\n" + GET)
        self.assert_refused(400, b"GET /feed HTTP/1.1\r\nHost: a\r\nbad\r\nContent-Length: 5\r\n\r\n" + GET)
        self.connect()
        self.channel.dataReceived(b"POST /feed HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n" + GET)
        self.assertEqual(self.transport.value().count(b"HTTP/1.1 "), 1)

    @given(st.binary(max_size=60), st.lists(st.integers(0, 200), max_size=5))
    @settings(deadline=None, max_examples=200)
    def test_any_bytes_are_answered_the_same_however_they_are_cut(self, noise: bytes, cuts: list[int]) -> None:
        """No byte breaks the channel, and no boundary between segments changes an answer."""
        data = GET[:20] + noise + GET[20:] + GET
        self.connect()
        self.channel.dataReceived(data)
        whole = without_dates(self.transport.value())
        self.connect()
        places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
        for start, end in pairwise(places):
            self.channel.dataReceived(data[start:end])
        self.assertEqual(without_dates(self.transport.value()), whole)
        self.assertEqual(self.flushLoggedErrors(), [])


def without_date(response: Response) -> tuple[int, dict[str, str]]:
    """Gives status and fields of an answer, without the time at which it was made."""
    return response.status, {**response.headers, "date": "-"}


def without_dates(answers: bytes) -> bytes:
    """Gives answers without the time at which they were made."""
    return re.sub(rb"\r\nDate: [^\r]+", b"", answers)
