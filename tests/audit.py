"""``make audit``: is a vulnerability known in one of the packages of ``requirements.txt``?

pip-audit asks the index of Python packages for each of them. A vulnerability that is found, and not accepted below,
ends the command with 1. A database that cannot be reached is told, and is no failure: no change of livefeed could mend
it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
LIMIT_S = 300
"""The time in seconds for all questions. Each has the limit of pip-audit, 15 s."""

ACCEPTED: dict[str, str] = {}
"""Vulnerabilities that do not concern livefeed, by their ids, each with the reason."""


def findings(report: dict[str, Any]) -> list[str]:
    """Gives a line for each vulnerability in a report of pip-audit, without those that are accepted."""
    return [
        f"{package['name']} {package['version']}: {each['id']}, {_mended(each)}: {each['description'][:200]}"
        for package in report["dependencies"]
        for each in package.get("vulns", ())
        if ACCEPTED.keys().isdisjoint({each["id"], *each.get("aliases", ())})
    ]


def skipped(report: dict[str, Any]) -> list[str]:
    """Gives the names of the packages about which the database says nothing."""
    return [package["name"] for package in report["dependencies"] if "skip_reason" in package]


def verdict(report: dict[str, Any] | None, errors: str) -> tuple[str, int]:
    """Gives the text and the exit code.

    :param report: the report of pip-audit; ``None`` if it made none.
    :param errors: its standard error.
    """
    if report is None:
        why = (errors.strip().splitlines() or ["pip-audit said nothing"])[-1]
        return f"NOT AUDITED: the database of vulnerabilities did not answer: {why}", 0
    found, unknown, total = findings(report), skipped(report), len(report["dependencies"])
    if found:
        return "\n".join([f"{len(found)} known vulnerabilities in requirements.txt:", *found]), 1
    if len(unknown) == total:
        return f"NOT AUDITED: the database of vulnerabilities knows none of the {total} packages", 0
    more = f"; it says nothing about {', '.join(unknown)}" if unknown else ""
    return f"no known vulnerability in {total - len(unknown)} of {total} packages{more}", 0


def _mended(vulnerability: dict[str, Any]) -> str:
    versions = ", ".join(vulnerability["fix_versions"])
    return f"mended in {versions}" if versions else "not mended yet"


def main() -> int:
    """Asks, and gives the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "report.json")
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(ROOT / "requirements.txt")]
        command += ["--require-hashes", "--disable-pip", "--progress-spinner", "off"]
        command += ["--format", "json", "--output", str(output)]
        try:
            run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
            errors = run.stderr
        except subprocess.TimeoutExpired:
            errors = f"it took longer than {LIMIT_S} s"
        text, code = verdict(json.loads(output.read_bytes()) if output.exists() else None, errors)
    print(text)
    return code


if __name__ == "__main__":
    raise SystemExit(main())
