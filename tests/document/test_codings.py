"""Content codings, their negotiation, and WebSocket framing."""

from __future__ import annotations

import gzip
import re
import zlib
from itertools import permutations
from typing import TYPE_CHECKING

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from livefeed.document.codings import (
    MAX_MEMBERS,
    MAX_PARAMETERS,
    choose_coding,
    coding_ranks,
    compress,
    deflate_around,
    deflate_message,
    websocket_payload,
    websocket_text_frame,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

CODINGS = ("zstd", "br", "gzip")


@st.composite
def accept_encodings(draw: st.DrawFn) -> tuple[bytes, dict[str, float]]:
    """Field values, each with its weights; no coding occurs twice."""
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


def decode_frame(data: bytes) -> Frame:
    """Reads one unmasked frame with another implementation, and checks that no bytes are left over."""
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    parsing = Frame.parse(reader.read_exact, mask=False, max_size=None)
    try:
        next(parsing)
    except StopIteration as stop:
        frame = stop.value
    else:
        raise AssertionError("the frame is cut short")
    assert isinstance(frame, Frame)
    assert not reader.buffer
    return frame


class CompressTests(SynchronousTestCase):
    """compress."""

    @settings(deadline=None)
    @given(st.binary(max_size=4096))
    def test_gzip_round_trip(self, data: bytes) -> None:
        """Any gzip reader gives back the document's bytes."""
        self.assertEqual(gzip.decompress(compress(data).gzip), data)

    @settings(deadline=None)
    @given(st.binary(max_size=4096))
    def test_message_round_trip(self, data: bytes) -> None:
        """A message is read without any before it, once the omitted bytes are put back (RFC 7692, 7.2.2)."""
        message = compress(data).message
        self.assertEqual(zlib.decompressobj(-15).decompress(message + b"\x00\x00\xff\xff"), data)

    def test_gzip_has_no_time_stamp(self) -> None:
        """Equal documents have equal encodings on every worker, so the header's MTIME is zero (RFC 1952, 2.3.1)."""
        self.assertEqual(compress(b"{}" * 100).gzip[4:8], bytes(4))

    def test_both_forms_are_small(self) -> None:
        """Repetitions are compressed, not only wrapped."""
        compressed = compress(b'{"votes": 0}' * 100)
        self.assertLess(len(compressed.gzip), 100)
        self.assertLess(len(compressed.message), 100)


class ChooseCodingTests(SynchronousTestCase):
    """choose_coding."""

    @settings(deadline=None, max_examples=300)
    @given(accept_encodings(), st.lists(st.sampled_from(CODINGS), unique=True))
    @example((b"*;q=0.5, identity;q=0.5", {"*": 0.5, "identity": 0.5}), ["gzip"])
    def test_agrees_with_the_rfc(self, accept: tuple[bytes, dict[str, float]], available: list[str]) -> None:
        """A generated field gives what a separate reading of RFC 9110 gives."""
        field, weights = accept
        self.assertEqual(choose_coding(field, available), expected_coding(weights, available), field)

    @settings(deadline=None, max_examples=300)
    @given(accept_encodings(), accept_encodings(), st.lists(st.sampled_from(CODINGS), unique=True))
    @example((b"*;q=0.5, identity;q=0.5", {}), (b"gzip, x, br, zstd, identity", {}), ["gzip", "br"])
    def test_fields_of_equal_ranks_choose_the_same(
        self, accept: tuple[bytes, object], other: tuple[bytes, object], available: list[str]
    ) -> None:
        """Equal ranks give equal choices, whichever codings are available; different ranks differ in one."""
        fields = accept[0], other[0]
        if len({coding_ranks(field) for field in fields}) == 1:
            self.assertEqual(choose_coding(fields[0], available), choose_coding(fields[1], available))
        else:
            orders = [list(each) for count in (1, 2) for each in permutations(CODINGS, count)]
            self.assertNotEqual(*([choose_coding(field, order) for order in orders] for field in fields))

    def test_ranks(self) -> None:
        """The ranks are of gzip, zstd and br: 0 for a coding that is never chosen, even if no coding is preferred."""
        for field, ranks in (
            (None, (0, 0, 0)),
            (b"", (0, 0, 0)),
            (b"x-gzip", (1, 0, 0)),
            (b"br, gzip;q=0.1, ZSTD;q=0.15", (1, 2, 3)),
            (b"*;q=0.3, br", (1, 1, 2)),
            (b"gzip;q=0.3, br, identity;q=0.31", (0, 0, 1)),
        ):
            self.assertEqual(coding_ranks(field), ranks)

    @settings(deadline=None)
    @given(st.one_of(st.none(), st.binary(max_size=60), st.text(alphabet="gzip*;q=01., \tidentx-", max_size=40)))
    def test_anything_gives_a_coding_that_exists(self, field: bytes | str | None) -> None:
        """No field value, however malformed, raises or gives an unknown coding."""
        raw = field.encode() if isinstance(field, str) else field
        self.assertIn(choose_coding(raw, ("gzip",)), {"gzip", "identity"})

    def test_absent_field_gives_identity(self) -> None:
        """A client that says nothing may be one that cannot decode."""
        self.assertEqual(choose_coding(None, CODINGS), "identity")

    def test_empty_field_gives_identity(self) -> None:
        """An empty field asks for no coding (RFC 9110, 12.5.3)."""
        self.assertEqual(choose_coding(b"", CODINGS), "identity")

    def test_browser_field(self) -> None:
        """If weights are equal, the server's preference decides, in whatever order the client names the codings."""
        self.assertEqual(choose_coding(b"gzip, deflate, br, zstd", CODINGS), "zstd")
        self.assertEqual(choose_coding(b"gzip, deflate, br, zstd", ("gzip",)), "gzip")

    def test_weight_zero_excludes(self) -> None:
        """q=0 means 'not acceptable', in each of its spellings, and against the asterisk."""
        for field in (b"gzip;q=0", b"gzip;q=0.", b"gzip;q=0.000", b"*, gzip;q=0", b"*;q=0"):
            self.assertEqual(choose_coding(field, ("gzip",)), "identity", field)

    def test_identity_wins_only_where_it_is_preferred(self) -> None:
        """Identity is taken when its weight is greater, and not when it is equal."""
        self.assertEqual(choose_coding(b"gzip;q=0.4, identity;q=0.5", ("gzip",)), "identity")
        self.assertEqual(choose_coding(b"gzip;q=0.5, identity;q=0.5", ("gzip",)), "gzip")

    def test_nothing_acceptable_gives_identity(self) -> None:
        """A document that can probably be read is given instead of a 406."""
        self.assertEqual(choose_coding(b"identity;q=0, deflate", ("gzip",)), "identity")

    def test_x_gzip_is_gzip(self) -> None:
        """The old name is an alias (RFC 9110, 8.4.1.3)."""
        self.assertEqual(choose_coding(b"x-gzip", ("gzip",)), "gzip")

    def test_malformed_weight_is_not_acceptance(self) -> None:
        """A malformed weight (RFC 9110, 12.4.2) does not ask for the coding."""
        for weight in (b"2", b"-1", b"1.5", b"0.0001", b"nan", b"inf", b"1e0", b"", b"0x1", b"1.000\n"):
            self.assertEqual(choose_coding(b"gzip;q=" + weight, ("gzip",)), "identity", weight)

    def test_other_parameters_are_skipped(self) -> None:
        """A parameter that is not the weight changes nothing."""
        self.assertEqual(choose_coding(b"gzip;level=9;q=0", ("gzip",)), "identity")
        self.assertEqual(choose_coding(b"gzip;level=9", ("gzip",)), "gzip")

    def test_long_lists_give_identity(self) -> None:
        """A member beyond the limit may exclude the coding; empty members count as well (RFC 9110, 5.6.1.2)."""
        longest = b"," * (MAX_MEMBERS - 1)
        for field in (longest + b"gzip", b"gzip" + longest, b"gzip, gzip;q=0.5" + longest[1:]):
            self.assertEqual(choose_coding(field, ("gzip",)), "gzip", field)
            self.assertEqual(choose_coding(field + b",", ("gzip",)), "identity", field)
            self.assertEqual(choose_coding(b"," + field, ("gzip",)), "identity", field)

    def test_members_with_many_parameters_are_not_accepted(self) -> None:
        """The weight may be beyond the limit."""
        for before in (b";" * MAX_PARAMETERS, b";x=y" * (MAX_PARAMETERS - 1) + b";"):
            self.assertEqual(choose_coding(b"gzip" + before + b"q=1", ("gzip",)), "gzip", before)
            self.assertEqual(choose_coding(b"gzip;" + before + b"q=1", ("gzip",)), "identity", before)
            self.assertEqual(choose_coding(b"gzip" + before + b"q=1;", ("gzip",)), "identity", before)


class FrameTests(SynchronousTestCase):
    """websocket_text_frame."""

    @settings(deadline=None)
    @given(st.text(max_size=400))
    def test_frame_round_trip(self, text: str) -> None:
        """Another implementation reads one whole text frame with the payload unchanged."""
        frame = decode_frame(websocket_text_frame(text.encode()))
        self.assertEqual(frame.opcode, Opcode.TEXT)
        self.assertEqual(bytes(frame.data), text.encode())
        self.assertTrue(frame.fin)
        self.assertFalse(frame.rsv1 or frame.rsv2 or frame.rsv3)

    @settings(deadline=None)
    @given(st.binary(max_size=4096))
    def test_compressed_frame(self, data: bytes) -> None:
        """One whole text frame with RSV1 alone, whose payload is the message (RFC 7692, 6.1)."""
        message = compress(data).message
        frame = websocket_text_frame(message, compressed=True)
        self.assertEqual(frame[0], 0b1100_0001)
        self.assertEqual(bytes(decode_frame(b"\x81" + frame[1:]).data), message)

    @settings(deadline=None)
    @given(st.binary(max_size=4096))
    def test_end_of_a_message_is_left_out(self, data: bytes) -> None:
        """The empty block at the end is omitted, and the reader puts it back (RFC 7692, 7.2.1)."""
        for message in (compress(data).message, deflate_message(data)):
            self.assertFalse(message.endswith(b"\x00\x00\xff\xff"))
            reader = zlib.decompressobj(-15)
            self.assertEqual(reader.decompress(message), data)
            self.assertEqual(reader.decompress(b"\x00\x00\xff\xff"), b"")

    def test_length_forms(self) -> None:
        """The length is in the shortest of its three forms, at both sides of each limit (RFC 6455, 5.2)."""
        for length, header in (
            (0, b"\x81\x00"),
            (125, b"\x81\x7d"),
            (126, b"\x81\x7e\x00\x7e"),
            (65535, b"\x81\x7e\xff\xff"),
            (65536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
        ):
            payload = b"x" * length
            frame = websocket_text_frame(payload)
            self.assertTrue(re.match(re.escape(header) + b"(x|$)", frame), length)
            self.assertEqual(bytes(decode_frame(frame).data), payload)


class AroundTests(SynchronousTestCase):
    """Messages whose middle is compressed already."""

    @given(st.binary(max_size=300), st.binary(max_size=2000), st.binary(max_size=300))
    def test_inflated_it_is_the_three_one_after_the_other(self, start: bytes, middle: bytes, end: bytes) -> None:
        """This holds for any parts."""
        payload = deflate_around(start, compress(middle).message, end)
        inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(payload + b"\x00\x00\xff\xff")
        self.assertEqual(inflated, start + middle + end)

    def test_payload_of_a_frame(self) -> None:
        """This holds for all three forms of the length."""
        for size in (0, 125, 126, 0xFFFF, 0x10000):
            self.assertEqual(websocket_payload(websocket_text_frame(b"x" * size)), b"x" * size)
