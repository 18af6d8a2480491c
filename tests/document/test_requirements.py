"""Values that must be there, and values that must be one of some."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.requirements import MAX_LISTED, MustBe, Required
from livefeed.document.rule_checks import Documents
from livefeed.document.selectors import parse_selector
from tests.helpers.nesting import DEEP

if TYPE_CHECKING:
    from livefeed.document.rule_checks import Check, Refusal


def refused(check: Check, candidate: bytes) -> list[Refusal]:
    """Gives what a check refuses of a document; the one that is shown makes no difference."""
    refusals = list(check.refusals(Documents(None, candidate), has_passed=False))
    assert refusals == list(check.refusals(Documents(b'{"other": 1}', candidate), has_passed=False))
    return refusals


def required(*texts: str) -> Required:
    return Required(tuple(map(parse_selector, texts)))


def must_be(text: str, *values: bytes) -> MustBe:
    return MustBe((parse_selector(text),), values)


class RequiredTests(SynchronousTestCase):
    """Required."""

    def test_present(self) -> None:
        """Any value but null is there, also an empty one."""
        for value in (b"0", b"false", b'""', b"[]", b"{}"):
            self.assertEqual(refused(required("/a"), b'{"a": %b}' % value), [])

    def test_absent(self) -> None:
        """A missing value and a null are refused, in the order of the selectors."""
        refusals = refused(required("/b", "/a", "/c/d"), b'{"a": null, "c": 1}')
        self.assertEqual([each.pointer for each in refusals], ["/b", "/a", "/c/d"])
        self.assertEqual([each.why for each in refusals], ["/b is missing", "/a is null", "/c/d is missing"])
        self.assertEqual([each.value for each in refusals], [b"", b"null", b""])

    def test_each_element(self) -> None:
        """Each element needs the value, and elements need the name by which they are known."""
        refusals = refused(required("/d/{n=*}/v"), b'{"d":[{"n":"z"},{"n":"b","v":1},{"v":1},{"n":"a","v":null}]}')
        self.assertEqual([each.pointer for each in refusals], ["/d/{n=*}/v", "/d/{n=a}/v", "/d/{n=z}/v"])

    def test_empty_list(self) -> None:
        """A star names one value at least: a list without elements is what a broken exporter gives."""
        (refusal,) = refused(required("/d/*/v"), b'{"d": []}')
        self.assertEqual((refusal.pointer, refusal.why), ("/d/*/v", "/d/*/v names nothing: the list is empty"))

    def test_difference(self) -> None:
        """If the shown document has passed, only the difference is looked at, and the list if it may be empty."""
        check = required("/d/{n=*}/v")
        for shown, candidate, pointers in (
            (b'{"d":[{"n":1,"v":1}]}', b'{"d":[{"n":1,"v":2},{"n":2}]}', ["/d/{n=2}/v"]),
            (b'{"d":[{"n":1,"v":1},{"n":2,"v":1}]}', b'{"d":[{"n":2,"v":1}]}', []),
            (b'{"d":[{"n":1,"v":1}]}', b'{"d":[]}', ["/d/{n=*}/v"]),
            (b'{"d":[{"n":1,"v":1}]}', b'{"d":[{"n":1,"v":1}],"x":1}', []),
        ):
            refusals = check.refusals(Documents(shown, candidate), has_passed=True)
            self.assertEqual([each.pointer for each in refusals], pointers)

    def test_useless_documents(self) -> None:
        """null, an empty object and a document that cannot be read are refused."""
        for data in (b"null", b"{}", b"[]", DEEP):
            self.assertEqual(len(refused(required("/0/v"), data)), 1)

    def test_text(self) -> None:
        """It is described by its kind and its pointers."""
        self.assertEqual(str(required("/a", "/b/*")), "required /a, /b/*")

    def test_same(self) -> None:
        """A missing value is still missing; it is not the same if it has become null."""
        check = required("/a")
        self.assertEqual((check.kind, check.cost), ("required", 0))
        self.assertTrue(check.is_same(b"", b""))
        self.assertFalse(check.is_same(b"", b"null"))


class MustBeTests(SynchronousTestCase):
    """MustBe."""

    def test_values(self) -> None:
        """Numbers are compared by value, and everything else exactly."""
        check = must_be("/a", b"1", b'"live"', b'{"x":[true,null]}')
        for value in (b"1", b"1.0", b"10e-1", b'"live"', b'"l\\u0069ve"', b'{ "x" : [true, null] }'):
            self.assertEqual(refused(check, b'{"a": %b}' % value), [], value)
        for value in (b"2", b"true", b'"1"', b'"Live"', b"null", b'{"x":[true]}', b"1e99999999999999999999"):
            (refusal,) = refused(check, b'{"a": %b}' % value)
            self.assertEqual((refusal.pointer, refusal.value), ("/a", value))

    def test_sentence(self) -> None:
        """It names the value and the possible ones, but not too many."""
        (refusal,) = refused(must_be("/a", b'"live"', b'"over"'), b'{"a": "test"}')
        self.assertEqual(refusal.why, '/a is "test", and must be "live" or "over"')
        self.assertEqual(str(must_be("/a", b"1", b"true")), "must_be /a: 1 or true")
        (refusal,) = refused(must_be("", *(b"%d" % n for n in range(20))), b"null")
        self.assertIn("the document is null, and must be 0 or 1", refusal.why)
        self.assertIn(f"or one of {20 - MAX_LISTED} more values", refusal.why)

    def test_missing(self) -> None:
        """A value that is missing is none of them."""
        (refusal,) = refused(must_be("/a", b"1"), b"{}")
        self.assertEqual(refusal.why, "/a is missing")

    def test_deep_values(self) -> None:
        """A value and a document that are nested too deeply are refused, and raise nothing."""
        self.assertEqual(len(refused(must_be("", b"1"), DEEP)), 1)
        self.assertEqual(len(refused(must_be("/0", b"1"), DEEP)), 1)

    def test_same(self) -> None:
        """Only the same value."""
        check = must_be("/a", b"1")
        self.assertEqual((check.kind, check.cost), ("must_be", 0))
        self.assertTrue(check.is_same(b"2", b"2"))
        self.assertFalse(check.is_same(b"2", b"3"))
