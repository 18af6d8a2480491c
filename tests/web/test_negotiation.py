"""The fields of a request: content codings, preferences, forms of the answer, and the value that has them all."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from livefeed.document.codings import MAX_MEMBERS, MAX_PARAMETERS
from livefeed.web.negotiation import (
    JSON_PATCH,
    MAX_WAIT_S,
    KeyedFields,
    RequestFields,
    asks_for_events,
    choose_coding,
    coding_ranks,
    coding_weights,
    preferred_coding,
    preferred_wait_s,
)
from livefeed.web.replay import KEYED

if TYPE_CHECKING:
    from collections.abc import Sequence

CODINGS = ("zstd", "br", "gzip")


@st.composite
def accept_encodings(draw: st.DrawFn) -> tuple[bytes, dict[str, float]]:
    """Field values, each with the weights that it gives, no coding twice."""
    names = draw(st.lists(st.sampled_from([*CODINGS, "identity", "*", "deflate"]), unique=True))
    thousandths = draw(st.lists(st.integers(0, 1000), min_size=len(names), max_size=len(names)))
    members = []
    for name, weight in zip(names, thousandths, strict=True):
        spelled = draw(st.sampled_from([name, name.upper(), name.title()]))
        separator = draw(st.sampled_from([";", " ;", "; ", "\t; "]))
        parameter = draw(st.sampled_from(["q", "Q"]))
        value = f"{weight // 1000}.{weight % 1000:03}"
        shortened = draw(st.sampled_from([value, value.rstrip("0"), value.rstrip("0").rstrip(".")]))
        default = weight == 1000 and draw(st.booleans())
        members.append(spelled if default else f"{spelled}{separator}{parameter}={shortened}")
    field = draw(st.sampled_from([",", ", ", " ,\t", ", ,"])).join(members)
    weights = {name: weight / 1000 for name, weight in zip(names, thousandths, strict=True)}
    return field.encode(), weights


def expected_coding(weights: dict[str, float], available: Sequence[str]) -> str:
    """An independent reading of RFC 9110, 12.5.3: walks the codings in the order of preference."""
    chosen, best = "identity", weights.get("identity", 0.0)
    for coding in reversed(available):
        weight = weights[coding] if coding in weights else weights.get("*", 0.0)
        if weight > 0.0 and weight >= best:
            chosen, best = coding, weight
    return chosen


def chosen(field: bytes | None, available: Sequence[str]) -> str:
    """Gives the coding that is chosen for a field."""
    return choose_coding(coding_weights(field), available)


class ChooseCodingTests(SynchronousTestCase):
    """choose_coding."""

    @settings(deadline=None, max_examples=300)
    @given(accept_encodings(), st.lists(st.sampled_from(CODINGS), unique=True))
    @example((b"*;q=0.5, identity;q=0.5", {"*": 0.5, "identity": 0.5}), ["gzip"])
    def test_agrees_with_the_rfc(self, accept: tuple[bytes, dict[str, float]], available: list[str]) -> None:
        """A generated field gives the same coding as a separate implementation of RFC 9110."""
        field, weights = accept
        self.assertEqual(chosen(field, available), expected_coding(weights, available), field)

    @settings(deadline=None, max_examples=300)
    @given(accept_encodings(), accept_encodings(), st.lists(st.sampled_from(CODINGS), unique=True))
    @example((b"*;q=0.5, identity;q=0.5", {}), (b"gzip, x, br, zstd, identity", {}), ["gzip", "br"])
    def test_fields_of_equal_ranks_choose_the_same(
        self, accept: tuple[bytes, object], other: tuple[bytes, object], available: list[str]
    ) -> None:
        """Fields with equal ranks always choose alike; others differ in the choice from some one or two codings."""
        fields = accept[0], other[0]
        if len({coding_ranks(coding_weights(field)) for field in fields}) == 1:
            self.assertEqual(chosen(fields[0], available), chosen(fields[1], available))
        else:
            orders = [list(each) for count in (1, 2) for each in permutations(CODINGS, count)]
            self.assertNotEqual(*([chosen(field, order) for order in orders] for field in fields))

    def test_ranks(self) -> None:
        """Ranks of gzip, zstd and br: 0 stands for a coding that is never chosen, even if no coding is preferred."""
        for field, ranks in (
            (None, (0, 0, 0)),
            (b"", (0, 0, 0)),
            (b"x-gzip", (1, 0, 0)),
            (b"br, gzip;q=0.1, ZSTD;q=0.15", (1, 2, 3)),
            (b"*;q=0.3, br", (1, 1, 2)),
            (b"gzip;q=0.3, br, identity;q=0.31", (0, 0, 1)),
        ):
            self.assertEqual(coding_ranks(coding_weights(field)), ranks)

    @settings(deadline=None)
    @given(st.one_of(st.none(), st.binary(max_size=60), st.text(alphabet="gzip*;q=01., \tidentx-", max_size=40)))
    def test_anything_gives_a_coding_that_exists(self, field: bytes | str | None) -> None:
        """No field value, however malformed, raises or names a coding that does not exist."""
        raw = field.encode() if isinstance(field, str) else field
        self.assertIn(chosen(raw, ("gzip",)), {"gzip", "identity"})

    def test_absent_field_gives_identity(self) -> None:
        """A client that says nothing may be one that cannot decode."""
        self.assertEqual(chosen(None, CODINGS), "identity")

    def test_empty_field_gives_identity(self) -> None:
        """An empty field asks for no coding (RFC 9110, 12.5.3)."""
        self.assertEqual(chosen(b"", CODINGS), "identity")

    def test_browser_field(self) -> None:
        """Of codings with equal weights the server's preference decides, whatever their order in the field."""
        self.assertEqual(chosen(b"gzip, deflate, br, zstd", CODINGS), "zstd")
        self.assertEqual(chosen(b"gzip, deflate, br, zstd", ("gzip",)), "gzip")

    def test_weight_zero_excludes(self) -> None:
        """q=0 means 'not acceptable', in each of its spellings, and against the asterisk."""
        for field in (b"gzip;q=0", b"gzip;q=0.", b"gzip;q=0.000", b"*, gzip;q=0", b"*;q=0"):
            self.assertEqual(chosen(field, ("gzip",)), "identity", field)

    def test_identity_wins_only_where_it_is_preferred(self) -> None:
        """Identity is taken when its weight is greater, and not when it is equal."""
        self.assertEqual(chosen(b"gzip;q=0.4, identity;q=0.5", ("gzip",)), "identity")
        self.assertEqual(chosen(b"gzip;q=0.5, identity;q=0.5", ("gzip",)), "gzip")

    def test_nothing_acceptable_gives_identity(self) -> None:
        """A document that can probably be read is given instead of a 406."""
        self.assertEqual(chosen(b"identity;q=0, deflate", ("gzip",)), "identity")

    def test_x_gzip_is_gzip(self) -> None:
        """The old name is an alias (RFC 9110, 8.4.1.3)."""
        self.assertEqual(chosen(b"x-gzip", ("gzip",)), "gzip")

    def test_malformed_weight_is_not_acceptance(self) -> None:
        """A weight that is none (RFC 9110, 12.4.2) does not count as a wish for the coding."""
        for weight in (b"2", b"-1", b"1.5", b"0.0001", b"nan", b"inf", b"1e0", b"", b"0x1", b"1.000\n"):
            self.assertEqual(chosen(b"gzip;q=" + weight, ("gzip",)), "identity", weight)

    def test_other_parameters_are_skipped(self) -> None:
        """A parameter that is not the weight changes nothing."""
        self.assertEqual(chosen(b"gzip;level=9;q=0", ("gzip",)), "identity")
        self.assertEqual(chosen(b"gzip;level=9", ("gzip",)), "gzip")

    def test_long_lists_give_identity(self) -> None:
        """A member that is not looked at may exclude the coding; empty ones count as well (RFC 9110, 5.6.1.2)."""
        longest = b"," * (MAX_MEMBERS - 1)
        for field in (longest + b"gzip", b"gzip" + longest, b"gzip, gzip;q=0.5" + longest[1:]):
            self.assertEqual(chosen(field, ("gzip",)), "gzip", field)
            self.assertEqual(chosen(field + b",", ("gzip",)), "identity", field)
            self.assertEqual(chosen(b"," + field, ("gzip",)), "identity", field)

    def test_members_with_many_parameters_are_not_accepted(self) -> None:
        """The weight may be one that is not looked at."""
        for before in (b";" * MAX_PARAMETERS, b";x=y" * (MAX_PARAMETERS - 1) + b";"):
            self.assertEqual(chosen(b"gzip" + before + b"q=1", ("gzip",)), "gzip", before)
            self.assertEqual(chosen(b"gzip;" + before + b"q=1", ("gzip",)), "identity", before)
            self.assertEqual(chosen(b"gzip" + before + b"q=1;", ("gzip",)), "identity", before)

    @given(
        st.one_of(st.none(), st.sampled_from((b"gzip", b"br;q=0.5, zstd", b"identity", b"*;q=0", b"gzip;q=0, *", b""))),
        st.lists(st.sampled_from(("identity", "br", "zstd", "gzip")), unique=True),
    )
    def test_choice_by_the_value(self, field: bytes | None, available: list[str]) -> None:
        """It is the same by the value of the field, where identity may be among the codings that are there."""
        others = [coding for coding in available if coding != "identity"]
        for _ in range(2):
            self.assertEqual(preferred_coding(field, tuple(available)), chosen(field, others))


