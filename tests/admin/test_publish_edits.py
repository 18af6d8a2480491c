"""The edits of a stored document, each on the view that a commit gives it."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.admin.publish_edits import (
    JSON_PATCH,
    MERGE_PATCH,
    Conditions,
    EditRefusedError,
    deletion,
    patching,
    replacement,
)
from livefeed.document.snapshot import version_of
from livefeed.document.stored_write import StoredWrite
from livefeed.storage.store import UNCHANGED, View

STORED = b'{"votes": 1.50, "open": true}'
MAX_BYTES = 64


def view(data: bytes | None = STORED) -> View:
    """Gives the view of a store whose newest write is a document, or the deletion of one."""
    return View(StoredWrite.of(data, 7, 1e9), lambda _: b"")


EMPTY = View(None, lambda _: b"")


class EditsTestCase(SynchronousTestCase):
    def refusal(self, edit: object, *arguments: object) -> tuple[int, str]:
        """Gives the status and the message of an edit that is refused."""
        assert callable(edit)
        error = self.assertRaises(EditRefusedError, edit, *arguments)
        return error.kind.status, str(error)


class ConditionsTests(EditsTestCase):
    TAG = b'"%b"' % version_of(STORED).encode()

    def conditions(self, if_match: bytes | None = None, if_none_match: bytes | None = None) -> Conditions:
        found = Conditions.of(if_match, if_none_match)
        assert found is not None
        return found

    def test_none(self) -> None:
        """A request without conditions holds for each view."""
        for each in (EMPTY, view(), view(None)):
            self.conditions().check(each)

    def test_if_match(self) -> None:
        """It holds for the document with one of the tags, and for each document with an asterisk."""
        for value in (self.TAG, b'"other", ' + self.TAG, b"*"):
            self.conditions(value).check(view())
            for nothing in (EMPTY, view(None)):
                status, why = self.refusal(self.conditions(value).check, nothing)
                self.assertEqual(status, 412)
                self.assertIn("there is no document", why)
        for value in (b'"other"', b"W/" + self.TAG):
            status, why = self.refusal(self.conditions(value).check, view())
            self.assertEqual(status, 412)
            self.assertIn("another one is stored", why)

    def test_if_none_match(self) -> None:
        """It holds while the document is another one, with an asterisk while there is none."""
        for value in (self.TAG, b"*", b"W/" + self.TAG):
            self.assertEqual(self.refusal(self.conditions(None, value).check, view())[0], 412)
            for nothing in (EMPTY, view(None)):
                self.conditions(None, value).check(nothing)
        self.conditions(None, b'"other"').check(view())

    def test_malformed(self) -> None:
        """A field that cannot be understood protects nothing, so the request must not be carried out."""
        for value in (b"other", b'"a', b'"a" "b"', b'"a",*'):
            self.assertIsNone(Conditions.of(value, None), value)
            self.assertIsNone(Conditions.of(None, value), value)


class ReplacementTests(EditsTestCase):
    def test_document(self) -> None:
        """The bytes are stored as they are, unless they are stored already."""
        for each in (EMPTY, view(), view(None)):
            self.assertEqual(replacement(b'{"votes":2.00}', MAX_BYTES)(each), b'{"votes":2.00}')
        self.assertIs(replacement(STORED, MAX_BYTES)(view()), UNCHANGED)

    def test_what_may_not_be_served(self) -> None:
        """It is refused with the gate's words, as a sentence."""
        for data, why in ((b"{", "The document is not JSON"), (b"[%b]" % (b" " * 64), "more than 64 bytes")):
            status, text = self.refusal(replacement(data, MAX_BYTES), view())
            self.assertEqual(status, 422)
            self.assertIn(why, text)
            self.assertTrue(text.endswith("."))


class PatchingTests(EditsTestCase):
    def test_merge_patch(self) -> None:
        """Members are replaced, added and removed, and the others keep the text of their numbers (RFC 7396)."""
        edit = patching(MERGE_PATCH, b'{"open": null, "title": "a"}', MAX_BYTES)
        self.assertEqual(edit(view()), b'{"votes":1.50,"title":"a"}')

    def test_json_patch(self) -> None:
        """Operations are done in order (RFC 6902)."""
        edit = patching(JSON_PATCH, b'[{"op": "replace", "path": "/votes", "value": 2.0}]', MAX_BYTES)
        self.assertEqual(edit(view()), b'{"votes":2.0,"open":true}')

    def test_nothing_to_change(self) -> None:
        """Only PUT stores a document where there is none."""
        for nothing in (EMPTY, view(None)):
            self.assertEqual(self.refusal(patching(MERGE_PATCH, b"{}", MAX_BYTES), nothing)[0], 404)

    def test_result_that_is_stored_already(self) -> None:
        """It is not written again."""
        compact = b'{"votes":1.50}'
        self.assertIs(patching(MERGE_PATCH, b"{}", MAX_BYTES)(view(compact)), UNCHANGED)

    def test_errors(self) -> None:
        """Bytes that are no patch are another error than a patch that cannot be applied."""
        for kind, patch, status in (
            (MERGE_PATCH, b"{", 400),
            (JSON_PATCH, b'{"op": "remove"}', 400),
            (JSON_PATCH, b'[{"op": "remove", "path": "/nothing"}]', 422),
            (JSON_PATCH, b'[{"op": "test", "path": "/votes", "value": 2}]', 422),
            (MERGE_PATCH, b'{"title": "%b"}' % (b"x" * 64), 422),
        ):
            found, why = self.refusal(patching(kind, patch, MAX_BYTES), view())
            self.assertEqual(found, status, why)


class DeletionTests(EditsTestCase):
    def test_deletion(self) -> None:
        """There must be a document."""
        self.assertIsNone(deletion(view()))  # type: ignore[func-returns-value]
        for nothing in (EMPTY, view(None)):
            self.assertEqual(self.refusal(deletion, nothing)[0], 404)
