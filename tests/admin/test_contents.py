"""The bounds of contents, apart from connections; those of requests are in ``test_publish.py``."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.admin.contents import MAX_CONTENTS_BYTES, Contents


class ContentsTests(SynchronousTestCase):
    """Contents.refusal."""

    def test_refusals(self) -> None:
        """Each has its status; a content at a limit is read."""
        contents = Contents({b"/feeds/a": 10}.get)
        for path, length, status in (
            (b"/feeds/a", 10, None),
            (b"/feeds/a?b=c", 0, None),
            (b"/feeds/a", 11, 413),
            (b"/feeds/a", None, 411),
            (b"/feeds/b", 1, 404),
            (b"/feeds/b", None, 404),
        ):
            refusal = contents.refusal(path, length)
            self.assertEqual(refusal and refusal[0].status, status, (path, length))

    def test_all_together(self) -> None:
        """One larger content is read if it is alone, and others up to the bound."""
        contents = Contents(lambda _: 10 * MAX_CONTENTS_BYTES)
        self.assertIsNone(contents.refusal(b"/feeds/a", 2 * MAX_CONTENTS_BYTES))
        contents.reserve(MAX_CONTENTS_BYTES - 1)
        self.assertIsNone(contents.refusal(b"/feeds/a", 1))
        refusal = contents.refusal(b"/feeds/a", 2)
        self.assertEqual(refusal and refusal[0].status, 503)
        contents.release(MAX_CONTENTS_BYTES - 1)
        self.assertIsNone(contents.refusal(b"/feeds/a", 2 * MAX_CONTENTS_BYTES))