class PreferTests(SynchronousTestCase):
    def assert_wait(self, expected: int | None, *fields: bytes) -> None:
        for prefer in fields:
            self.assertEqual((prefer, preferred_wait_s(prefer)), (prefer, expected))

    def test_wait_is_a_number_of_seconds(self) -> None:
        """The wait is a token or quoted (RFC 7240, 2), in upper case or lower."""
        self.assert_wait(
            10, b"wait=10", b"Wait=10", b"WAIT=10", b'wait="10"', b"wait = 10", b' wait\t=\t"10" ', b"wait=010"
        )
        self.assert_wait(0, b"wait=0", b'wait="0"')

    def test_wait_stands_among_other_preferences(self) -> None:
        """The wait is found at any place, and with any parameters."""
        self.assert_wait(
            10,
            b"respond-async, wait=10",
            b"wait=10, respond-async",
            b"respond-async,,wait=10,",
            b'handling=lenient; x="y", wait=10; foo; bar="baz", return=minimal',
            b"wait=10;foo",
            b"wait=10 ; foo=bar",
            b"priority=5, WAIT=10",
        )

    def test_first_wait_counts(self) -> None:
        """RFC 7240, 2."""
        self.assert_wait(10, b"wait=10, wait=20", b"wait=10,wait=0", b'wait="10", wait=20;x', b"a, wait=10, b, wait=5")
        self.assert_wait(None, b"wait, wait=10", b"wait=x, wait=10", b"WAIT ;a=b, wait=10", b'wait="1,0", wait=10')

    def test_what_is_no_wait_is_ignored(self) -> None:
        """A wrong number, another preference, or a wait that is only a parameter of one."""
        self.assert_wait(
            None,
            b"",
            b"wait",
            b"wait=",
            b'wait=""',
            b"wait=-1",
            b"wait=+1",
            b"wait=1.5",
            b"wait=1e1",
            b"wait=0x1",
            b"wait=ten",
            b"wait=1 0",
            b'wait="10',
            b'wait=10"',
            b"wait=10=10",
            b"wait:10",
            b"await=10",
            b"wait-for=10",
            b"x-wait=10",
            b"foo; wait=10",
            b"respond-async",
            b"wait=\xb2",
            b"wait=\xd9\xa1",
        )
        self.assertIsNone(preferred_wait_s(None))

    def test_long_lists(self) -> None:
        """A wait behind as many preferences as are looked at is not found."""
        others = b"x," * (MAX_MEMBERS - 1)
        self.assertEqual(preferred_wait_s(others + b"wait=7"), 7)
        self.assertIsNone(preferred_wait_s(b"x," + others + b"wait=7"))

    def test_wait_within_a_quoted_string_is_none(self) -> None:
        """A comma between quotes separates nothing (RFC 9110, 5.6.4)."""
        self.assert_wait(None, b'foo="a, wait=10, b"', b'foo; bar="x,wait=10"', b'foo="\\", wait=10, b"')
        self.assert_wait(5, b'foo="a, wait=10, b", wait=5')

    def test_wait_is_capped(self) -> None:
        """A wait is capped at MAX_WAIT_S; a number with more than 18 digits is ignored."""
        self.assert_wait(MAX_WAIT_S, b"wait=%d" % MAX_WAIT_S, b"wait=%d" % (MAX_WAIT_S + 1), b"wait=999999999")
        self.assert_wait(MAX_WAIT_S, b"wait=" + b"9" * 18)
        self.assert_wait(None, b"wait=" + b"9" * 19, b"wait=" + b"9" * 100_000)

    @given(
        st.binary() | st.lists(st.sampled_from([b"wait", b"=", b"9", b'"', b",", b";", b" ", b"\xff"])).map(b"".join)
    )
    def test_any_bytes_are_a_wait_or_none(self, prefer: bytes) -> None:
        """No field value raises, and a wait is within its range."""
        wait_s = preferred_wait_s(prefer)
        if wait_s is not None:
            self.assertTrue(0 <= wait_s <= MAX_WAIT_S)
            self.assertIn(b"wait", prefer.lower())

    @given(st.integers(0, 10**9 - 1), st.booleans(), st.sampled_from([b"", b"a, ", b'a="b"; c,']))
    def test_every_number_is_understood(self, seconds: int, quoted: bool, before: bytes) -> None:
        """The number is understood with and without quotes, and after other preferences."""
        number = b'"%d"' % seconds if quoted else b"%d" % seconds
        self.assertEqual(preferred_wait_s(before + b"wait=" + number), min(seconds, MAX_WAIT_S))

    def test_quotes_that_are_never_closed(self) -> None:
        """A quote that is never closed is read once and is no preference, however long (16 KB once took a second)."""
        for quote in (b'"' + b'\\"' * 8000, b'"' * 16_001, b'a="' + b"\\" * 16_001, b'"x\\', b'"x, wait=5'):
            self.assertIsNone(preferred_wait_s(quote))
            self.assertEqual(preferred_wait_s(b"wait=7, " + quote), 7)


