"""The content of the wheel, the sdist and the lock; and the wheel in an environment of its own."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from importlib.metadata import distribution
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from twisted.trial.unittest import SynchronousTestCase

from livefeed import __version__
from livefeed.delivery.scripts import NAMES
from tests import sbom
from tests.helpers.archives import CHECKOUT, archives, build, build_wheel, unpacked
from tests.helpers.container import instructions

STATIC = tuple(
    f"livefeed/static/{name}"
    for name in ("page.html", "list.html", "page/main.js", "page/vendor/uPlot.LICENSE", *NAMES)
)
OF_EXTRAS = (
    "livefeed.auth.keys",
    "livefeed.auth.signed",
    "livefeed.sources.mongo.",
    "livefeed.cli.screen",
    *(f"livefeed.client.{name}" for name in ("asyncio", "driver", "twisted", "websocket")),
)
"""Modules that cannot be imported without an extra."""
WANTED = (
    "livefeed/__init__.py",
    "livefeed/py.typed",
    "twisted/plugins/livefeed_plugin.py",
    *STATIC,
)


PYTHONS = ("3.11.0", "3.11.2", "3.12.0", "3.13.0", "3.14.0")
"""The versions that the lock is for. One of them made it; Debian 12 has 3.11.2."""


def locked() -> dict[str, str]:
    """Gives the versions of requirements.txt, by names."""
    pins = re.findall(r"^([a-z0-9-]+)==([^\s\\;]+)", (CHECKOUT / "requirements.txt").read_text(), re.MULTILINE)
    assert pins
    return dict(pins)


def folder(test: SynchronousTestCase) -> Path:
    """Gives a new folder that is removed after a test."""
    directory = tempfile.TemporaryDirectory()
    test.addCleanup(directory.cleanup)
    return Path(directory.name)


class NpmPackageTests(SynchronousTestCase):
    """The client in JavaScript."""

    def test_npm_package_is_of_this_release(self) -> None:
        """It has the version of livefeed, and its licence."""
        package = json.loads((CHECKOUT / "clients/js/package.json").read_text())
        self.assertEqual((package["version"], package["license"]), (__version__, "MIT"))
        self.assertEqual((CHECKOUT / "clients/js/LICENSE").read_text(), (CHECKOUT / "LICENSE").read_text())


class LockTests(SynchronousTestCase):
    def test_every_python_finds_what_it_needs(self) -> None:
        """With hashes, pip installs nothing at all if one package wants another that is not in the lock."""
        versions = locked()
        missing = set()
        for name in versions:
            for text in distribution(name).requires or ():
                requirement = Requirement(text)
                for python in PYTHONS:
                    place = {"python_full_version": python, "python_version": python.rpartition(".")[0], "extra": ""}
                    is_needed = requirement.marker is None or requirement.marker.evaluate(place)
                    if is_needed and canonicalize_name(requirement.name) not in versions:
                        missing.add((name, text))
        self.assertEqual(missing, set())


class ContentTests(SynchronousTestCase):
    """The content of the archives."""

    def wheel_names(self) -> list[str]:
        with zipfile.ZipFile(archives().wheel) as archive:
            return archive.namelist()

    def sdist_names(self) -> list[str]:
        with tarfile.open(archives().sdist) as archive:
            return [name.partition("/")[2] for name in archive.getnames()]

    def assert_clean(self, names: list[str]) -> None:
        for name in names:
            self.assertFalse(name.endswith((".pem", ".key", ".pyc", "/token")), name)
            self.assertNotEqual(name.rpartition("/")[2], "dropin.cache")
            self.assertNotIn("node_modules", name)
        self.assertNotIn("twisted/__init__.py", names)
        self.assertNotIn("twisted/plugins/__init__.py", names)

    def test_wheel_has_what_it_needs(self) -> None:
        """The package with its page and its types, and the plugin that makes twistd find it."""
        names = self.wheel_names()
        # The figures for `livefeed plan` are in docs/ in a clone, and in the sdist.
        for wanted in (*WANTED, "livefeed/data/benchmarks.json", "livefeed/data/explained.json"):
            self.assertIn(wanted, names)
        self.assertIn(f"livefeed-{__version__}.dist-info/licenses/LICENSE", names)

    def test_wheel_has_nothing_else(self) -> None:
        """No tests, no keys, and nothing that would hide Twisted."""
        names = self.wheel_names()
        self.assert_clean(names)
        self.assertEqual(
            {name.partition("/")[0] for name in names}, {"livefeed", "twisted", f"livefeed-{__version__}.dist-info"}
        )
        self.assertEqual(
            [name for name in names if name.startswith("twisted/")], ["twisted/plugins/livefeed_plugin.py"]
        )

    def test_wheel_has_every_file_of_the_package(self) -> None:
        """No module and no file beside them is forgotten."""
        present = {
            str(path.relative_to(CHECKOUT))
            for path in (CHECKOUT / "livefeed").rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
        self.assertEqual(present - set(self.wheel_names()), set())

    def test_sdist_has_what_it_needs(self) -> None:
        """The sources, and all files that their tests need."""
        names = self.sdist_names()
        for wanted in (
            *WANTED,
            "pyproject.toml",
            "requirements.txt",
            "Makefile",
            "README.md",
            "LICENSE",
            "examples/README.md",
        ):
            self.assertIn(wanted, names)
        self.assertIn(f"tests/{Path(__file__).name}", names)

    def test_sdist_is_clean(self) -> None:
        """A key or a cache that lies in the checkout does not come along."""
        self.assert_clean(self.sdist_names())

    def test_another_build_is_the_same(self) -> None:
        """Both archives have the same bytes if the sdist is built again.

        The folder, the times and modes of the files, the time zone, the language and the mask of the process differ.
        Certificates and caches lie in every place where they may be, and stay there.
        """
        scratch = folder(self)
        root = unpacked(archives().sdist, scratch / "source")
        for name in (
            *("certs/ca.pem", "certs/ca.key", "livefeed/key.pem", "tests/tls.key"),
            *("twisted/plugins/dropin.cache", "livefeed/__pycache__/x.cpython-311.pyc"),
            *("tests/clients/node_modules/ws/index.js", "examples/grafana/token"),
        ):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text("secret")
        for number, path in enumerate(sorted(root.rglob("*"))):
            if path.is_file():
                # Only whether it can be executed is a part of a release.
                path.chmod((0o600 if number % 2 else 0o664) | path.stat().st_mode & 0o100)
            os.utime(path, (number * 1000, number * 1000))
        before = os.umask(0o077)
        try:
            again = build(root, scratch / "again", TZ="Pacific/Apia", LC_ALL="C", PYTHONHASHSEED="7")
        finally:
            os.umask(before)
        self.assertEqual(again.wheel.read_bytes(), archives().wheel.read_bytes())
        self.assertEqual(again.sdist.read_bytes(), archives().sdist.read_bytes())

    def test_time_of_the_files(self) -> None:
        """A distributor can choose it, by the variable that all tools have for it."""
        made = build(CHECKOUT, folder(self), SOURCE_DATE_EPOCH="1764460800")
        with tarfile.open(made.sdist) as archive:
            self.assertEqual({member.mtime for member in archive.getmembers()}, {1764460800})
        with zipfile.ZipFile(made.wheel) as wheel:
            self.assertEqual({each.date_time[:3] for each in wheel.infolist()}, {(2025, 11, 30)})

    def test_licences(self) -> None:
        """The licence of livefeed, and those of everything that others have written in it."""
        vendored = {name for name in self.wheel_names() if "/vendor/" in name and name.endswith(".LICENSE")}
        licences = f"livefeed-{__version__}.dist-info/licenses/"
        with zipfile.ZipFile(archives().wheel) as archive:
            kept = {name: archive.read(name) for name in archive.namelist() if name.startswith(licences)}
            self.assertEqual(
                {*kept}, {f"{licences}LICENSE", *(f"{licences}{name}" for name in vendored if ".dist-info" not in name)}
            )
            metadata = archive.read(f"livefeed-{__version__}.dist-info/METADATA").decode()
        self.assertIn("\nLicense-Expression: MIT\n", metadata)
        for text in kept.values():
            self.assertIn(b"Permission is hereby granted, free of charge", text)


class MaterialsTests(SynchronousTestCase):
    """The bill of materials."""

    def test_file_is_of_this_release(self) -> None:
        """``python -m tests.sbom`` writes it again after a change of the version or of uPlot."""
        self.assertEqual(sbom.FILE.read_text("utf-8"), sbom.text())

    def test_file_is_valid(self) -> None:
        """It follows the schema of CycloneDX."""
        error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(sbom.FILE.read_text("utf-8"))
        self.assertIsNone(error, str(error))

    def test_wheel_has_it(self) -> None:
        """At the place of PEP 770, and each file in it has the digest that it says."""
        with zipfile.ZipFile(archives().wheel) as archive:
            content = archive.read(f"livefeed-{__version__}.dist-info/sboms/livefeed.cdx.json")
            self.assertEqual(content, sbom.FILE.read_bytes())
            (component,) = json.loads(content)["components"]
            listed = {each["name"]: each["hashes"][0]["content"] for each in component["components"]}
            vendored = [name for name in archive.namelist() if name.startswith(f"{sbom.VENDORED}/")]
            digests = {name: hashlib.sha256(archive.read(name)).hexdigest() for name in vendored}
        del digests[f"{sbom.VENDORED}/SHA256SUMS"]
        self.assertEqual(listed, digests)


class SdistTests(SynchronousTestCase):
    """The sdist, in a folder of its own."""

    def test_its_tests_run(self) -> None:
        """All of its tests are found, and those of some folders run, on its own modules."""
        root = unpacked(archives().sdist, folder(self))
        for arguments, wanted in (
            (("--collect-only", "tests"), rb"\n\d{4,} tests collected"),
            (("tests/web", "tests/test_conformance.py", "tests/test_imports.py"), rb"\n\d{3,} passed"),
        ):
            command = [sys.executable, "-m", "pytest", "--quiet", "-p", "no:cacheprovider", *arguments]
            run = subprocess.run(command, cwd=root, capture_output=True, check=False)
            self.assertEqual(run.returncode, 0, run.stdout[-5000:])
            self.assertRegex(run.stdout, wanted)
        code = "import livefeed; print(livefeed.__file__)"
        where = subprocess.run(
            [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
        ).stdout
        self.assertTrue(where.startswith(str(root.resolve())), where)


class ClientTests(SynchronousTestCase):
    """The distribution of the client alone."""

    def test_client_needs_nothing_else(self) -> None:
        """Each module of the client but those for Twisted is there, and needs nothing else of livefeed."""
        with tempfile.TemporaryDirectory() as name:
            scratch = Path(name)
            wheel = build_wheel(CHECKOUT / "clients" / "python", scratch / "dist")
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(scratch / "modules")
                names = archive.namelist()
            code = (
                f"import sys; sys.path.insert(0, {str(scratch / 'modules')!r})\n"
                "import pkgutil, importlib, livefeed, livefeed.client\n"
                "found = [m.name for m in pkgutil.walk_packages(livefeed.__path__, 'livefeed.')]\n"
                "for each in found: importlib.import_module(each)\n"
                "print(livefeed.__file__, livefeed.__version__, len(found))\n"
                "print(*[each for each in sys.modules if each.partition('.')[0] in ('twisted', 'autobahn', 'zope')])"
            )
            run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=scratch)
            self.assertEqual(run.returncode, 0, run.stderr)
            place, foreign = run.stdout.split("\n")[:2]
            self.assertTrue(place.startswith(str(scratch)), place)
            self.assertEqual((place.split()[1], foreign), (__version__, ""))
        of_twisted = {"livefeed/client/tls.py", "livefeed/client/twisted.py"}
        ours = {str(path.relative_to(CHECKOUT)) for path in (CHECKOUT / "livefeed" / "client").glob("*.py")}
        self.assertEqual(
            {each for each in names if each.startswith("livefeed/client/")} - ours, {"livefeed/client/LICENSE"}
        )
        self.assertEqual(ours - {*names}, of_twisted)


class InstalledTests(SynchronousTestCase):
    """The wheel, in an environment of its own and away from the checkout."""

    scratch: Path
    binaries: Path
    elsewhere: Path

    @classmethod
    def setUpClass(cls) -> None:
        directory = tempfile.TemporaryDirectory()
        cls.addClassCleanup(directory.cleanup)
        cls.scratch = Path(directory.name)
        cls.binaries = cls.scratch / "opt" / "livefeed" / "bin"
        cls.elsewhere = cls.scratch / "elsewhere"
        cls.elsewhere.mkdir()
        # By the steps of the recipe for containers, with other paths.
        image = cls.scratch / "image"
        image.mkdir()
        for file in (CHECKOUT / "requirements.txt", archives().wheel):
            shutil.copy(file, image)
        steps = [argument for stage, name, argument in instructions() if name == "RUN" and stage == 0]
        assert len(steps) > 3
        for step in steps:
            command = step.replace("/opt/", f"{cls.scratch}/opt/")
            if command.startswith("python "):
                command = f"{sys.executable} {command.removeprefix('python ')}"
            run = subprocess.run(["/bin/sh", "-ec", command], cwd=image, capture_output=True, text=True, check=False)
            assert run.returncode == 0, (step, run.stdout + run.stderr)

    def run_installed(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.binaries / program), *arguments],
            cwd=self.elsewhere,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.elsewhere), "LANG": "C.UTF-8"},
            capture_output=True,
            text=True,
            check=False,
        )

    def output_of(self, program: str, *arguments: str) -> str:
        run = self.run_installed(program, *arguments)
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)
        self.assertNotIn("Traceback", run.stderr)
        return run.stdout

    def test_it_is_the_wheel_that_is_tested(self) -> None:
        """Python imports livefeed from the environment, not from the checkout."""
        where = self.output_of("python", "-c", "import livefeed; print(livefeed.__file__)")
        self.assertTrue(where.startswith(str(self.scratch)), where)

    def test_server_commands_know_livefeed(self) -> None:
        """Each way in which Twisted starts a plugin finds it, and shows its options."""
        for program, *arguments in (("twistd",), ("twist",), ("python", "-m", "twisted")):
            output = self.output_of(program, *arguments, "livefeed", "--help")
            for option in ("--source", "--listen", "--allow-origin", "--max-bytes", "--interval"):
                self.assertIn(option, output, program)
            self.assertIn("livefeed", self.output_of(program, *arguments, "--help"))

    def test_version(self) -> None:
        """The command says which version was installed."""
        self.assertEqual(self.output_of("livefeed", "--version"), f"livefeed {__version__}\n")
        self.assertEqual(self.output_of("python", "-m", "livefeed", "--version"), f"livefeed {__version__}\n")
        self.assertEqual(self.output_of("twistd", "livefeed", "--version"), f"livefeed {__version__}\n")

    def test_wrong_option(self) -> None:
        """A wrong option is a message and a code that is not 0."""
        run = self.run_installed("twistd", "--nodaemon", "--pidfile=", "livefeed", "--interval", "0")
        self.assertNotEqual(run.returncode, 0)
        self.assertIn("--interval: ", run.stdout + run.stderr)
        self.assertNotIn("Traceback", run.stdout + run.stderr)

    def test_dependencies_agree(self) -> None:
        """The installation is complete, and every module in it can be imported."""
        self.output_of("python", "-m", "pip", "check")
        code = "import pkgutil, importlib, livefeed\n"
        code += "for m in pkgutil.walk_packages(livefeed.__path__, 'livefeed.'):\n"
        code += f"    m.name.startswith({OF_EXTRAS}) or importlib.import_module(m.name)"
        self.output_of("python", "-W", "error::ImportWarning", "-c", code)

    def test_missing_extras(self) -> None:
        """Each way to need an extra ends with one line, which has the command that installs it here."""
        rules = self.elsewhere / "rules.toml"
        rules.write_text('[feeds.a]\nsource = "demo:"\n[feeds.a.rules.r]\nschema = "schema.json"\n')
        keys = self.elsewhere / "keys.toml"
        keys.write_text(
            'feed = "a"\nlisten = ["tcp:0"]\nauth_keys = "keys.pem"\nauth_algorithm = ["EdDSA"]\n'
            'auth_issuer = "i"\nauth_audience = "a"\n'
        )
        for name in ("schema.json", "document.json"):
            (self.elsewhere / name).write_text("{}")
        (self.elsewhere / "keys.pem").touch()
        twistd = ("twistd", "--nodaemon", "--pidfile=", "livefeed")
        for extra, packages, program, *arguments in (
            ("mongo", "pymongo, which is", *twistd, "--source", "mongodb://h/db/c"),
            ("mongo", "pymongo, which is", "livefeed", "serve", "mongodb://h/db/c"),
            ("schema", "jsonschema-rs, which is", *twistd, "--config", str(rules)),
            ("schema", "jsonschema-rs, which is", "livefeed", "check", str(rules)),
            ("auth", "pyjwt, which is", *twistd, "--config", str(keys)),
            ("auth", "pyjwt, which is", "livefeed", "serve", "--config", str(keys)),
            ("client", "websockets, which is", "python", "-c", "import livefeed.client.asyncio"),
            ("client", "websockets, which is", "python", "-c", "import livefeed.client.twisted"),
            ("cli", "rich and websockets, which are", "livefeed", "watch", "http://127.0.0.1:9/feed"),
            ("cli", "rich and websockets, which are", "livefeed", "record", "http://127.0.0.1:9/feed", "x.recording"),
        ):
            run = self.run_installed(program, *arguments)
            self.assertEqual(run.returncode, 1, (arguments, run.stdout + run.stderr))
            said = (run.stdout + run.stderr).strip().splitlines()[-1]
            command = rf"{re.escape(str(self.binaries))}/python\S* -m pip install 'livefeed\[{extra}\]'"
            self.assertRegex(said, rf" needs {packages} not installed\. To install: {command}$")
            if program != "python":
                self.assertNotIn("Traceback", run.stdout + run.stderr)
        self.assertFalse((self.elsewhere / "x.recording").exists())

    def test_page_is_there(self) -> None:
        """The files of the page are found in the installed package."""
        code = "from importlib.resources import files\n"
        code += "print(len(files('livefeed').joinpath('static/page.html').read_text()))"
        self.assertGreater(int(self.output_of("python", "-c", code)), 100)
