"""The list of the feeds of a livefeed."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.client.feed_list import paths_in


class PathTests(SynchronousTestCase):
    """paths_in."""

    def test_paths(self) -> None:
        """They are given in the order of the list."""
        self.assertEqual(paths_in(b'{"feeds":[{"path":"/b","state":"live"},{"path":"/a"}]}'), ["/b", "/a"])
        self.assertEqual(paths_in(b'{"feeds":[]}'), [])

    def test_other_answers(self) -> None:
        """An answer of another server is no list."""
        for content in (
            b"",
            b"<html>",
            b"[]",
            b"1",
            b"{}",
            b'{"feeds":1}',
            b'{"feeds":[1]}',
            b'{"feeds":[{}]}',
            b"\xff",
        ):
            self.assertRaises(ValueError, paths_in, content)
