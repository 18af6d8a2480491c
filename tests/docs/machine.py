"""A page's own machine: namespaces for network, file systems and processes.

Examples have fixed ports, write below ``/etc`` and start servers. In namespaces none of it reaches the real machine or
another page: ports are free, what is written below ``/etc``, ``/srv`` and others is kept in memory, the rest is
read-only, and the last process takes all others along. Without root, a user namespace gives the same where the system
lets users have one. Where it does not, the pages are not run: their commands would change the machine of a developer.
"""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

USER = "anna"
"""The operator of the examples, by the name of the user 0. Their home is the folder in which a page begins."""

ROOT = Path(__file__).resolve().parents[2]
"""The repository."""

WRITABLE = ("/etc", "/srv", "/home", "/var/lib", "/var/log", "/var/cache")
"""The folders of which a page has a copy that it may write to. It may write to ``/tmp`` as well, and nowhere else: no
example installs anything into the environment of the developer."""

PROBE_S = 30

_SETUP = """\
set -e
ip link set lo up
mount -t tmpfs tmpfs {scratch}
for each in {writable}; do
    mkdir -p {scratch}/upper$each {scratch}/work$each
    mount -t overlay overlay -o lowerdir=$each,upperdir={scratch}/upper$each,workdir={scratch}/work$each $each
done
mount -t tmpfs tmpfs /run
mount --bind /tmp /tmp
mount --bind {root} {root}
mount -o remount,bind,ro {root}
mount -o remount,bind,ro /
cat {hosts} >> /etc/hosts
sed -i "1i {user}:x:0:0::/home/{user}:/bin/bash" /etc/passwd
mkdir -p /home/{user}
cd /home/{user}
"""


def unshare() -> list[str]:
    """Gives the command in front of one that is to run in namespaces of its own."""
    rights = [] if os.geteuid() == 0 else ["--map-root-user"]
    program = shutil.which("unshare") or "unshare"
    return [program, *rights, "--net", "--mount", "--pid", "--uts", "--fork", "--mount-proc", "--kill-child"]


def command(folder: Path, hosts: Iterable[str], main: str) -> list[str]:
    """Gives the command line of a machine.

    :param folder: an empty folder of the real machine, for the files that the machine needs.
    :param hosts: the names that lead to the machine itself.
    :param main: the program of the shell that runs in the machine; the machine ends with it.
    """
    scratch, names = folder / "machine", folder / "hosts"
    scratch.mkdir()
    names.write_text("".join(f"127.0.0.1 {each}\n" for each in hosts))
    setup = _SETUP.format(
        scratch=shlex.quote(str(scratch)),
        hosts=shlex.quote(str(names)),
        root=shlex.quote(str(ROOT)),
        writable=" ".join(WRITABLE),
        user=USER,
    )
    # A process that was started in the background ignores Ctrl-C, and a shell cannot take that back for its commands.
    return [*unshare(), "env", "--default-signal=INT,QUIT", "bash", "-c", f"{setup}set +e\n{main}"]


@functools.cache
def obstacle() -> str:
    """Gives the reason why there is no machine here, or an empty text if there is one."""
    try:
        with tempfile.TemporaryDirectory() as folder:
            probe = command(Path(folder), (), "true")
            done = subprocess.run(probe, capture_output=True, text=True, timeout=PROBE_S, check=False)
    except OSError as error:
        return f"unshare cannot be started: {error}"
    if done.returncode:
        said = done.stderr.strip().splitlines()
        return f"namespaces cannot be made here: {said[-1] if said else done.returncode}"
    return ""
