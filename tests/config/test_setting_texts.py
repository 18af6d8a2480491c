"""The texts about settings, apart from the settings."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from livefeed.config.setting_texts import CONFIG_HELP, TEXTS
from livefeed.config.settings import OPTIONS, FeedSettings, Settings


class TextTests(SynchronousTestCase):
    def test_each_setting_has_its_texts(self) -> None:
        """And no other name has; the rules and the table of feeds have pages of their own."""
        fields = {*FeedSettings.__struct_fields__, *Settings.__struct_fields__} - {"places", "feeds", "rules"}
        self.assertEqual({*TEXTS}, fields)
        self.assertEqual(OPTIONS, ("config", *TEXTS))

    def test_texts_are_phrases(self) -> None:
        """One line each, which other text can stand around."""
        for name, text in TEXTS.items():
            for each in (text.allowed, text.help, text.meaning, CONFIG_HELP):
                self.assertTrue(each and each == " ".join(each.split()), name)
                self.assertFalse(each.endswith("."), name)

    def test_links_begin_at_the_folder_of_the_documentation(self) -> None:
        """Each page that uses a text makes them relative."""
        for name, text in TEXTS.items():
            self.assertNotIn("](..", text.meaning, name)
            self.assertNotIn("](#", text.meaning, name)