class FieldsTests(SynchronousTestCase):
    """RequestFields and KeyedFields."""

    def fields(self, *lines: bytes, method: bytes = b"GET", version: bytes = b"HTTP/1.1") -> RequestFields:
        headers = Headers()
        for line in lines:
            name, _, value = line.partition(b": ")
            headers.addRawHeader(name, value)
        return RequestFields.of(headers, method, version)

    def test_keyed_fields_are_those_of_replay(self) -> None:
        """Both have the same order, since replay hands over the values without names."""
        self.assertEqual([name.replace("_", "-").encode() for name in KeyedFields._fields], list(KEYED))

    def test_no_fields(self) -> None:
        """A request without fields has no wish."""
        fields = self.fields()
        self.assertEqual(fields.keyed, (None,) * len(KEYED))
        self.assertFalse(
            fields.accepts_events or fields.manipulation or fields.asks_for_websocket or fields.is_preflight
        )
        self.assertEqual((fields.wait_s, fields.if_match), (None, None))
        self.assertEqual((fields.tags, fields.codings, fields.connection_options), ([], {}, []))
        self.assertFalse(fields.asks_to_close)

    def test_all_fields(self) -> None:
        """Each is parsed, and the lines of one field are one list."""
        fields = self.fields(
            b"Accept: text/html",
            b"Accept: TEXT/event-stream;q=0.5",
            b"Accept-Encoding: gzip, br;q=0.5",
            b'If-None-Match: "a", W/"b"',
            b"Origin: https://a.example",
            b"Connection: Keep-Alive , CLOSE",
            b"Prefer: x, wait=7",
            b"A-IM: json-patch",
            b'If-Match: "c"',
        )
        self.assertEqual((fields.accepts_events, fields.manipulation), (True, JSON_PATCH))
        self.assertEqual(fields.codings, {"gzip": 1.0, "br": 0.5})
        self.assertEqual((fields.tags, fields.if_match), ([b'"a"', b'"b"'], b'"c"'))
        self.assertEqual(fields.wait_s, 7)
        self.assertTrue(fields.asks_to_close)
        self.assertEqual(fields.connection_options, [b"keep-alive", b"close"])
        self.assertEqual(fields.keyed.accept, b"text/html, TEXT/event-stream;q=0.5")
        self.assertEqual(fields.keyed.persistence(), b"Keep-Alive , CLOSE")
        self.assertEqual(self.fields(b"If-None-Match:  * ").tags, [b"*"])

    def test_refused_names(self) -> None:
        """Of a name that a field has several times the first counts (RFC 9110, 12.4.2)."""
        self.assertFalse(self.fields(b"Accept: text/event-stream;q=0, text/event-stream").accepts_events)
        self.assertEqual(self.fields(b"A-IM: json-patch;q=0, livefeed-splices").manipulation, b"livefeed-splices")
        self.assertIsNone(self.fields(b"A-IM: x, json-patch;q=0").manipulation)

    def test_end_of_the_connection(self) -> None:
        """twisted.web finds "close" between blanks as well, in the first line, and obeys it in HTTP/1.1."""
        for lines, expected in (
            ((b"Connection: x close",), True),
            ((b"Connection: TE, CLOSE",), True),
            ((b"Connection: keep-alive", b"Connection: close"), True),
            ((b"Connection: keep-alive", b"Connection: x close"), False),
            ((b"Connection: closed",), False),
        ):
            self.assertEqual((lines, self.fields(*lines).asks_to_close), (lines, expected))
        self.assertFalse(self.fields(b"Connection: x close", version=b"HTTP/1.0").asks_to_close)

    def test_websocket(self) -> None:
        """Any member of Upgrade counts, in any case, but not in HTTP/1.0 (RFC 9110, 7.8)."""
        self.assertTrue(self.fields(b"Upgrade: h2c, WebSocket").asks_for_websocket)
        self.assertFalse(self.fields(b"Upgrade: websockets").asks_for_websocket)
        self.assertFalse(self.fields(b"Upgrade: websocket", version=b"HTTP/1.0").asks_for_websocket)

    def test_preflight(self) -> None:
        """It is an OPTIONS request that names a method."""
        named = b"Access-Control-Request-Method: GET"
        self.assertTrue(self.fields(named, method=b"OPTIONS").is_preflight)
        self.assertFalse(self.fields(named).is_preflight)
        self.assertFalse(self.fields(method=b"OPTIONS").is_preflight)

    def test_events(self) -> None:
        """The path says so, or the field Accept where the path has another form."""
        none, some = self.fields(), self.fields(b"Accept: text/event-stream")
        for target in (b"/feed.sse", b"/feed.sse/a", b"/feed.sse?x", b"http://a/feed.sse"):
            self.assertTrue(asks_for_events(none, b"GET", target), target)
            self.assertFalse(asks_for_events(none, b"POST", target), target)
            self.assertFalse(asks_for_events(self.fields(b"Upgrade: websocket"), b"GET", target), target)
        for target in (b"/feed", b"/feed/x.sse", b"/feed?/a.sse", b"/"):
            self.assertFalse(asks_for_events(none, b"HEAD", target), target)
            self.assertTrue(asks_for_events(some, b"HEAD", target), target)
        for target in (b"/feed.json", b"/feed.ws", b"/feed.html?x"):
            self.assertFalse(asks_for_events(some, b"GET", target), target)
