"""Sources of other packages: one is installed, with the code that the documentation shows."""

from __future__ import annotations

import importlib
import re
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import SplitResult

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import ConfigurationError
from livefeed.sources import Source, make_source
from tests.helpers.documentation import code_block
from tests.helpers.packages import install

PAGE = "howto/sources/writing.md"
SECRET = "correct-horse"


class PluginTests(SynchronousTestCase):
    """make_source, with other packages."""

    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        self.patch(sys, "path", [directory.name, *sys.path])
        self.addCleanup(importlib.invalidate_caches)
        self.clock = Clock()

    def install(self, module: str, code: str, *entries: str) -> None:
        install(self.directory, module, code, *entries)
        importlib.invalidate_caches()
        self.addCleanup(sys.modules.pop, module, None)

    def make(self, url: str) -> Source:
        return make_source(url, reactor=self.clock, max_bytes=77)

    def refusal(self, url: str) -> str:
        refusal = str(self.assertRaises(ConfigurationError, self.make, url))
        self.assertTrue(refusal.startswith("--source: "))
        self.assertNotIn(SECRET, refusal)
        self.assertNotIn("\n", refusal)
        return refusal

    def test_source_of_the_page(self) -> None:
        """The example of the documentation is a source, and has a refusal of its own for a wrong URL."""
        entry = re.search(r"^\[project.entry-points.*\]\n(.*)$", code_block(PAGE, "toml"), re.MULTILINE)
        assert entry is not None
        self.install("livefeed_clock", code_block(PAGE, "python"), entry[1].replace('"', ""))
        self.patch(time, "time", lambda: 7.5)
        source = self.make("CLOCK:?name=n")
        self.assertEqual(str(source), "clock:")
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(source.fetch())), b'{"n": 7}')
        self.assertIn("takes nothing but", self.refusal(f"clock://{SECRET}"))
        self.assertIn("clock:", self.refusal("nothing:"))

    def test_what_it_is_called_with(self) -> None:
        """The parts of the URL, the reactor and the limit."""
        code = "calls = []\ndef make(*given, **more):\n    calls.append((given, more))\n"
        code += "    class Source:\n        watch = fetch = close = lambda *_: None\n    return Source()\n"
        self.install("plug_calls", code, "called = plug_calls:make")
        self.make("called://u:p@h/x?y#z")
        (((url,), more),) = sys.modules["plug_calls"].calls
        self.assertIsInstance(url, SplitResult)
        self.assertEqual((url.password, url.hostname, url.query, url.fragment), ("p", "h", "y", "z"))
        self.assertEqual(more, {"reactor": self.clock, "max_bytes": 77})

    def test_broken_plug_ins(self) -> None:
        """The refusal names the plug-in that cannot be imported, has no such attribute, raises, or gives no source."""
        code = "def breaks(url, **_):\n    raise ValueError(url.password)\n"
        code += "def nothing(url, **_):\n    return None\n"
        code += "def wants(url):\n    return None\n"
        names = ("breaks", "nothing", "wants", "missing")
        self.install(
            "plug_broken", code, *(f"{name} = plug_broken:{name}" for name in names), "number = plug_broken:__doc__"
        )
        self.install("plug_raises", "raise RuntimeError('one\\ntwo')", "raises = plug_raises:x", "gone = plug_gone:x")
        for scheme, words in (
            ("breaks", "plug_broken:breaks, which has failed with ValueError"),
            ("nothing", "plug_broken:nothing, which does not give a source"),
            ("wants", "plug_broken:wants, which has failed with TypeError"),
            ("missing", "plug_broken:missing, which cannot be loaded: AttributeError"),
            ("number", "plug_broken:__doc__, which has failed with TypeError"),
            ("raises", "plug_raises:x, which cannot be loaded: RuntimeError: one"),
            ("gone", "plug_gone:x, which cannot be loaded: ModuleNotFoundError"),
        ):
            self.assertIn(f"{scheme}: is {words}", self.refusal(f"{scheme}://u:{SECRET}@h/"))

    def test_claims(self) -> None:
        """A plug-in cannot take over livefeed's own schemes, and a scheme that two plug-ins claim is refused."""
        code = "def make(url, **_):\n    raise AssertionError\n"
        self.install("plug_one", code, "demo = plug_one:make", "twice = plug_one:make")
        self.install("plug_two", code, "twice = plug_two:make")
        self.assertEqual(str(self.make("demo:")), "demo:")
        self.assertIn("twice: is claimed by several: plug_one:make, plug_two:make", self.refusal("twice:"))
