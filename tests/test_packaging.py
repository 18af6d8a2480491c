"""The content of the wheel, the sdist and the lock; and the wheel in an environment of its own."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from twisted.trial.unittest import SynchronousTestCase

from livefeed import __version__
from livefeed.delivery.scripts import NAMES
from tests.helpers.container import instructions

CHECKOUT = Path(__file__).resolve().parent.parent
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
WANTED = ("livefeed/__init__.py", "livefeed/py.typed", "twisted/plugins/livefeed_plugin.py", *STATIC)


PYTHONS = ("3.11.0", "3.11.2", "3.12.0", "3.13.0", "3.14.0")
"""The versions that the lock is for. One of them made it; Debian 12 has 3.11.2."""


def locked() -> dict[str, str]:
    """Gives the versions of requirements.txt, by names."""
    pins = re.findall(r"^([a-z0-9-]+)==([^\s\\;]+)", (CHECKOUT / "requirements.txt").read_text(), re.MULTILINE)
    assert pins
    return dict(pins)


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


class PackagingTestCase(SynchronousTestCase):
    directory: tempfile.TemporaryDirectory[str]
    scratch: Path
    wheel: Path
    sdist: Path

    @classmethod
    def setUpClass(cls) -> None:
        cls.directory = tempfile.TemporaryDirectory()
        cls.scratch = Path(cls.directory.name)
        cls.build(CHECKOUT, cls.scratch / "dist")
        (cls.wheel,) = (cls.scratch / "dist").glob("*.whl")
        (cls.sdist,) = (cls.scratch / "dist").glob("*.tar.gz")

    @classmethod
    def tearDownClass(cls) -> None:
        cls.directory.cleanup()

    @staticmethod
    def build(source: Path, output: Path, *options: str) -> None:
        command = [sys.executable, "-m", "build", "--no-isolation", *options, "--outdir", str(output), str(source)]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout + run.stderr


class ContentTests(PackagingTestCase):
    """The content of the archives."""

    def wheel_names(self) -> list[str]:
        with zipfile.ZipFile(self.wheel) as archive:
            return archive.namelist()

    def sdist_names(self) -> list[str]:
        with tarfile.open(self.sdist) as archive:
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
        for wanted in WANTED:
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

    def test_keys_in_the_checkout_stay_there(self) -> None:
        """With certificates and caches in every place where they may lie, the archives hold none."""
        source = self.scratch / "source"
        with tarfile.open(self.sdist) as archive:
            if hasattr(tarfile, "data_filter"):  # not before Python 3.11.4
                archive.extraction_filter = tarfile.data_filter
            archive.extractall(source)
        (root,) = source.iterdir()
        for name in (
            *("certs/ca.pem", "certs/ca.key", "livefeed/key.pem", "tests/tls.key"),
            *("twisted/plugins/dropin.cache", "livefeed/__pycache__/x.cpython-311.pyc"),
            *("tests/clients/node_modules/ws/index.js", "examples/grafana/token"),
        ):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text("secret")
        self.build(root, self.scratch / "again")
        (wheel,) = (self.scratch / "again").glob("*.whl")
        (sdist,) = (self.scratch / "again").glob("*.tar.gz")
        with zipfile.ZipFile(wheel) as archive_of_wheel, tarfile.open(sdist) as archive_of_sdist:
            self.assert_clean(archive_of_wheel.namelist())
            self.assert_clean([name.partition("/")[2] for name in archive_of_sdist.getnames()])


class ClientTests(SynchronousTestCase):
    """The distribution of the client alone."""

    def test_client_needs_nothing_else(self) -> None:
        """Each module of the client but those for Twisted is there, and needs nothing else of livefeed."""
        with tempfile.TemporaryDirectory() as name:
            scratch = Path(name)
            PackagingTestCase.build(CHECKOUT / "clients" / "python", scratch / "dist", "--wheel")
            (wheel,) = (scratch / "dist").glob("livefeed_client-*.whl")
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


class InstalledTests(PackagingTestCase):
    """The wheel, in an environment of its own and away from the checkout."""

    binaries: Path
    elsewhere: Path

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.binaries = cls.scratch / "opt" / "livefeed" / "bin"
        cls.elsewhere = cls.scratch / "elsewhere"
        cls.elsewhere.mkdir()
        # By the steps of the recipe for containers, with other paths.
        build = cls.scratch / "build"
        build.mkdir()
        for file in (CHECKOUT / "requirements.txt", cls.wheel):
            shutil.copy(file, build)
        steps = [argument for stage, name, argument in instructions() if name == "RUN" and stage == 0]
        assert len(steps) > 3
        for step in steps:
            command = step.replace("/opt/", f"{cls.scratch}/opt/")
            if command.startswith("python "):
                command = f"{sys.executable} {command.removeprefix('python ')}"
            run = subprocess.run(["/bin/sh", "-ec", command], cwd=build, capture_output=True, text=True, check=False)
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

    def test_missing_extra(self) -> None:
        """The message about a source that needs an extra says how to install it."""
        run = self.run_installed("twistd", "--nodaemon", "--pidfile=", "livefeed", "--source", "mongodb://h/db/c")
        self.assertEqual(run.returncode, 1)
        self.assertIn("--source: mongodb:// needs pymongo: pip install '.[mongo]' in a clone", run.stdout + run.stderr)
        self.assertNotIn("Traceback", run.stdout + run.stderr)

    def test_page_is_there(self) -> None:
        """The files of the page are found in the installed package."""
        code = "from importlib.resources import files\n"
        code += "print(len(files('livefeed').joinpath('static/page.html').read_text()))"
        self.assertGreater(int(self.output_of("python", "-c", code)), 100)
