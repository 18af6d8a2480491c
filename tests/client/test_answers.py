"""Answers to the polls of a client."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.client.answers import Answer, is_older
from livefeed.client.items import Item, version_of
from livefeed.client.update import State
from livefeed.document.overlaid_pointers import field_value
from livefeed.document.splices import make_splices
from tests.helpers.nesting import DEEP
from tests.helpers.signers import statement_about

A, B = b'{"seats": 42}', b'{"seats": 43}'


class AnswerTests(SynchronousTestCase):
    """The fields, and the document that an answer makes."""

    def test_fields(self) -> None:
        """The fields are those of the protocol; the age of a cache is added."""
        answer = Answer(
            200,
            {
                "livefeed-version": version_of(A),
                "livefeed-sequence": "7.1",
                "livefeed-state": "held",
                "livefeed-age": "2",
                "age": "3",
                "livefeed-next": "750",
                "livefeed-at": "2026-11-23T20:15:07.004Z",
                "retry-after": "5",
                "etag": '"other-gzip"',
            },
        )
        self.assertEqual((answer.version, answer.sequence, answer.state), (version_of(A), "7.1", State.HELD))
        self.assertEqual((answer.age_ms, answer.next_ms, answer.retry_after_s), (5000, 750, 5))
        self.assertEqual((answer.tag, answer.at), (f'"{version_of(A)}"', "2026-11-23T20:15:07.004Z"))

    def test_fields_of_others(self) -> None:
        """A server that is no livefeed has a tag at most, and its document is never called live."""
        answer = Answer(200, {"etag": 'W/"1"', "livefeed-version": "x", "livefeed-next": "-1", "retry-after": "Mon"})
        self.assertEqual((answer.version, answer.tag, answer.state), (None, 'W/"1"', State.UNKNOWN))
        self.assertEqual((answer.next_ms, answer.retry_after_s, answer.age_ms, answer.at), (None, None, None, None))
        self.assertIsNone(Answer(200, {"etag": "x" * 300}).tag)

    def test_no_document(self) -> None:
        """A page, and what is no JSON, is no document, unless the server names its version as livefeed does."""
        html, version = b"<!doctype html>", {"livefeed-version": version_of(A)}
        for status, fields, content, why in (
            (200, {"content-type": "text/html; charset=utf-8"}, html, "is a page, not a document"),
            (200, {"content-type": "Text/HTML"}, b"{", "is a page, not a document"),
            (200, {}, html, "is not a document in JSON"),
            (200, {"content-type": "application/json"}, b"", "is not a document in JSON"),
        ):
            answer = Answer(status, fields, content)
            self.assertEqual(
                answer.why_no_document("http://h/a/b"),
                f"http://h/a/b {why}: name the feed, such as http://h/feed",
            )
        self.assertIn("such as http://h/feed", Answer(200, {}, html).why_no_document("http://h/"))
        for status, fields, content in (
            (200, version, A),
            (200, {"content-type": "text/plain"}, A),
            (200, {"content-type": "text/html"}, A),
            (200, {}, DEEP),
            (304, {}, b""),
        ):
            self.assertEqual(Answer(status, fields, content).why_no_document("http://h/"), "")

    def test_state_of_a_later_release(self) -> None:
        """Its name is kept, for a message to the reader."""
        self.assertEqual(Answer(200, {"livefeed-state": "paused"}).unknown_state, "paused")
        self.assertEqual(Answer(200, {"livefeed-state": "held"}).unknown_state, "")

    def test_lifetime(self) -> None:
        """The age of a cache has used it up in part, or as a whole."""
        for fields, expected in (({}, 5000), ({"age": "3"}, 2000), ({"age": "9"}, 0)):
            self.assertEqual(Answer(200, {"livefeed-lifetime": "5000", **fields}).lifetime_ms, expected)
        self.assertIsNone(Answer(200, {"age": "3"}).lifetime_ms)

    def test_signed_statement(self) -> None:
        """It is read, and not verified yet."""
        signed = statement_about(A)
        fields = {name.decode().lower(): value.decode() for name, value in signed.fields()}
        self.assertEqual(Answer(200, fields).signed, signed)
        self.assertIsNone(Answer(200, {}).signed)

    def test_reason_and_waiting(self) -> None:
        """The reason is a percent-encoded string; one that is broken is none. A cache adds its age to the waiting."""
        fields = {"livefeed-reason": r'"W%C3%A4hler \"a\\b\" 20 %25"', "livefeed-waiting": "5", "age": "3"}
        answer = Answer(200, fields)
        self.assertEqual((answer.reason, answer.waiting_ms), ('Wähler "a\\b" 20 %', 8000))
        for wrong in ("", "x", '"', '"a', 'a"', '"a"b"', '"é"', r'"\n"', '"' + "a" * 2401 + '"'):
            self.assertEqual(Answer(200, {"livefeed-reason": wrong}).reason, "", wrong)
        self.assertEqual(Answer(200, {"livefeed-reason": '"' + "a" * 300 + '"'}).reason, "a" * 200)
        self.assertEqual(Answer(200, {"livefeed-reason": '"%FF%ZZ"'}).reason, "\ufffd%ZZ")
        self.assertIsNone(Answer(200, {"livefeed-waiting": "-1", "age": "3"}).waiting_ms)

    def test_overlaid_values(self) -> None:
        """They are a list of percent-encoded strings; a wrong one stands for the whole document."""
        for field, expected in (
            ("", ()),
            ('"/a"', ("/a",)),
            ('"/caf%C3%A9%2C%22" , ""', ('/café,"', "")),
            ("x", ("",)),
            ('"/a",', ("",)),
            (",".join(['"/a"'] * 257), ("",)),
        ):
            self.assertEqual(Answer(200, {"livefeed-overlay": field}).overlay, expected, field)
        self.assertEqual(Answer(200, {}).overlay, ())
        pointers = ["/a", '/é, "']
        field = field_value(pointers).decode()
        self.assertEqual(Answer(200, {"livefeed-overlay": field}).overlay, tuple(sorted(pointers, reverse=True)))

    def test_reason_of_an_error(self) -> None:
        """The detail of a problem is shown, and nothing else of the content."""
        fields = {"content-type": "application/problem+json"}
        self.assertEqual(Answer(404, fields, b'{"detail": "There is nothing."}').detail, "There is nothing.")
        for content in (b"[", b"[]", b'{"detail": 1}'):
            self.assertEqual(Answer(404, fields, content).detail, "")
        self.assertEqual(Answer(404, {}, b'{"detail": "x"}').detail, "")

    def test_page_of_an_error(self) -> None:
        """Only a page of the same server that livefeed may have is named."""
        fields = {"content-type": "application/problem+json"}
        self.assertEqual(Answer(404, fields, b'{"type": "/-/problems/not-found"}').page, "/-/problems/not-found")
        for kind in (
            b'"about:blank"',
            b'"https://evil.example/"',
            b'"/-/problems/../x"',
            b'"/-/problems/\\u001b[1m"',
            b"1",
        ):
            self.assertEqual(Answer(404, fields, b'{"type": %b}' % kind).page, "", kind)
        self.assertEqual(Answer(404, {}, b'{"type": "/-/problems/not-found"}').page, "")

    def test_splices(self) -> None:
        """Splices apply to the version that the client has, and to no other."""
        item = Item(None)
        item.hold(A, None, sequence=None)
        fields = {"im": "livefeed-splices", "delta-base": f'"{version_of(A)}"', "livefeed-version": version_of(B)}
        content = make_splices(A, B)
        self.assertEqual(Answer(226, fields, content).document(item, 99), B)
        for wrong in ({"im": "json-patch"}, {"delta-base": f'"{version_of(B)}"'}, {"livefeed-version": ""}):
            self.assertIsNone(Answer(226, fields | wrong, content).document(item, 99), wrong)
        for text in (b"{", b"[9999]", b"{}"):
            self.assertIsNone(Answer(226, fields, text).document(item, 99))
        self.assertIsNone(Answer(226, fields, content).document(item, 5))

    def test_order(self) -> None:
        """Only sequences of one epoch can show that an answer is old."""
        for sequence, known, older in (
            ("7.1", "7.2", True),
            ("7.10", "7.9", False),
            ("6.1", "7.2", False),
            ("7.2", "7.2", False),
            (None, "7.2", False),
            ("7.2", None, False),
        ):
            self.assertIs(is_older(sequence, known), older)
