"""Any patch of RFC 6902 is applied, or refused with the reason; numbers keep their text."""

from __future__ import annotations

from itertools import permutations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.document.exact_json import DeltaError
from livefeed.document.patch import apply_patch


class ApplyPatchTests(SynchronousTestCase):
    """apply_patch."""

    def assert_gives(self, document: str, patch: str, result: str) -> None:
        self.assertEqual(apply_patch(document.encode(), patch.encode()).decode(), result, patch)

    def assert_refused(self, document: str, patch: str, why: str) -> None:
        error = self.assertRaises(DeltaError, apply_patch, document.encode(), patch.encode())
        self.assertIn(why, str(error))

    def test_rfc_examples_that_can_be_done(self) -> None:
        """The examples of RFC 6902, appendix A: each operation, at each kind of place."""
        for document, patch, result in (
            ('{"x":1}', '[{"op":"add","path":"/y","value":2}]', '{"x":1,"y":2}'),  # A.1
            ('{"x":[1,3]}', '[{"op":"add","path":"/x/1","value":2}]', '{"x":[1,2,3]}'),  # A.2
            ('{"x":1,"y":2}', '[{"op":"remove","path":"/x"}]', '{"y":2}'),  # A.3
            ('{"x":[1,2,3]}', '[{"op":"remove","path":"/x/1"}]', '{"x":[1,3]}'),  # A.4
            ('{"x":1,"y":2}', '[{"op":"replace","path":"/x","value":3}]', '{"x":3,"y":2}'),  # A.5
            ('{"x":{"k":1,"l":2},"y":{}}', '[{"op":"move","from":"/x/k","path":"/y/m"}]', '{"x":{"l":2},"y":{"m":1}}'),
            ("[1,2,3,4]", '[{"op":"move","from":"/1","path":"/3"}]', "[1,3,4,2]"),  # A.6, A.7
            ('{"x":[2,"z"]}', '[{"op":"test","path":"/x/1","value":"z"}]', '{"x":[2,"z"]}'),  # A.8
            ('{"x":1}', '[{"op":"add","path":"/y","value":{"z":{}}}]', '{"x":1,"y":{"z":{}}}'),  # A.10
            ('{"x":1}', '[{"op":"add","path":"/y","value":2,"unknown":3}]', '{"x":1,"y":2}'),  # A.11
            ('{"/":9,"~1":10}', '[{"op":"test","path":"/~01","value":10}]', '{"/":9,"~1":10}'),  # A.14
            ('{"x":[1]}', '[{"op":"add","path":"/x/-","value":[2,3]}]', '{"x":[1,[2,3]]}'),  # A.16
        ):
            self.assert_gives(document, patch, result)

    def test_rfc_examples_that_cannot_be_done(self) -> None:
        """A test that fails, a missing place, a number that is no string (RFC 6902, A.9, A.12 and A.15)."""
        self.assert_refused('{"x":"y"}', '[{"op":"test","path":"/x","value":"z"}]', "not what the test expects")
        self.assert_refused('{"x":1}', '[{"op":"add","path":"/y/z","value":2}]', "there is no '/y'")
        self.assert_refused('{"~1":10}', '[{"op":"test","path":"/~01","value":"10"}]', "not what the test expects")

    def test_whole_document(self) -> None:
        """The empty pointer is the document, which can be changed by all operations except a removal."""
        self.assert_gives("[1]", '[{"op":"replace","path":"","value":-0}]', "-0")
        self.assert_gives("null", '[{"op":"add","path":"","value":"x"}]', '"x"')
        self.assert_gives('{"a":[1]}', '[{"op":"move","from":"/a","path":""}]', "[1]")
        self.assert_gives('{"a":[1]}', '[{"op":"copy","from":"","path":"/b"}]', '{"a":[1],"b":{"a":[1]}}')
        self.assert_gives("[]", '[{"op":"move","from":"","path":""},{"op":"test","path":"","value":[]}]', "[]")
        self.assert_refused("1", '[{"op":"remove","path":""}]', "cannot be removed")

    def test_copies_are_apart(self) -> None:
        """A change of a copy does not change the original, nor the other way round."""
        steps = [
            '{"op":"add","path":"/a/x","value":{"n":1}}',
            '{"op":"copy","from":"/a","path":"/b"}',
            '{"op":"replace","path":"/b/x/n","value":2}',
            '{"op":"copy","from":"/b","path":"/c"}',
            '{"op":"replace","path":"/b/x/n","value":3}',
        ]
        self.assert_gives('{"a":{}}', f"[{','.join(steps)}]", '{"a":{"x":{"n":1}},"b":{"x":{"n":3}},"c":{"x":{"n":2}}}')

    def test_move_onto_itself(self) -> None:
        """It changes nothing, but the value must exist; no value can be moved into itself."""
        self.assert_gives('{"a":1}', '[{"op":"move","from":"/a","path":"/a"}]', '{"a":1}')
        self.assert_gives('{"a":1}', '[{"op":"move","from":"/a","path":"/ab"}]', '{"ab":1}')
        self.assert_gives("[1,2]", '[{"op":"move","from":"/0","path":"/-"}]', "[2,1]")
        self.assert_refused("{}", '[{"op":"move","from":"/a","path":"/a"}]', "no '/a'")
        self.assert_refused('{"a":{}}', '[{"op":"move","from":"/a","path":"/a/b"}]', "into itself")

    def test_numbers_are_tested_by_value(self) -> None:
        """A test compares numbers as numbers (RFC 6902, 4.6), at any size and at any depth."""
        for one, other in (("1", "1.0"), ("1e400", "10e399"), ("-0", "0"), ("1.50", "15e-1")):
            self.assert_gives(
                f'{{"a":[{one}]}}', f'[{{"op":"test","path":"","value":{{"a":[{other}]}}}}]', f'{{"a":[{one}]}}'
            )
        for one, other in (("1", "true"), ("1", '"1"'), ("1e400", "1e401"), ("1", f"1e{'9' * 30}"), ("0", "null")):
            self.assert_refused(one, f'[{{"op":"test","path":"","value":{other}}}]', "expects")
        self.assert_refused("[1]", '[{"op":"test","path":"","value":[1,1]}]', "expects")
        self.assert_refused('{"a":1}', '[{"op":"test","path":"","value":{"b":1}}]', "expects")

    def test_values_of_different_kinds_differ(self) -> None:
        """It fails whichever of the two the test expects."""
        values = ("{}", "[]", '"a"', "1", "null", '{"a":1}', "[1]")
        for one, other in permutations(values, 2):
            self.assert_refused(one, f'[{{"op":"test","path":"","value":{other}}}]', "expects")

    def test_places_that_are_not_there(self) -> None:
        """A value that does not exist cannot be removed, replaced, read or passed."""
        for operation in ('"remove"', '"replace","value":1', '"test","value":1', '"add","value":1'):
            for path in ("/b/c", "/a/3/x", "/a/-/x", "/a/0/x", "/s/x"):
                self.assertRaises(
                    DeltaError,
                    apply_patch,
                    b'{"a":[1,2,3],"s":"t"}',
                    f'[{{"op":{operation},"path":"{path}"}}]'.encode(),
                )
        for path in ("/4", "/01", "/-1", "/+1", "/x", "/", "/1e0"):
            self.assert_refused("[1,2,3]", f'[{{"op":"add","path":"{path}","value":1}}]', "no place in its array of 3")
        for path in ("/3", "/-", "/00"):
            self.assert_refused("[1,2,3]", f'[{{"op":"remove","path":"{path}"}}]', f"no '{path}'")

    def test_malformed_patches(self) -> None:
        """The message names the operation and the error."""
        good = '{"op":"test","path":"","value":{}}'
        for operation, why in (
            ("1", "not an object"),
            ('{"path":""}', "its op is missing"),
            ('{"op":"spam","path":""}', "none of RFC 6902"),
            ('{"op":1.50,"path":""}', "none of RFC 6902"),
            ('{"op":"add","value":1}', "its path is missing"),
            ('{"op":"add","path":1,"value":1}', "no string"),
            ('{"op":"add","path":"a","value":1}', "does not begin with a slash"),
            ('{"op":"add","path":"/~2","value":1}', "~0"),
            ('{"op":"add","path":"/a"}', "no value"),
            ('{"op":"move","path":"/a"}', "its from is missing"),
        ):
            self.assert_refused("{}", f"[{good},{operation}]", "operation 1 of the patch")
            self.assert_refused("{}", f"[{good},{operation}]", why)
        self.assert_refused("{}", "{}", "not an array")
        self.assert_refused("{}", "[", "not JSON")
        self.assert_refused("{", "[]", "not JSON")

    def test_long_path_is_shortened_in_the_message(self) -> None:
        """A patch cannot fill the log."""
        error = self.assertRaises(DeltaError, apply_patch, b"{}", b'[{"op":"remove","path":"/%b"}]' % (b"x" * 9999))
        self.assertLess(len(str(error)), 200)

    def test_numbers_and_strings_stay(self) -> None:
        """Values that no operation names keep their text."""
        document = '{"n":[1.50,-0,1e400,12345678901234567890],"s":"é😀"}'
        self.assert_gives(document, "[]", document)
