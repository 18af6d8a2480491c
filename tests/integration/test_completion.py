"""The completion of the command line, in the shells themselves."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from livefeed.cli.completion import script
from tests.helpers.peers import peer
from tests.integration.harness import WAIT_S

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.startup

BASH = """\
. ./livefeed.bash
COMP_WORDS=("$@")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_shtab_livefeed
printf '%s\\n' "${COMPREPLY[@]}"
"""

CASES = (
    (("livefeed", "wat"), {"watch"}),
    (("livefeed", "ctl", "rel"), {"release", "reload"}),
    (("livefeed", "ctl", "release", "--on"), {"--once"}),
    (("livefeed", "serve", "--transport", ""), {"fast", "twisted"}),
    (("livefeed", "completion", "z"), {"zsh"}),
    (("livefeed", "check", "some"), {"some.toml", "something.toml"}),
    (("livefeed", "certs", "--directory", "fol"), {"folder"}),
)
"""Words of a command line, and what the shell offers for the last of them."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two files, another folder, and the scripts."""
    for name in ("some.toml", "something.toml", "follow.txt"):
        (tmp_path / name).touch()
    (tmp_path / "folder").mkdir()
    for shell in ("bash", "fish", "zsh"):
        (tmp_path / f"livefeed.{shell}").write_text(script(shell))
    return tmp_path


def offered(command: list[str], folder: Path) -> set[str]:
    """Gives the first word of each line of a command, without slashes behind folders."""
    variables = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"}
    run = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=True, timeout=WAIT_S)
    assert run.stderr == ""
    return {line.split("\t")[0].rstrip("/") for line in run.stdout.splitlines()}


@pytest.mark.parametrize(("words", "wanted"), CASES)
def test_bash(folder: Path, words: tuple[str, ...], wanted: set[str]) -> None:
    """bash offers the rest of the word."""
    assert offered([peer("bash", "bash"), "--norc", "-c", BASH, "bash", *words], folder) == wanted


def test_bash_without_package(folder: Path) -> None:
    """The line for .bashrc works without the package bash-completion."""
    code = "source <(cat livefeed.bash); complete -p livefeed"
    assert offered([peer("bash", "bash"), "--norc", "-c", code], folder) == {
        "complete -o bashdefault -F _shtab_livefeed livefeed"
    }


@pytest.mark.parametrize(("words", "wanted"), CASES)
def test_fish(folder: Path, words: tuple[str, ...], wanted: set[str]) -> None:
    """fish offers the rest of the word."""
    line = " ".join(words)
    code = f"source livefeed.fish; complete --do-complete '{line}'"
    assert offered([peer("fish", "fish"), "--no-config", "-c", code], folder) == wanted


@pytest.mark.parametrize(
    ("line", "whole"),
    [
        ("livefeed wat", "livefeed watch "),
        ("livefeed serve --transport tw", "livefeed serve --transport twisted "),
        ("livefeed ctl relo", "livefeed ctl reload "),
        ("livefeed certs --directory fol", "livefeed certs --directory folder/"),
    ],
)
def test_zsh(folder: Path, line: str, whole: str) -> None:
    """zsh completes the word when Tab is pressed, with the script in a folder of its functions."""
    functions = folder / "functions"
    functions.mkdir()
    (folder / "livefeed.zsh").rename(functions / "_livefeed")
    leader, follower = pty.openpty()
    variables = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", "TERM": "dumb"}
    shell = subprocess.Popen(
        [peer("zsh", "zsh"), "-f", "-i"],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        cwd=folder,
        env=variables,
        start_new_session=True,
    )
    os.close(follower)
    try:
        # The line that Tab completes is printed by the next key, not run.
        os.write(
            leader,
            b"PS1=; fpath=($PWD/functions $fpath); autoload -Uz compinit; compinit -u; unsetopt zle_bracketed_paste\n",
        )
        os.write(leader, b"show() { print -r -- \"<$BUFFER>\"; }; zle -N show; bindkey '^T' show; print rea''dy\n")
        read_until(leader, "ready")
        os.write(leader, line.encode() + b"\t\x14")
        assert f"<{whole}>" in read_until(leader, f"<{whole}>")
    finally:
        shell.kill()
        shell.wait()
        os.close(leader)


def read_until(terminal: int, text: str) -> str:
    """Reads what a terminal shows until it has a text."""
    shown = b""
    end = time.monotonic() + WAIT_S
    while text.encode() not in shown and time.monotonic() < end:
        if select.select([terminal], [], [], 1.0)[0]:
            shown += os.read(terminal, 65_536)
    return shown.decode(errors="replace")
