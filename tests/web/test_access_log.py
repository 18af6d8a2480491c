"""The access log: formats, lines of answers that are repeated and of those that are rendered, and nothing beside."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any, ClassVar

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from livefeed.testing import make_site, publish
from livefeed.transport.addresses import Networks
from livefeed.transport.answer import Answer, Repeatable
from livefeed.transport.peer import pack_peer
from livefeed.web import access_log
from livefeed.web.access_log import (
    MAX_HEADS,
    MAX_VALUE_BYTES,
    AccessLog,
    Facts,
    Format,
    FormatName,
    ForwardedReplay,
    LoggedReplay,
    LoggedSite,
)
from livefeed.web.forwarded import Forwarded
from livefeed.web.replay import Replay
from livefeed.web.time_limits import HEAD_TIMEOUT_S

NOW = 1_764_430_579.9  # 29 November 2025, 15:36:19
HOST = b"Host: localhost\r\n"
FIELDS = b"Referer: https://example.org/\r\nUser-Agent: curl/8.5\r\nAuthorization: Basic c2VjcmV0\r\n"
GET = b"GET /feed?n=1 HTTP/1.1\r\n" + HOST + FIELDS + b"\r\n"
PEER = pack_peer(("192.0.2.1", 5))
ANSWER = b"HTTP/1.1 200 OK\r\nServer: livefeed\r\n\r\n12345"


class LogTestCase(SynchronousTestCase):
    """Collects the lines."""

    now = NOW

    def make_log(self, name: FormatName = "combined") -> AccessLog:
        self.lines: list[str] = []
        self.counted = 0
        return AccessLog(Format(name), self.take, lambda: self.now)

    def take(self, data: bytes, count: int) -> None:
        self.assertTrue(data.endswith(b"\n"))
        self.lines += data.decode().split("\n")[:-1]
        self.counted += count


class FormatTests(LogTestCase):
    """What a line looks like."""

    facts: ClassVar[dict[str, Any]] = {
        "client": "192.0.2.1",
        "request_line": (b"GET", b"/feed", b"HTTP/1.1"),
        "status": 200,
        "size": 17,
        "referer": b"https://example.org/",
        "agent": b"curl/8.5",
    }

    def line(self, name: FormatName, **changes: Any) -> str:
        log = self.make_log(name)
        log.add(Facts(**{**self.facts, **changes}))
        log.flush()
        (line,) = self.lines
        return line

    def test_common(self) -> None:
        """The Common Log Format."""
        expected = '192.0.2.1 - - [29/Nov/2025:15:36:19 +0000] "GET /feed HTTP/1.1" 200 17'
        self.assertEqual(self.line("common"), expected)

    def test_combined(self) -> None:
        """The same with two fields; a missing value is a hyphen."""
        begin = '192.0.2.1 - - [29/Nov/2025:15:36:19 +0000] "GET /feed HTTP/1.1" 200 '
        self.assertEqual(self.line("combined"), begin + '17 "https://example.org/" "curl/8.5"')
        self.assertEqual(self.line("combined", size=0, referer=None, agent=None), begin + '- "-" "-"')
        self.assertTrue(self.line("combined", client="", size=None).startswith("- - - ["))

    def test_json(self) -> None:
        """One object for each line."""
        expected = {
            "client": "192.0.2.1",
            "time": "2025-11-29T15:36:19Z",
            "method": "GET",
            "target": "/feed",
            "version": "HTTP/1.1",
            "status": 200,
            "bytes": 17,
            "referer": "https://example.org/",
            "user_agent": "curl/8.5",
        }
        self.assertEqual(json.loads(self.line("json")), expected)
        missing = {"referer": None, "agent": None, "size": None}
        changed = {**expected, "referer": None, "user_agent": None, "bytes": None}
        self.assertEqual(json.loads(self.line("json", **missing)), changed)

    def test_months(self) -> None:
        """Their names do not depend on the locale."""
        for self.now, month in ((0, "01/Jan/1970"), (NOW, "29/Nov/2025"), (1_785_542_400, "01/Aug/2026")):
            self.assertIn(f" [{month}:", self.line("common"))

    def test_injection(self) -> None:
        """A client can end neither a value nor a line."""
        value = b'a"b\\c\r\n\x00\x1b[31m\x7f\xc3\xa9'
        escaped = 'a\\"b\\\\c\\x0d\\x0a\\x00\\x1b[31m\\x7f\\xc3\\xa9'
        request_line = (value, value, value)
        line = self.line("combined", request_line=request_line, referer=value, agent=value)
        self.assertTrue(line.endswith(f' "{escaped} {escaped} {escaped}" 200 17 "{escaped}" "{escaped}"'), line)
        facts = json.loads(self.line("json", request_line=request_line, referer=value, agent=value))
        self.assertEqual(facts["user_agent"], value.decode())

    def test_tokens_in_urls(self) -> None:
        """A query with a token is left out, whichever path it was sent to; so is that of the page that has sent it."""
        for query in (
            b"?token=S",
            b"?a=1&Access_Token=S&b=2",
            b"?a;jwt=S",
            b"?n=" + b"n" * 2000 + b"&token=S",
            b"?a?auth=S",
        ):
            request_line = b"GET", b"/feed.html" + query, b"HTTP/1.1"
            for name in ("combined", "json"):
                line = self.line(name, request_line=request_line, referer=b"https://a.example/" + query)
                self.assertNotIn("S", line.replace("MST", ""))
                self.assertIn("/feed.html?(hidden)", line)
                self.assertIn("https://a.example/?(hidden)", line)
        self.assertIn(
            "/feed?tokens=1&xtoken=2&token",
            self.line("combined", request_line=(b"GET", b"/feed?tokens=1&xtoken=2&token", b"")),
        )

    def test_controls_in_json(self) -> None:
        """JSON need not escape all control characters, but a terminal that shows the log would obey them."""
        value = "a\x7f\x85\x9b31m\u2028\u2029\u00e9".encode()
        line = self.line("json", request_line=(b"GET", value, value), referer=value, agent=value)
        self.assertEqual(line.count(r"a\u007f\u0085\u009b31m\u2028\u2029" + "\u00e9"), 4)
        facts = json.loads(line)
        self.assertEqual([facts[name] for name in ("target", "version", "referer")], [value.decode()] * 3)

    @given(st.binary(), st.sampled_from(["common", "combined", "json"]))
    def test_any_bytes(self, value: bytes, name: FormatName) -> None:
        """Whatever a client sends is one line of printable ASCII, or one object."""
        line = self.line(name, request_line=(value, value, b"HTTP/1.1"), referer=value, agent=value)
        self.assertTrue(line.isprintable() or name == "json")
        self.assertNotRegex(line, "[\x00-\x1f\x7f-\x9f\u2028\u2029]")
        if name == "json":
            self.assertEqual(json.loads(line)["status"], 200)
        elif name == "combined":
            self.assertEqual(line.replace("\\\\", "").replace('\\"', "").count('"'), 6)

    def test_long_values(self) -> None:
        """They are cut off."""
        self.assertIn(f'"{"x" * MAX_VALUE_BYTES}"', self.line("combined", agent=b"x" * 100_000))
        facts = json.loads(self.line("json", agent=b"x" * 100_000))
        self.assertEqual(facts["user_agent"], "x" * MAX_VALUE_BYTES)


class AccessLogTests(LogTestCase):
    """The lines that wait."""

    def test_beginnings(self) -> None:
        """An IPv4 address is shown as such; the peer of a Unix socket has none. They are kept, and bounded."""
        self.patch(access_log, "MAX_BEGINNINGS", 2)
        log = self.make_log()
        for name, text in (
            (("192.0.2.1", 1), b"192.0.2.1 - - "),
            (("::ffff:192.0.2.1", 1, 0, 0), b"192.0.2.1 - - "),
            (("2001:db8::1", 1, 0, 0), b"2001:db8::1 - - "),
            (("fe80::1%eth0", 1, 0, 2), b"fe80::1%eth0 - - "),
            ("", b"- - - "),
        ):
            self.assertEqual(log.beginning_of(pack_peer(name)), text)
            self.assertEqual(log.beginnings[pack_peer(name)], text)
            self.assertLessEqual(len(log.beginnings), 2)

    def test_limit(self) -> None:
        """Many lines are written without waiting for the end of a quarter of a second."""
        self.patch(access_log, "MAX_PARTS", 40)
        log = self.make_log()
        for count in range(10):
            self.assertEqual(self.lines, [])
            log.add(Facts(**FormatTests.facts))
            self.assertEqual(len(log.parts), (count + 1) * 4 % 40)
        self.assertEqual((len(self.lines), self.counted), (10, 10))
        log.flush()
        self.assertEqual(len(self.lines), 10)


class ReplayTests(LogTestCase):
    """Answers that are repeated."""

    def setUp(self) -> None:
        self.log = self.make_log()
        self.replay = LoggedReplay(self.log)
        self.replay.peer = PEER

    def ask(self, head: bytes, data: bytes = ANSWER, body: bytes = b"") -> Answer:
        """Gives the answer to a request, which is stored before if there is none."""
        answer = self.replay.find(head)
        if answer is None:
            assert self.replay.missed is not None
            self.replay.store(self.replay.missed, data, Repeatable("label"), body=body)
            answer = self.replay.find(head)
        assert answer is not None
        return answer

    def test_line(self) -> None:
        """Each repetition has a line; a request without an answer has none here."""
        begin = '192.0.2.1 - - [29/Nov/2025:15:36:19 +0000] "GET /feed?n=1 HTTP/1.1" 200 5 '
        expected = begin + '"https://example.org/" "curl/8.5"'
        answer = self.ask(GET)
        self.replay.peer = pack_peer(("2001:db8::1", 5))
        self.ask(GET)
        self.assertEqual(dict(self.replay.counts()), {"label": 2})
        self.assertEqual(answer.times, 2)
        self.replay.clear()
        self.assertEqual(self.lines, [expected, expected.replace("192.0.2.1", "2001:db8::1")])
        self.assertEqual(self.counted, 2)
        self.assertIsNone(self.replay.find(GET))
        self.assertEqual(dict(self.replay.counts()), {"label": 2})

    def test_token_in_a_url(self) -> None:
        """It is left out of the line of an answer that is repeated, too."""
        self.ask(GET.replace(b"?n=1", b"?n=1&token=S"))
        self.replay.clear()
        self.assertIn('"GET /feed?(hidden) HTTP/1.1"', self.lines[0])

    def test_time(self) -> None:
        """The time is that of the answer, from the next quarter of a second on."""
        self.ask(GET)
        self.replay.clear()
        self.now += 1
        self.ask(GET)
        self.replay.clear()
        self.assertIn("15:36:20", self.lines[1])

    def test_fields(self) -> None:
        """The names of fields in any case, and values with white space, or none; others are never read."""
        for fields, expected in (
            (b"user-agent:a\r\nREFERER: \t b \t\r\n", '"b" "a"'),
            (b"USER-AGENT: a b\r\n", '"-" "a b"'),
            (b"Referer:\r\nX-User-Agent: x\r\nReferrer: x\r\nUser-Agents: x\r\nRange: x\r\n", '"-" "-"'),
            (b'user-AgenT: a"\r\n', '"-" "a\\""'),
            (b"", '"-" "-"'),
        ):
            self.ask(b"GET /feed HTTP/1.1\r\n" + fields + HOST + b"\r\n")
            self.replay.clear()
            self.assertTrue(self.lines[-1].endswith(f" 200 5 {expected}"), self.lines[-1])

    def test_sizes(self) -> None:
        """The content counts, wherever it is kept, and the head does not."""
        for data, body, expected in (
            (ANSWER, b"x" * 20_000, "200 20005"),
            (b"HTTP/1.1 304 Not Modified\r\n\r\n", b"", "304 -"),
        ):
            self.ask(GET, data, body)
            self.replay.clear()
            self.assertIn(f" {expected} ", self.lines[-1])

    def test_many_heads(self) -> None:
        """With more heads than are kept, each line still has its own fields; all that is kept is bounded."""
        self.patch(access_log, "MAX_ENDS", 100)
        heads = [b"GET /feed?%d HTTP/1.1\r\n%sUser-Agent: n%d\r\n\r\n" % (n, HOST, n) for n in range(3 * MAX_HEADS)]
        for head in (*heads, *heads):
            self.ask(head)
        self.assertEqual(len(self.replay._known), MAX_HEADS)
        self.assertLessEqual(len(self.replay._ends), 100)
        self.assertEqual(len(self.replay._sides), 1)
        self.replay.clear()
        self.assertEqual(len(self.lines), 2 * len(heads))
        # The lines about one head come together.
        found = Counter(line.partition("] ")[2] for line in self.lines)
        self.assertEqual(found, {f'"GET /feed?{n} HTTP/1.1" 200 5 "-" "n{n}"': 2 for n in range(len(heads))})
        self.assertEqual(sum(self.replay.counts().values()), len(self.lines))

    def test_beginnings_that_were_forgotten(self) -> None:
        """They are made again, also if there are more peers than are kept."""
        self.patch(access_log, "MAX_BEGINNINGS", 2)
        peers = [f"192.0.2.{n}" for n in range(5)]
        for peer in peers:
            self.replay.peer = pack_peer((peer, 5))
            self.ask(GET)
        self.replay.clear()
        self.assertEqual([line.partition(" ")[0] for line in self.lines], peers)

    def test_behind_a_proxy(self) -> None:
        """The client that a trusted proxy names has the line, each by its own; others can name nobody."""
        self.patch(access_log, "MAX_BEGINNINGS", 1)
        self.patch(access_log, "MAX_ENDS", 1)
        self.replay = ForwardedReplay(
            self.log, Forwarded("x-forwarded-for", Networks.parse(["192.0.2.0/24"], "trusted_proxy"))
        )
        heads = [
            GET.replace(b"\r\n\r\n", b"\r\nX-Forwarded-For: %s\r\n\r\n" % each) for each in (b"10.0.0.1", b"10.0.0.2")
        ]
        for peer, head in (
            ("192.0.2.1", heads[0]),
            ("192.0.2.1", heads[1]),
            ("192.0.2.1", heads[1]),
            ("192.0.2.1", GET),
            ("198.51.100.1", heads[0]),
        ):
            self.replay.peer = pack_peer((peer, 5))
            self.ask(head)
        self.replay.clear()
        expected = ["10.0.0.1", "10.0.0.2", "10.0.0.2", "192.0.2.1", "198.51.100.1"]
        self.assertEqual(sorted(line.partition(" ")[0] for line in self.lines), expected)

    def test_many_different_lines(self) -> None:
        """Lines that nothing is shared with are written when there are many."""
        self.patch(access_log, "MAX_PARTS", 300)
        for n in range(1000):
            self.ask(b"GET /feed?%d HTTP/1.1\r\n%s\r\n" % (n, HOST))
            self.assertLess(len(self.log.parts), 310)
        self.assertGreater(len(self.lines), 800)

    def test_waited(self) -> None:
        """Requests that waited together have a line each, with the target of the first."""

        class Connection:
            def __init__(self, port: int) -> None:
                self._peer = pack_peer(("192.0.2.1", port))

        waited: list[Any] = [Connection(1), Connection(2)]
        self.replay.answered(Answer(ANSWER, "label", False), GET, waited)
        self.replay.clear()
        line = '192.0.2.1 - - [29/Nov/2025:15:36:19 +0000] "GET /feed?n=1 HTTP/1.1" 200 5 "-" "-"'
        self.assertEqual(self.lines, [line, line])
        self.assertEqual(dict(self.replay.counts()), {"label": 2})

    @given(
        st.lists(
            st.one_of(
                st.sampled_from(
                    [
                        b"Host: a",
                        b"host:b",
                        b"User-Agent: x",
                        b"user-agent: y",
                        b"Referer: z",
                        b"Range: 1",
                        b"Upgrade: websocket",
                        b"Upgrade-Insecure-Requests: 1",
                        b"Accept: */*",
                        b"accept: x",
                        b"Accept-Encoding: br",
                        b"If-None-Match: *",
                        b"Connection: close",
                        b"Content-Length: 0",
                        b"User-Agent : x",
                        b"Referer: \x01",
                        b"Te: x",
                    ]
                ),
                st.binary(max_size=12),
            ),
            max_size=8,
        ),
        st.sampled_from([b"GET /feed", b"GET /feed?a", b"HEAD /feed?", b"POST /", b"GET /a?b?c"]),
    )
    def test_same_as_without_a_log(self, fields: list[bytes], target: bytes) -> None:
        """The same requests are recognised, with the same keys."""
        head = b"\r\n".join([target + b" HTTP/1.1", *fields, b"", b""])
        plain, logged = Replay(), LoggedReplay(self.make_log())
        for replay in (plain, logged):
            self.assertIsNone(replay.find(head))
        self.assertEqual(plain.missed, logged.missed)
        if plain.missed is not None:
            for replay in (plain, logged):
                replay.store(plain.missed, ANSWER, Repeatable("label"))
                for _ in range(2):
                    self.assertEqual(getattr(replay.find(head), "data", None), ANSWER)


class SiteTests(LogTestCase):
    """Answers that are rendered."""

    def setUp(self) -> None:
        made = make_site()
        self.log = self.make_log()
        self.clock: Any = made.feed.clock
        self.site = LoggedSite(self.log, None, made.site.resource, reactor=made.feed.clock)
        made.feed.observe(self.site.forget_answers)
        publish(made.feed, b"[1]")

    def ask(self, head: bytes, address: Any = None) -> Any:
        """Sends a request; gives the channel."""
        transport = StringTransport(peerAddress=address or IPv4Address("TCP", "192.0.2.1", 5))
        channel: Any = self.site.buildProtocol(None)
        channel.makeConnection(transport)
        channel.dataReceived(head)
        return channel

    def shown(self) -> list[str]:
        self.log.flush()
        return self.lines

    def test_answer_for_a_room(self) -> None:
        """An answer that is rendered for requests that have waited has no line here: each of these has its own."""
        plain, room = (self.site.buildProtocol(None) for _ in range(2))
        for channel, has_waited in ((plain, False), (room, True)):
            assert channel is not None
            channel.has_waited = has_waited
            channel.makeConnection(StringTransport())
            channel.dataReceived(GET)
        self.assertEqual(len(self.shown()), 1)

    def test_answers(self) -> None:
        """Each has a line, and counts as before."""
        self.ask(GET)
        self.ask(b"HEAD /nothing HTTP/1.1\r\n" + HOST + b"\r\n", IPv6Address("TCP", "2001:db8::1", 5))
        self.ask(b"GET / HTTP/1.0\r\n\r\n", UNIXAddress(""))
        first, second, third = self.shown()
        time = "[29/Nov/2025:15:36:19 +0000]"
        self.assertEqual(
            first, f'192.0.2.1 - - {time} "GET /feed?n=1 HTTP/1.1" 200 3 "https://example.org/" "curl/8.5"'
        )
        self.assertEqual(second, f'2001:db8::1 - - {time} "HEAD /nothing HTTP/1.1" 404 - "-" "-"')
        self.assertTrue(third.startswith(f'- - - {time} "GET / HTTP/1.0" 200 '), third)
        self.assertEqual(sum(self.site.counts().values()), 3)

    def test_refusals(self) -> None:
        """Bytes that are no request have a line, with what is known of them."""
        self.ask(b"nonsense\r\n\r\n")
        self.ask(b"GET /feed?n=1 HTTP/1.1\r\n" + FIELDS + b"\r\n")
        self.ask(b"HEAD /feed HTTP/1.1\r\n" + FIELDS + b"Host: a\x01b\r\n\r\n")
        self.ask(b"GET /" + b"x" * 20_000)
        self.ask(b"GET /feed HTTP/1.1\r\n" + FIELDS + b"X: " + b"x" * 20_000)
        self.ask(b"GET /feed HTTP/1.1\r\n" + FIELDS)
        self.clock.advance(HEAD_TIMEOUT_S)
        self.ask(b"GET / HTTP/1.1\r\n" + FIELDS)
        self.ask(b"G")
        self.clock.advance(HEAD_TIMEOUT_S)
        fields = '"https://example.org/" "curl/8.5"'
        lines = [line.partition("] ")[2] for line in self.shown()]
        sizes = r"(\d\d\d) \d+"
        self.assertEqual(
            [re.sub(sizes, r"\1 N", line) for line in lines],
            [
                '"-" 400 N "-" "-"',
                f'"GET /feed?n=1 HTTP/1.1" 400 N {fields}',
                f'"HEAD /feed HTTP/1.1" 400 - {fields}',
                '"-" 414 N "-" "-"',
                f'"GET /feed HTTP/1.1" 431 N {fields}',
                f'"GET /feed HTTP/1.1" 408 N {fields}',
                f'"GET / HTTP/1.1" 408 N {fields}',
                '"-" 408 N "-" "-"',
            ],
        )
        self.assertTrue(self.lines[0].startswith("192.0.2.1 - - ["))
        self.assertEqual(sum(self.site.counts().values()), 8)

    def test_refusals_in_json(self) -> None:
        """Unknown values are null."""
        self.log.form = Format("json")
        self.ask(b"nonsense\r\n\r\n")
        (line,) = map(json.loads, self.shown())
        names = ("client", "method", "target", "version", "status", "referer", "user_agent")
        self.assertEqual([line[name] for name in names], ["192.0.2.1", None, None, None, 400, None, None])
        self.assertGreater(line["bytes"], 0)
        self.assertEqual(line["time"], "2025-11-29T15:36:19Z")

    def test_refusals_behind_a_proxy(self) -> None:
        """The client is the one that a trusted proxy names."""
        site = self.site
        rule = Forwarded("x-forwarded-for", Networks.parse(("10.0.0.0/8",), ""))
        self.site = LoggedSite(self.log, rule, site.resource, reactor=self.clock)
        for address in ("10.0.0.1", "192.0.2.9"):
            head = b"GET / HTTP/1.1\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n"
            self.ask(head, IPv4Address("TCP", address, 5))
        self.assertEqual([line.partition(" ")[0] for line in self.shown()], ["192.0.2.7", "192.0.2.9"])

    def test_websocket(self) -> None:
        """A WebSocket has one line, when it ends."""
        key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        channel = self.ask(
            b"GET /feed.ws HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n" + key + b"\r\n"
        )
        self.assertEqual(self.shown(), [])
        self.assertEqual(sum(self.site.counts().values()), 1)
        channel._successor.connectionLost(Failure(ConnectionDone()))
        self.assertIn('"GET /feed.ws HTTP/1.1" 101 - "-" "-"', self.shown()[0])
        self.assertNotIn("connectionLost", channel._successor.__dict__)

    def test_event_stream(self) -> None:
        """An event stream has one line, when it ends."""
        channel = self.ask(b"GET /feed.sse HTTP/1.1\r\n" + HOST + FIELDS + b"\r\n")
        self.assertEqual(self.shown(), [])
        channel._successor.connectionLost(Failure(ConnectionDone()))
        (line,) = self.shown()
        self.assertIn('"GET /feed.sse HTTP/1.1" 200 - "https://example.org/" "curl/8.5"', line)

    def test_forgotten(self) -> None:
        """The lines are handed on when answers are forgotten."""
        self.ask(GET)
        self.assertEqual(self.lines, [])
        self.site.forget_answers()
        self.assertEqual(len(self.lines), 1)
