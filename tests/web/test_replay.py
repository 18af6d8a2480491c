"""Replay recognises the same requests as a separate strict parser, and stores a bounded number of answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest import mock

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.transport.answer import MAX_ANSWER_BYTES, Answer, Repeatable, Select
from livefeed.transport.rooms import Room
from livefeed.web import head_checks, replay
from livefeed.web.replay import (
    KEYED,
    MAX_ANSWERS,
    MAX_FIELDS,
    MAX_HEADS,
    MAX_NAME_BYTES,
    MAX_ROOM_KEYS,
    Replay,
    match_head,
)

if TYPE_CHECKING:
    from collections.abc import Hashable

TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
FORBIDDEN = (b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"trailer", b"if-match")
HOST = b"Host: localhost"
BROWSER = (
    b'GET /feed HTTP/1.1\r\nHost: localhost:8443\r\nConnection: keep-alive\r\nsec-ch-ua-platform: "Linux"\r\n'
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\nAccept: */*\r\nOrigin: https://a.example\r\n"
    b"Sec-Fetch-Site: cross-site\r\nReferer: https://a.example/\r\nAccept-Encoding: gzip, deflate, br, zstd\r\n"
    b'Accept-Language: en;q=0.9\r\nIf-None-Match: "abc-gzip"\r\nTEa: x\r\nHostess: x\r\n\r\n'
)

StrictKey = tuple[bytes, bytes, tuple[tuple[bytes, bytes], ...]]


class NotForReplayError(Exception):
    """Replay has no business with a head."""


def require(*conditions: bool) -> None:
    """Raises :class:`NotForReplayError` unless all conditions hold."""
    if not all(conditions):
        raise NotForReplayError


def strict(head: bytes) -> StrictKey | None:
    """Reads a head the slow way; gives method, path and keyed fields, or ``None`` where replay has no business."""
    try:
        return _read(head)
    except NotForReplayError:
        return None


def _read(head: bytes) -> StrictKey:
    require(head.endswith(b"\r\n\r\n"))
    line, *lines = head[:-4].split(b"\r\n")
    require(1 <= len(lines) <= MAX_FIELDS)
    words = line.split(b" ")
    require(len(words) == 3)
    method, target, version = words
    require(method in (b"GET", b"HEAD"), version == b"HTTP/1.1", target.startswith(b"/"))
    require(*(0x21 <= byte <= 0x7E for byte in target))
    keyed: dict[bytes, bytes] = {}
    hosts = []
    for each in lines:
        name, colon, value = each.partition(b":")
        require(bool(colon), 1 <= len(name) <= MAX_NAME_BYTES, *(byte in TOKEN for byte in name))
        require(*(byte == 0x09 or (byte >= 0x20 and byte != 0x7F) for byte in value))
        name = name.lower()
        require(name not in FORBIDDEN, name not in keyed)
        if name == b"host":
            hosts.append(value.strip(b" \t"))
        if name in KEYED:
            keyed[name] = value
    require(len(hosts) == 1, *(_is_host(host) for host in hosts))
    return method, target.partition(b"?")[0], tuple(sorted(keyed.items()))


def _is_host(value: bytes) -> bool:
    """Tells whether this is a name or an address of the usual characters, and perhaps a port."""
    if value.startswith(b"["):
        name, bracket, port = value[1:].partition(b"]")
        good = bool(bracket and name) and all(byte in b"0123456789abcdefABCDEF:." for byte in name)
    else:
        name, colon, port = value.partition(b":")
        port = colon + port
        good = bool(name) and all(byte in b"._-" or (chr(byte).isalnum() and byte < 0x80) for byte in name)
    return good and (not port or (port[:1] == b":" and len(port) <= 6 and (not port[1:] or port[1:].isdigit())))


def head(*lines: bytes, line: bytes = b"GET /feed HTTP/1.1") -> bytes:
    """Gives a head of these lines."""
    return b"".join(each + b"\r\n" for each in (line, *lines, b""))


_names = st.one_of(
    st.sampled_from(
        (
            *KEYED,
            *FORBIDDEN,
            b"host",
            b"x",
            b"hosts",
            b"accept-",
            b"a",
            b"tex",
            b"x" * MAX_NAME_BYTES,
            b"x" * (MAX_NAME_BYTES + 1),
        )
    ),
    st.binary(max_size=3),
    st.text(st.sampled_from([chr(byte) for byte in TOKEN]), min_size=1, max_size=6).map(str.encode),
)
_cased = st.tuples(_names, st.sampled_from((bytes.lower, bytes.upper, bytes.title))).map(lambda pair: pair[1](pair[0]))
_values = st.one_of(
    st.sampled_from((b"", b" ", b"x", b" x", b"localhost", b" a:80", b" [::1]", b"a b", b"\t*/*\t", b"a\x7f", b"\xff")),
    st.binary(max_size=4),
)
_lines = st.one_of(
    st.tuples(_cased, st.sampled_from((b":", b": ", b" :", b"")), _values).map(b"".join),
    st.just(HOST),
    st.sampled_from(
        (b"Accept: */*", b"Accept-Encoding: gzip", b"Origin: null", b" folded", b"x: y", b"a-im: x", b"X:y")
    ),
)
_request_lines = st.one_of(
    st.just(b"GET /feed HTTP/1.1"),
    st.tuples(
        st.sampled_from((b"GET", b"HEAD", b"GET", b"get", b"POST", b"HEADER")),
        st.sampled_from((b" ", b" ", b"  ", b"\t")),
        st.one_of(
            st.sampled_from((b"/", b"/feed", b"/feed?x", b"*", b"http://a/", b"feed")),
            st.binary(max_size=3).map(b"/%s".__mod__),
        ),
        st.sampled_from((b" ", b" ", b"")),
        st.sampled_from((b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"http/1.1", b"HTTP/1.10")),
    ).map(b"".join),
)
_heads = st.builds(
    lambda line, lines, host, place, end: end.join((line, *lines[:place], *host, *lines[place:], b"", b"")),
    _request_lines,
    st.lists(_lines, max_size=6),
    st.sampled_from(((HOST,), (HOST,), (HOST,), ())),
    st.integers(0, 6),
    st.sampled_from((b"\r\n",) * 8 + (b"\n", b"\r\r\n")),
)


class MatchTests(SynchronousTestCase):
    def assert_matches(self, data: bytes) -> tuple[bytes | None, ...]:
        match = match_head(data)
        assert match is not None, data
        return match.groups()

    @given(_heads)
    @settings(deadline=None, max_examples=1500)
    @example(BROWSER)
    def test_heads_are_recognised_as_a_strict_parser_does(self, data: bytes) -> None:
        """No more, or twisted.web might have said something else; no fewer, or it would be asked in vain."""
        self.assertEqual(match_head(data) is not None, strict(data) is not None)

    @given(
        _heads.filter(lambda data: strict(data) is not None),
        st.integers(0, 200),
        st.one_of(st.binary(max_size=2), st.sampled_from((b"\r\n", b"\n", b"\r\n ", b"\0", b":"))),
        st.integers(0, 2),
    )
    @settings(deadline=None, max_examples=500)
    def test_heads_with_something_else_in_them(self, data: bytes, place: int, noise: bytes, cut: int) -> None:
        """One wrong byte anywhere, or one that is missing, is noticed where it matters."""
        place %= len(data) + 1
        data = data[:place] + noise + data[place + cut :]
        self.assertEqual(match_head(data) is not None, strict(data) is not None)

    @given(_heads, _heads, st.lists(_lines, max_size=2), st.lists(_lines, max_size=2))
    @settings(deadline=None, max_examples=500)
    def test_keys_differ_where_method_target_or_a_keyed_field_does(
        self, one: bytes, other: bytes, before: list[bytes], after: list[bytes]
    ) -> None:
        """Keys are equal in all other cases: the remaining fields and their order make no difference."""
        more = one[:-2] + b"".join(line + b"\r\n" for line in (*before, *after)) + b"\r\n"
        for left, right in ((one, other), (one, more)):
            keys, matches = (strict(left), strict(right)), (match_head(left), match_head(right))
            if None not in keys:
                groups = [match.groups() for match in matches if match is not None]
                self.assertEqual(groups[0] == groups[1], keys[0] == keys[1])

    def test_each_keyed_field_is_in_the_key_in_any_case(self) -> None:
        """Each value makes another key, and so does a missing field."""
        for name in KEYED:
            keys = {
                self.assert_matches(head(*lines))
                for lines in ((HOST,), (HOST, name + b": a"), (HOST, name + b": b"), (name + b":", HOST))
            }
            self.assertEqual((name, len(keys)), (name, 4))
            spellings = {self.assert_matches(head(HOST, each + b": a")) for each in (name, name.upper(), name.title())}
            self.assertEqual((name, len(spellings)), (name, 1))

    def test_each_keyed_field_is_there_once_at_most(self) -> None:
        """A head that repeats a keyed field is not recognised, because replay does not combine field lines."""
        for name in KEYED:
            for other in (name, name.upper()):
                self.assertIsNone(match_head(head(name + b": a", HOST, other + b": a")), name)

    def test_forbidden_fields(self) -> None:
        """A head with a body, an upgrade or expectations is not replayed, in any spelling and at any place."""
        for name in FORBIDDEN:
            for spelling in (name, name.upper(), name.title()):
                self.assertIsNone(match_head(head(HOST, spelling + b": 0")), spelling)
                self.assertIsNone(match_head(head(spelling + b":", HOST, b"Accept: */*")), spelling)
            self.assert_matches(head(HOST, name + b"x: 0"))
            self.assert_matches(head(HOST, b"x" + name + b": 0"))

    def test_host_is_there_once_and_well_formed(self) -> None:
        """A head without exactly one well-formed Host is not recognised, as the channel requires, or stricter."""
        for host in (b"a", b"a.example:8443", b"127.0.0.1:1", b"[::1]", b"[::1]:8443", b"a_b-c", b"a:", b" \ta\t "):
            self.assert_matches(head(b"Host:" + host))
        for host in (
            b"",
            b"a b",
            b"a,b",
            b"a/b",
            b"u@a",
            b"a:b",
            b"a:1:2",
            b"a:123456",
            b"[::1",
            b"[]",
            b"[g]",
            b"\xe4",
        ):
            self.assertIsNone(match_head(head(b"Host: " + host)), host)
        for lines in ((), (HOST, HOST), (HOST, b"hOST: localhost"), (b"X-Host: a",), (b"Accept: */*",)):
            self.assertIsNone(match_head(head(*lines)), lines)

    def test_number_of_fields(self) -> None:
        """A hundred, and not one more."""
        fields = [b"X-%d: y" % number for number in range(MAX_FIELDS)]
        self.assert_matches(head(HOST, *fields[:-1]))
        self.assertIsNone(match_head(head(HOST, *fields)))
        self.assertIsNone(match_head(head(*fields, HOST)))

    def test_length_of_names(self) -> None:
        """The channel refuses names that are longer than it likes."""
        self.assertLessEqual(MAX_NAME_BYTES, head_checks.MAX_FIELD_NAME_BYTES)
        for letter in (b"x", b"X", b"a", b"h", b"_", b"1"):
            self.assert_matches(head(HOST, letter * MAX_NAME_BYTES + b": y"))
            self.assertIsNone(match_head(head(HOST, letter * (MAX_NAME_BYTES + 1) + b": y")), letter)

    def test_control_characters(self) -> None:
        """There is no place for any of them but HTAB in a value."""
        for code in (*range(0x20), 0x7F):
            character = bytes([code])
            for data in (
                head(HOST, b"X: a" + character),
                head(HOST, b"Accept: a" + character + b"b"),
                head(b"Host: a" + character + b"b"),
                head(b"Host: a" + character),
                head(b"Host:" + character + b"a"),
                head(HOST, b"X" + character + b": a"),
                head(HOST, line=b"GET /fe" + character + b"ed HTTP/1.1"),
                head(HOST) + character,
                character + head(HOST),
            ):
                self.assertEqual((data, match_head(data) is None), (data, strict(data) is None))
            if code != 0x09:
                self.assertIsNone(match_head(head(HOST, b"X: a" + character)), code)

    def test_more_than_one_request(self) -> None:
        """Heads that are pipelined, incomplete or followed by further bytes are left to twisted.web."""
        whole = head(HOST)
        for data in (whole * 2, whole + b"G", whole[:-1], whole[:-2], whole[1:], b"\r\n" + whole, b"", whole + b"\r\n"):
            self.assertIsNone(match_head(data), data)

    def test_the_largest_heads(self) -> None:
        """A head that fills the read buffer is matched, or found wanting at its very end, in one pass."""
        for filler in (b"x", b"a", b"\t", b":", b"h"):
            data = head(HOST, *((b"X: " + filler * 150,) * 99))
            self.assert_matches(data)
            self.assertIsNone(match_head(data[:-4] + b"\0\r\n\r\n"))
            self.assertIsNone(match_head(head(HOST, filler * 16_000)))


class ReplayTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.replay = Replay()

    def find(self, data: bytes) -> bytes | None:
        answer = self.replay.find(data)
        return None if answer is None else answer.data

    def ask(self, data: bytes, answer: bytes, label: str = "200", select: Select | None = None) -> None:
        """Looks for a head in vain, and stores an answer for it."""
        self.assertIsNone(self.find(data))
        assert self.replay.missed is not None
        self.replay.store(self.replay.missed, answer, Repeatable(label, select))

    def test_what_was_stored_is_found(self) -> None:
        """A stored answer is found by every head with the same key, and by no other."""
        self.ask(head(HOST, b"Accept: */*"), b"first")
        self.ask(head(HOST, b"Accept: text/html"), b"second")
        self.assertEqual(self.find(head(b"X: y", b"accept: */*", b"Host: a", b"Cookie: c")), b"first")
        self.assertEqual(self.find(head(HOST, b"Accept: text/html")), b"second")
        self.assertIsNone(self.find(head(HOST)))
        self.assertIsNone(self.find(head(HOST, b"Accept: */*", line=b"HEAD /feed HTTP/1.1")))
        self.assertIsNone(self.find(head(HOST, b"Accept: */*", line=b"GET /feed/ HTTP/1.1")))

    def test_query_changes_nothing(self) -> None:
        """Clients put the time there to get past caches."""
        self.ask(head(HOST), b"first")
        for query in (b"?", b"?_=1", b"?a?b", b"?/x"):
            self.assertEqual(self.find(head(HOST, line=b"GET /feed%s HTTP/1.1" % query)), b"first")
        self.assertIsNone(self.find(head(HOST, line=b"GET /fee?d HTTP/1.1")))

    def test_what_changes_nothing_is_found(self) -> None:
        """The answer's own function tells what it depends on, for its method and path alone."""
        asked: list[list[bytes | None]] = []

        def select(fields: list[bytes | None]) -> Hashable:
            asked.append(fields)
            return None if fields[0] == b"never" else fields[0] == b"a"

        self.ask(head(HOST, b"Accept: a", b"Origin: first"), b"a", select=select)
        self.assertEqual(asked.pop(), [b"a", None, None, b"first", None, None, None])
        self.assertEqual(self.find(head(HOST, b"Accept: \ta ", b"Prefer: x")), b"a")
        self.assertIsNone(self.find(head(HOST, b"Accept: b")))
        self.ask(head(HOST, b"Accept: c"), b"other", select=select)
        self.assertEqual(self.find(head(HOST, b"Accept: b")), b"other")
        self.assertIsNone(self.find(head(HOST, b"Accept: never")))
        self.assertIsNone(self.find(head(HOST, b"Accept: b", line=b"HEAD /feed HTTP/1.1")))
        self.replay.clear()
        self.assertEqual(dict(self.replay.counts()), {"200": 2})
        self.assertIsNone(self.find(head(HOST, b"Accept: a")))

    def test_variants_are_looked_for_once(self) -> None:
        """A key that was found is known from then on, as far as there is room; each answer counts once."""
        asked: list[object] = []
        self.ask(head(HOST), b"x", select=lambda fields: asked.append(fields) or True)  # type: ignore[func-returns-value]
        asked.clear()
        for number in [*range(MAX_ANSWERS + 50)] * 2:
            self.assertEqual(self.find(head(HOST, b'If-None-Match: "%d"' % number)), b"x")
        self.assertEqual(len(asked), (MAX_ANSWERS - 1) + 2 * 51)
        self.assertEqual(len(self.replay._answers), MAX_ANSWERS)
        self.replay.clear()
        self.assertEqual(dict(self.replay.counts()), {"200": 2 * (MAX_ANSWERS + 50)})

    def test_answer_of_no_variant_is_found_by_its_key_alone(self) -> None:
        """Its function may say that there is nothing to go by."""
        self.ask(head(HOST), b"x", select=lambda _: None)
        self.assertEqual(self.find(head(HOST)), b"x")
        self.assertIsNone(self.find(head(HOST, b"Accept: a")))

    def test_head_that_is_none_has_no_key(self) -> None:
        """No answer may be stored for it, even if another head was missed before."""
        self.find(head(HOST))
        self.assertIsNotNone(self.replay.missed)
        self.assertIsNone(self.find(head(HOST, b"Upgrade: websocket")))
        self.assertIsNone(self.replay.missed)

    def test_clear_forgets(self) -> None:
        """The answers that were found by the whole head are gone as well."""
        self.ask(head(HOST), b"old")
        self.assertEqual(self.find(head(HOST)), b"old")
        self.assertEqual(self.find(head(HOST)), b"old")
        self.replay.clear()
        self.ask(head(HOST), b"new")
        self.assertEqual(self.find(head(HOST)), b"new")

    def test_counts(self) -> None:
        """Each answer that was given again is counted once, by its label; the first was counted where it was made."""
        self.ask(head(HOST), b"x", "a")
        self.ask(head(HOST, b"Accept: */*"), b"y", "a")
        self.ask(head(HOST, b"Origin: null"), b"z", "b")
        self.ask(head(HOST, b"Prefer: x"), b"never found again", "c")
        for extra in ((), (), (b"Accept: */*",), (b"Origin: null",), (b"Origin: null", b"X: y")):
            self.assertIsNotNone(self.find(head(HOST, *extra)))
        self.replay.clear()
        self.assertEqual(dict(self.replay.counts()), {"a": 3, "b": 2})
        self.replay.clear()
        self.assertEqual(dict(self.replay.counts()), {"a": 3, "b": 2})

    def test_what_was_given_to_several_is_counted(self) -> None:
        """The counts include the found answers, and survive every clear()."""
        self.ask(head(HOST), b"x", "a")
        self.assertIsNotNone(self.find(head(HOST)))
        for label, times in (("a", 3), ("b", 2), ("b", 1)):
            waited: list[Any] = [None] * times
            self.replay.answered(Answer(b"", label, False), b"", waited)
        for _ in range(2):
            self.assertEqual(dict(self.replay.counts()), {"a": 4, "b": 3})
            self.replay.clear()

    def test_generations_are_counted(self) -> None:
        """A renderer of an answer can tell from the generation that its answer is outdated."""
        generation = self.replay.generation
        for _ in range(2):
            self.replay.clear()
        self.assertEqual(self.replay.generation, generation + 2)

    def test_one_waits_with_others_only_where_there_are_any(self) -> None:
        """A connection joins if there is a room and the room takes it. clear() leaves the rooms unchanged."""
        connections: list[Any] = [object(), object()]
        room: Any = mock.Mock(spec=Room)
        room.join.side_effect = [True, False]
        self.assertFalse(self.replay.join(b"key", connections[0]))
        self.replay.rooms[b"key"] = room
        self.replay.clear()
        self.assertFalse(self.replay.join(b"other key", connections[0]))
        self.assertEqual([self.replay.join(b"key", each) for each in connections], [True, False])
        self.assertEqual(room.join.call_args_list, [mock.call(each) for each in connections])

    def open_room(self, *lines: bytes, select: Select) -> Any:
        """Opens a room for a request."""
        self.assertIsNone(self.replay.find(head(HOST, *lines)))
        assert self.replay.missed is not None
        room: Any = mock.Mock(spec=Room, key=self.replay.missed, other_keys={}, place=None, host=mock.Mock())
        room.host.select = select
        room.join.return_value = True
        self.replay.open_room(room)
        return room

    def join(self, *lines: bytes, target: bytes = b"/feed") -> bool:
        """Tells whether a request is let in by any room."""
        connection: Any = object()
        self.assertIsNone(self.replay.find(head(HOST, *lines, line=b"GET " + target + b" HTTP/1.1")))
        assert self.replay.missed is not None
        return self.replay.join(self.replay.missed, connection)

    def test_one_waits_with_others_whose_fields_mean_the_same(self) -> None:
        """The meaning of the fields is evaluated once for each spelling; a closed room leaves nothing behind."""
        selected: list[bytes | None] = []

        def select(fields: list[bytes | None]) -> Hashable:
            selected.append(fields[0])
            return None if fields[0] is None else fields[0].lower()

        room = self.open_room(b"Accept: a", select=select)
        for line, let_in in ((b"Accept: A ", True), (b"Accept: b", False), (b"X: y", False)):
            for _ in range(2):
                self.assertEqual((line, self.join(line)), (line, let_in))
        self.assertFalse(self.join(b"Accept: A", target=b"/other"))
        self.assertEqual(selected, [b"a", b"A", b"b", b"b", None, None])
        other = self.open_room(b"Accept: b", select=select)
        self.assertTrue(self.join(b"Accept: B"))
        self.assertEqual((room.join.call_count, other.join.call_count), (2, 1))
        for closing, left in ((other, 2), (room, 0)):
            self.replay.close_room(closing)
            self.assertEqual(len(self.replay.rooms), left)
        self.assertEqual((self.replay.rooms, self.replay._places), ({}, {}))
        self.assertFalse(self.join(b"Accept: a"))

    def test_head_that_waits_is_matched_once(self) -> None:
        """Until there is an answer that it may get, and until answers are forgotten; only few heads are kept."""
        self.open_room(b"Accept: a", select=lambda fields: None)
        found, key = [], self.replay.missed

        def match(data: bytes) -> Any:
            found.append(data)
            return match_head(data)

        self.patch(replay, "match_head", match)
        waiting = head(HOST, b"Accept: a", b"X: y")
        for _ in range(3):
            self.assertIsNone(self.find(waiting))
            self.assertEqual(self.replay.missed, key)
        self.assertEqual(found, [waiting])
        self.replay.clear()
        self.assertIsNone(self.find(waiting))
        self.ask(head(HOST, b"Accept: b"), b"other", "a")
        self.assertIsNone(self.find(waiting))
        assert key is not None
        self.replay.store(key, b"answer", Repeatable("a"))
        self.assertEqual(self.find(waiting), b"answer")
        self.replay.clear()
        found.clear()
        for _ in range(2):
            for number in range(MAX_HEADS + 5):
                self.assertIsNone(self.find(head(HOST, b"Accept: a", b"X: %d" % number)))
        self.assertEqual(len(found), MAX_HEADS + 2 * 5)

    def test_room_that_takes_the_place_of_another(self) -> None:
        """It is found from then on, also by a spelling that has led to the other; the other's end leaves it there."""
        before = self.open_room(b"Accept: a", select=lambda fields: 1)
        self.assertTrue(self.join(b"Accept: b"))
        before.join.return_value = False
        self.assertFalse(self.join(b"Accept: b"))
        after = self.open_room(b"Accept: c", select=lambda fields: 1)
        for _ in range(2):
            self.assertTrue(self.join(b"Accept: b"))
        self.replay.close_room(before)
        self.assertTrue(self.join(b"Accept: b"))
        self.assertTrue(self.join(b"Accept: a"))
        self.assertEqual((before.join.call_count, after.join.call_count), (3, 4))
        self.replay.close_room(after)
        self.assertEqual((self.replay.rooms, self.replay._places), ({}, {}))

    def test_room_of_no_variant_is_found_by_its_key_alone(self) -> None:
        """Every head with the same key finds a room without variants."""
        room = self.open_room(b"Accept: a", select=lambda fields: None)
        self.assertFalse(self.join(b"Accept: b"))
        self.assertTrue(self.join(b"Accept: a"))
        self.replay.close_room(room)
        self.assertEqual((self.replay.rooms, self.replay._places), ({}, {}))

    def test_number_of_keys_of_rooms_is_bounded(self) -> None:
        """Further requests wait there all the same."""
        room = self.open_room(b"Accept: a", select=lambda fields: 1)
        for number in range(MAX_ROOM_KEYS + 5):
            self.assertTrue(self.join(b"Accept: %d" % number))
        self.assertEqual(len(self.replay.rooms), MAX_ROOM_KEYS)
        self.replay.close_room(room)
        self.assertEqual(self.replay.rooms, {})

    def test_end_behind_an_answer_is_kept(self) -> None:
        """With the answer that it was stored with, by whichever way that is found, and with no other."""
        for field, last in ((b"Connection: close", True), (b"Connection: keep-alive", False), (b"Accept: */*", None)):
            self.assertIsNone(self.find(head(HOST, field)))
            assert self.replay.missed is not None
            self.replay.store(self.replay.missed, field, Repeatable("200"), last=bool(last))
        for _ in range(2):
            for lines, last in (
                ((HOST, b"Connection: close"), True),
                ((HOST, b"X: y", b"connection: close"), True),
                ((HOST, b"Connection: keep-alive"), False),
                ((HOST, b"Accept: */*"), False),
            ):
                answer = self.replay.find(head(*lines))
                assert answer is not None
                self.assertIs(answer.last, last, lines)

    def test_large_body_counts_like_any(self) -> None:
        """It may be more than is remembered together with others."""
        body = bytes(MAX_ANSWER_BYTES - 3)
        for name, found in ((b"1", True), (b"2", False)):
            request = head(HOST, b"Accept: " + name)
            self.replay.find(request)
            assert self.replay.missed is not None
            self.replay.store(self.replay.missed, b"xy", Repeatable("200"), body=body)
            answer = self.replay.find(request)
            self.assertEqual(answer is not None and answer.body is body, found)

    def test_number_of_answers_is_bounded(self) -> None:
        """Answers beyond MAX_ANSWERS are rendered for each request; the stored answers are kept."""
        heads = [head(HOST, b"Accept: %d" % number) for number in range(MAX_ANSWERS + 1)]
        for data in heads:
            self.ask(data, b"x")
        self.assertIsNone(self.find(heads[-1]))
        self.assertEqual([self.find(data) for data in heads[:-1]], [b"x"] * MAX_ANSWERS)
        self.replay.clear()
        self.ask(heads[-1], b"x")
        self.assertIsNotNone(self.find(heads[-1]))

    def test_size_of_answers_is_bounded(self) -> None:
        """All of them together; clearing makes room for as many again."""
        for _ in range(2):
            self.ask(head(HOST), bytes(MAX_ANSWER_BYTES - 10))
            self.ask(head(HOST, b"Accept: 1"), bytes(11))
            self.assertIsNone(self.find(head(HOST, b"Accept: 1")))
            self.ask(head(HOST, b"Accept: 2"), bytes(10))
            self.assertEqual(self.find(head(HOST, b"Accept: 2")), bytes(10))
            self.assertIsNotNone(self.find(head(HOST)))
            self.replay.clear()

    def watch_matching(self) -> list[bytes]:
        """Gives the list to which each head that is matched is added."""
        matched: list[bytes] = []

        def match(data: bytes) -> Any:
            matched.append(data)
            return match_head(data)

        self.patch(replay, "match_head", match)
        return matched

    def test_same_head_is_not_matched_again(self) -> None:
        """A look-up does; and it is counted all the same."""
        self.ask(head(HOST), b"x")
        self.assertIsNotNone(self.find(head(HOST)))
        matched = self.watch_matching()
        for _ in range(3):
            self.assertEqual(self.find(head(HOST)), b"x")
        self.assertEqual(matched, [])
        self.replay.clear()
        self.assertEqual(dict(self.replay.counts()), {"200": 4})

    def test_heads_are_remembered_only_while_they_are_few(self) -> None:
        """Where all differ, remembering them is in vain; they are answered by their keys, and the memory is bounded."""
        self.ask(head(HOST), b"x")
        for number in range(MAX_HEADS * 3):
            self.assertEqual(self.find(head(HOST, b"X: %d" % number)), b"x")
        matched = self.watch_matching()
        self.assertEqual(self.find(head(HOST, b"X: 0")), b"x")
        self.assertEqual(matched, [head(HOST, b"X: 0")])
        self.assertLessEqual(len(self.replay._heads), MAX_HEADS)
        self.replay.clear()
        self.assertEqual(dict(self.replay.counts()), {"200": MAX_HEADS * 3 + 1})

    def test_heads_that_are_not_answered_are_not_remembered(self) -> None:
        """Heads that livefeed has not answered are not stored."""
        for number in range(10):
            self.find(head(HOST, b"Accept: %d" % number))
        self.find(b"noise")
        self.assertEqual(self.replay._heads, {})
