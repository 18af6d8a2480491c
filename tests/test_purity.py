"""The modules that an import loads, measured in a fresh process."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import livefeed

PACKAGE = Path(livefeed.__file__).parent
PLUGIN = PACKAGE.parent / "twisted" / "plugins" / "livefeed_plugin.py"
PURE = (
    "livefeed.document.snapshot",
    "livefeed.document.codings",
    "livefeed.document.gate",
    "livefeed.document.exact_json",
    "livefeed.document.patch",
    "livefeed.document.diff",
    "livefeed.document.history",
    "livefeed.document.pointer",
    "livefeed.document.rules",
    "livefeed.document.comparisons",
    "livefeed.document.requirements",
    "livefeed.document.stored_version",
    "livefeed.document.timestamps",
    "livefeed.web.conditional",
    "livefeed.clocks",
    "livefeed.client.asyncio",
    "livefeed.client.protocol",
)
REACTOR = "twisted.internet.reactor"


def loaded_by(code: str) -> set[str]:
    """Gives the modules that a fresh interpreter has loaded after running the code."""
    script = f"{code}\nimport sys\nprint(*sys.modules, sep='\\n')"
    run = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return set(run.stdout.split())


def of(package: str, modules: set[str]) -> set[str]:
    return {module for module in modules if module == package or module.startswith(f"{package}.")}


def imported_by(path: Path) -> set[str]:
    """Gives the modules that a file's import statements name, at any depth."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return names


class PurityTests(SynchronousTestCase):
    """The imports that each module may have."""

    def test_pure_modules_are_without_twisted(self) -> None:
        """Programs without Twisted can use the pure modules."""
        for module in PURE:
            modules = loaded_by(f"import {module}")
            self.assertIn(module, modules)
            for package in ("twisted", "autobahn", "zope"):
                self.assertEqual(of(package, modules), set(), module)

    def test_instrument_sees_twisted(self) -> None:
        """The measurement finds an import where there is one."""
        self.assertIn(REACTOR, loaded_by(f"import {REACTOR}"))

    def test_plugin_file_is_light(self) -> None:
        """Every twistd on the machine reads it: it brings in nothing of livefeed, and no reactor."""
        modules = loaded_by(f"import runpy; runpy.run_path({str(PLUGIN)!r})")
        self.assertEqual(of("livefeed", modules), set())
        self.assertNotIn(REACTOR, modules)

    def test_plugin_is_known_to_twistd(self) -> None:
        """The plugin's data name the module and the command."""
        code = f"import runpy; plugin = runpy.run_path({str(PLUGIN)!r})['livefeed']; import importlib\n"
        code += "assert plugin.tapname == 'livefeed', plugin.tapname\n"
        code += "assert importlib.import_module(plugin.module).makeService"
        self.assertIn("livefeed.tap", loaded_by(code))

    def test_options_install_no_reactor(self) -> None:
        """The command line may name another reactor, so parsing it must not install one."""
        modules = loaded_by("from livefeed.tap import Options; Options().parseOptions(['--interval', '2'])")
        self.assertIn("livefeed.config.settings", modules)
        self.assertNotIn(REACTOR, modules)

    def test_what_takes_its_reactor_installs_none(self) -> None:
        """These modules get their reactor as an argument."""
        for module in (
            "feed.feed",
            "intake.puller",
            "sources",
            "sources.demo",
            "process.endpoints",
            "tls.options",
            "web.cors",
        ):
            self.assertNotIn(REACTOR, loaded_by(f"import livefeed.{module}"), module)

    def test_sources_are_imported_when_they_are_used(self) -> None:
        """A source of a file does not load the Redis client."""
        modules = loaded_by(
            "from livefeed.sources import make_source; make_source('file:x', reactor=None, max_bytes=9)"
        )
        self.assertIn("livefeed.sources.file", modules)
        self.assertEqual(of("txredisapi", modules), set())

    def test_autobahn_is_imported_in_one_place(self) -> None:
        """Autobahn can be replaced by rewriting one file."""
        importers = {
            str(path.relative_to(PACKAGE))
            for path in PACKAGE.rglob("*.py")
            if any(of(package, imported_by(path)) for package in ("autobahn", "txaio"))
        }
        self.assertEqual(importers, {"delivery/websocket/connection.py"})

    def test_pymongo_is_imported_in_one_place(self) -> None:
        """Only the MongoDB source needs pymongo."""
        importers = {
            str(path.relative_to(PACKAGE).parent)
            for path in PACKAGE.rglob("*.py")
            if any(of(package, imported_by(path)) for package in ("pymongo", "bson"))
        }
        self.assertEqual(importers, {"sources/mongo"})
        self.assertEqual(of("pymongo", loaded_by("import livefeed.service, livefeed.sources.mongo")), set())

    def test_no_global_reactor(self) -> None:
        """The reactor is only imported where a program begins, and handed on from there."""
        importers: set[str] = set()
        for path in PACKAGE.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.module == "twisted.internet":
                    importers.update(str(path.relative_to(PACKAGE)) for name in node.names if name.name == "reactor")
        self.assertEqual(importers, {"tap.py", "cli/check.py", "cli/doctor.py", "workers/__main__.py"})
