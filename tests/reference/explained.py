"""The file that ``livefeed explain`` reads: alarms, states, metrics, close codes and log lines, each in a few lines.

The wheel has it as ``livefeed/data/explained.json``.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from livefeed.admin.exposition import PREFIX
from livefeed.admin.samples import FAMILIES
from livefeed.delivery.websocket.close_codes import MEANINGS
from livefeed.feed.state import State
from tests.reference import log_lines, metrics, wire

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docs" / "reference" / "explained.json"
ALERTS = ROOT / "examples" / "grafana" / "alerts.yml"
STATES_PAGE = "docs/reference/protocol.md#states"
METRICS_PAGE = "docs/reference/metrics.md"

_LINK = re.compile(r"\[([^]]*)\]\([^)]*\)")
_VALUE = re.compile(r"\{\{.*?\}\}")
_PAGE = re.compile(r"https://docs\.example\.org/livefeed/(.+)\.html(#.+)")


def explained() -> str:
    """Gives the content of the file, one entry on each line."""
    lines = [json.dumps(each, ensure_ascii=False) for each in _entries()]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def _entries() -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]:
        for rule in group["rules"]:
            if "alert" in rule:
                notes = rule["annotations"]
                found = _PAGE.fullmatch(notes["runbook_url"])
                assert found is not None, rule
                texts = (_VALUE.sub("…", notes["summary"]), notes["description"])
                yield _entry("alarm", rule["alert"], texts, f"docs/{found[1]}.md{found[2]}")
    states = wire.state_texts()
    for state in State:
        yield _entry("state", state.value, states[state.name].split("\n\n"), STATES_PAGE)
    for name, family in FAMILIES.items():
        texts = (family.text, f"With workers, it is {metrics.COMBINED[family.combine]}.")
        yield _entry("metric", PREFIX + name, texts, METRICS_PAGE)
    for code in MEANINGS:
        first, last = code.codes
        name = str(first) if first == last else f"{first} to {last}"
        texts = (f"Clients {code.by}: {code.when}." if code.by != "all" else f"{code.when}.", f"Client: {code.client}.")
        yield _entry("close code", name, texts, wire.CLOSE_PAGE)
    known = log_lines.meanings()
    for line in sorted(log_lines.log_lines(), key=lambda it: it.text):
        entry = known.get(line.text, {})
        means = entry.get("means", log_lines.DEFECT if line.method == "failure" else "")
        yield _entry("log line", line.text, (means, entry.get("do", "")), log_lines.PAGE)


def _entry(kind: str, name: str, texts: tuple[str, ...] | list[str], page: str) -> dict[str, Any]:
    return {"kind": kind, "name": name, "texts": [_sentence(each) for each in texts if each], "page": page}


def _sentence(text: str) -> str:
    """Gives a text without links, as a sentence on one line."""
    plain = " ".join(_LINK.sub(r"\1", text).split())
    return f"{plain[:1].upper()}{plain[1:].removesuffix('.')}."
