"""Merge patches, and the bounds of all patches of publishers."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.exact_json import DeltaError
from livefeed.document.merge_patch import (
    MAX_OPERATIONS,
    MalformedPatchError,
    apply_bounded_patch,
    apply_merge_patch,
)

EXAMPLES = (
    (b'{"a":"b"}', b'{"a":"c"}', b'{"a":"c"}'),
    (b'{"a":"b"}', b'{"b":"c"}', b'{"a":"b","b":"c"}'),
    (b'{"a":"b"}', b'{"a":null}', b"{}"),
    (b'{"a":"b","b":"c"}', b'{"a":null}', b'{"b":"c"}'),
    (b'{"a":["b"]}', b'{"a":"c"}', b'{"a":"c"}'),
    (b'{"a":"c"}', b'{"a":["b"]}', b'{"a":["b"]}'),
    (b'{"a":{"b":"c"}}', b'{"a":{"b":"d","c":null}}', b'{"a":{"b":"d"}}'),
    (b'{"a":[{"b":"c"}]}', b'{"a":[1]}', b'{"a":[1]}'),
    (b'["a","b"]', b'["c","d"]', b'["c","d"]'),
    (b'{"a":"b"}', b'["c"]', b'["c"]'),
    (b'{"a":"foo"}', b"null", b"null"),
    (b'{"a":"foo"}', b'"bar"', b'"bar"'),
    (b'{"e":null}', b'{"a":1}', b'{"e":null,"a":1}'),
    (b"[1,2]", b'{"a":"b","c":null}', b'{"a":"b"}'),
    (b"{}", b'{"a":{"bb":{"ccc":null}}}', b'{"a":{"bb":{}}}'),
)
"""The examples of RFC 7396, appendix A: document, patch and result."""


class MergePatchTests(SynchronousTestCase):
    """RFC 7396."""

    def test_examples_of_the_rfc(self) -> None:
        """All results are those of the appendix."""
        for document, patch, result in EXAMPLES:
            self.assertEqual(apply_merge_patch(document, patch, max_bytes=1000), result, (document, patch))

    def test_numbers_are_exact(self) -> None:
        """Numbers keep their text, and members their order."""
        document = b'{"b": 1.50, "a": 12345678901234567890123, "c": {"x": -0}}'
        self.assertEqual(
            apply_merge_patch(document, b'{"c":{"y":1e400}}', max_bytes=1000),
            b'{"b":1.50,"a":12345678901234567890123,"c":{"x":-0,"y":1e400}}',
        )

    def test_wrong_patches(self) -> None:
        """A patch that is no JSON is told from one that does not fit."""
        for patch in (b"", b"{", b"\xff", b'{"a":NaN}', b"[" * 100_000):
            with self.assertRaises(MalformedPatchError, msg=patch[:10]):
                apply_merge_patch(b"{}", patch, max_bytes=1000)
        with self.assertRaisesRegex(DeltaError, "more than 20 bytes"):
            apply_merge_patch(b'{"a":"0123456789"}', b'{"b":"0123456789"}', max_bytes=20)


class BoundedPatchTests(SynchronousTestCase):
    """RFC 6902, within bounds."""

    def test_operations(self) -> None:
        """A patch is applied as a whole, or not at all."""
        patch = b'[{"op":"test","path":"/a","value":1},{"op":"add","path":"/b","value":[2.0]}]'
        self.assertEqual(apply_bounded_patch(b'{"a":1.0}', patch, max_bytes=1000), b'{"a":1.0,"b":[2.0]}')
        with self.assertRaisesRegex(DeltaError, "operation 0 .* not what the test expects"):
            apply_bounded_patch(b'{"a":3}', patch, max_bytes=1000)

    def test_wrong_patches(self) -> None:
        """Whatever is no array of operations is malformed, and so are too many of them."""
        many = json.dumps([{"op": "test", "path": "", "value": {}}] * (MAX_OPERATIONS + 1)).encode()
        for patch in (b"{}", b"1", b"[", many):
            with self.assertRaises(MalformedPatchError, msg=patch[:10]):
                apply_bounded_patch(b"{}", patch, max_bytes=1000)

    def test_doubling(self) -> None:
        """Copies that would fill the memory are refused before the document is written out."""
        patch = [{"op": "add", "path": "", "value": ["0123456789"]}]
        patch += [{"op": "copy", "from": "", "path": "/-"}] * 64
        with self.assertRaisesRegex(DeltaError, "more than 1000000 bytes"):
            apply_bounded_patch(b"{}", json.dumps(patch).encode(), max_bytes=1_000_000)
