"""Missing packages of the extras, and the command that installs them."""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

from twisted.trial.unittest import SynchronousTestCase

from livefeed import extras
from livefeed.exceptions import LivefeedError, MissingExtraError
from livefeed.extras import install_command, needed_extra

METADATA = """\
Metadata-Version: 2.4
Name: {name}
Version: 9.9
Requires-Dist: zope-interface>=7; extra == 'there'
Requires-Dist: absent-one<3,>=2; extra == 'one'
Requires-Dist: absent-two>=1; extra == 'two'
Requires-Dist: absent-three; python_version >= "3.11" and extra == "two"
Requires-Dist: twisted>=24
Provides-Extra: one
"""
PYTHON = "/opt/a b/bin/python"


class ExtrasTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.folder = Path(directory.name)
        self.patch(sys, "path", [str(self.folder), *sys.path])
        # The names of distributions that are installed beside it are found in the order of the path.
        importlib.invalidate_caches()
        self.install("livefeed", METADATA)

    def install(self, name: str, metadata: str, **files: object) -> None:
        """Puts a distribution on the path."""
        folder = self.folder / f"{name}-9.9.dist-info"
        folder.mkdir(exist_ok=True)
        (folder / "METADATA").write_text(metadata.format(name=name))
        for file, content in files.items():
            (folder / f"{file}.json").write_text(json.dumps(content))
        importlib.invalidate_caches()


class MessageTests(ExtrasTestCase):
    """The message about a module that is missing."""

    def message(self, extra: str, module: str = "absent_module.part") -> str:
        with self.assertRaises(MissingExtraError) as caught, needed_extra(extra, "mongodb://"):
            raise ModuleNotFoundError(name=module)
        self.assertEqual(caught.exception.name, module)
        self.assertIsInstance(caught.exception, LivefeedError)
        return str(caught.exception)

    def test_nothing_missing(self) -> None:
        """The work is done."""
        with needed_extra("one", "x"):
            done = True
        self.assertTrue(done)

    def test_packages_are_named_as_they_are_installed(self) -> None:
        """The name of a module can be that of another package: jwt, for one."""
        begin = "mongodb:// needs absent-one, which is not installed. To install: "
        self.assertTrue(self.message("one").startswith(begin), self.message("one"))
        self.assertIn(" needs absent-two and absent-three, which are not installed. ", self.message("two"))
        self.assertIn(" 'livefeed[one]'", self.message("one"))

    def test_only_missing_packages_are_named(self) -> None:
        """Those that are there are left out."""
        self.install("absent_two", "Metadata-Version: 2.4\nName: absent-two\nVersion: 1\n")
        self.assertIn(" needs absent-three, which is not installed. ", self.message("two"))

    def test_module_of_a_package_that_is_there(self) -> None:
        """An installation that lost a module is told by it."""
        self.assertIn(" needs absent_module, which is not installed. ", self.message("there"))

    def test_without_metadata(self) -> None:
        """A copy of the modules that was never installed knows no packages."""
        self.patch(extras, "_installed", lambda package: None)
        self.assertIn(" needs absent_module, which is not installed. ", self.message("one"))

    def test_own_module(self) -> None:
        """A module of livefeed that is missing is a defect, and shown as such."""
        for name in ("livefeed.nothing", "livefeed", None):
            with self.assertRaises(ModuleNotFoundError) as caught, needed_extra("one", "x"):
                raise ModuleNotFoundError(name=name)
            self.assertNotIsInstance(caught.exception, MissingExtraError)

    def test_other_errors_pass(self) -> None:
        """A package that is there and fails is not missing."""
        with self.assertRaises(ImportError) as caught, needed_extra("one", "x"):
            raise ImportError("libfoo.so: cannot open shared object file", name="absent")
        self.assertNotIsInstance(caught.exception, MissingExtraError)

    def test_caller_names_the_larger_extra(self) -> None:
        """The extra of a command includes that of the client."""
        with (
            self.assertRaises(MissingExtraError) as caught,
            needed_extra("two", "the command"),
            needed_extra("one", "the client"),
        ):
            raise ModuleNotFoundError(name="absent")
        self.assertTrue(str(caught.exception).startswith("the command needs absent-two and "), str(caught.exception))
        self.assertIn("livefeed[two]", str(caught.exception))
        self.assertEqual(caught.exception.name, "absent")


class CommandTests(ExtrasTestCase):
    """The command that installs an extra."""

    def command(self, extra: str = "one", prefix: str = "env", *files: str) -> str:
        folder = self.folder / prefix
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            (folder / file).touch()
        return install_command(extra, folder, PYTHON)

    def test_pip(self) -> None:
        """The interpreter is named: another pip may come first on the path."""
        self.assertEqual(self.command(), "'/opt/a b/bin/python' -m pip install 'livefeed[one]'")

    def test_environment_without_pip(self) -> None:
        """Those that uv makes have none."""
        self.patch(extras, "find_spec", lambda name: None)
        self.assertEqual(self.command(), "uv pip install --python '/opt/a b/bin/python' 'livefeed[one]'")

    def test_pipx(self) -> None:
        """The packages come into the environment of livefeed, whose name may have a suffix."""
        name = "pipx_metadata.json"
        self.assertEqual(self.command("one", "venvs/livefeed", name), "pipx inject livefeed 'absent-one<3,>=2'")
        self.assertEqual(
            self.command("two", "venvs/livefeed-2", name), "pipx inject livefeed-2 'absent-two>=1' absent-three"
        )
        self.assertEqual(self.command("none", "venvs/livefeed", name), "pipx inject livefeed 'livefeed[none]'")

    def test_pipx_run(self) -> None:
        """A run of its own has an environment of its own."""
        made = self.command("one", "cache/1234", "pipx_metadata.json")
        self.assertEqual(made, "pipx run --spec 'livefeed[one,there]' livefeed ...")

    def test_uv_tool(self) -> None:
        """The environment is made anew, with the extras that it already has."""
        self.assertEqual(
            self.command("one", "tools/livefeed", "uv-receipt.toml"), "uv tool install 'livefeed[one,there]'"
        )

    def test_uvx(self) -> None:
        """The same for a single run, in both folders that uv has for them."""
        for folder in ("archive-v0/abc", "environments-v2/abc"):
            self.assertEqual(self.command("one", folder), "uvx --from 'livefeed[one,there]' livefeed ...")

    def test_origin(self) -> None:
        """A wheel, or a clone, that livefeed was installed from is named where it is needed again."""
        self.install("livefeed", METADATA, direct_url={"url": "file:///a/livefeed.whl", "archive_info": {}})
        origin = "'livefeed[one,there] @ file:///a/livefeed.whl'"
        self.assertEqual(self.command("one", "archive-v0/abc"), f"uvx --from {origin} livefeed ...")
        self.assertNotIn("file:", self.command())

    def test_origin_with_a_password(self) -> None:
        """No other URL is shown."""
        self.install("livefeed", METADATA, direct_url={"url": "https://user:secret@h/livefeed.whl"})
        self.assertEqual(self.command("one", "archive-v0/abc"), "uvx --from 'livefeed[one,there]' livefeed ...")

    def test_not_installed(self) -> None:
        """Without metadata there are no other extras, and no origin."""
        with patch.object(extras, "_installed", lambda package: None):
            self.assertEqual(self.command("one", "archive-v0/abc"), "uvx --from 'livefeed[one]' livefeed ...")
