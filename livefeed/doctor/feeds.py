"""The settings, with the packages that they need, and the documents of the sources.

Rule: nothing is read here.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from livefeed.doctor.finding import Finding, ok, size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from livefeed.checks import Problem, Pulled
    from livefeed.doctor.finding import Level

_PACKAGE = re.compile(r"pip install \S+")

NEARLY_PART = 0.8
"""The part of the largest size from which a document is nearly too large."""


def check_settings(problems: Iterable[Problem], file: str | None) -> Iterator[Finding]:
    """Gives a finding for each problem of the settings, or one that there is none.

    :param problems: those of all checks of a start.
    :param file: the file of settings, as it was named.
    """
    again = f"livefeed check {shlex.quote(file)}" if file else "livefeed check"
    found = False
    for problem in problems:
        found = True
        text = f"{problem.place}: {problem.why}" if problem.place else problem.why
        level: Level = "warning" if problem.is_warning else "problem"
        package = _PACKAGE.search(problem.why)
        # A package that is missing is the only problem that no change of the settings is the right answer to.
        subject, mend = ("settings", f"put it right, then: {again}") if package is None else ("extras", package[0])
        yield Finding(subject, level, text, mend)
    if not found:
        yield ok("settings", f"{file}: no error" if file else "no error; --config FILE names the file of a service")


def check_pulled(pulled: Pulled, max_bytes: int, took_s: float, file: str | None) -> Finding:
    """Checks the document of a source.

    :param max_bytes: the largest document that the feed serves.
    :param took_s: seconds after which all sources had answered.
    :param file: the file of settings, as it was named.
    """
    subject, name = "source", pulled.feed
    if pulled.bytes is not None and pulled.bytes > max_bytes:
        # Sources read one byte more than they may give, and not the rest.
        text = f"{name}: the document has more than {max_bytes:,} bytes, which is the limit"
        return Finding(subject, "problem", text, f"--max-bytes {2 * max_bytes}")
    if pulled.why is not None:
        again = f"livefeed check --pull{f' {shlex.quote(file)}' if file else ''}"
        return Finding(subject, "problem", f"{name}: {pulled.why}", f"mend the source, then: {again}")
    count = pulled.bytes or 0
    text = f"{name}: a document of {size(count)}, in {took_s:.2f} s"
    if count > max_bytes * NEARLY_PART:
        text += f"; {size(max_bytes)} at most are served"
        return Finding(subject, "warning", text, f"--max-bytes {2 * max_bytes}")
    return ok(subject, text)
