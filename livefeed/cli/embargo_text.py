"""The text about documents and ends of holds that wait for their time."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from livefeed.cli.desk_text import short, version
from livefeed.cli.tables import Cell, count, duration, printable
from livefeed.cli.times import clock, moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from livefeed.cli.tables import Painter

CLOCKS_DIFFER_S = 5.0
"""Seconds by which two clocks may differ without a warning. An answer takes less."""

_HEADS = ("ID", "FEED", "WHAT", "BYTES", "AT", "IN", "BY")
_DISPENSABLE = ("BYTES", "BY", "IN")
"""The columns that a narrow terminal does without, in this order."""

_CHOICE = "POSSIBLE NOW"


def set_aside_lines(
    report: dict[str, Any], painter: Painter, now: datetime, end: str = "", *, is_far: bool = False
) -> list[str]:
    """Gives the lines after something was set aside.

    :param end: the end of the command line that is proposed, with the options that choose this livefeed.
    :param is_far: whether livefeed runs on another machine, perhaps.
    """
    feed, name = short(report.get("feed")), short(report.get("id"))
    when = f"{_moment(report.get('at'))}, in {duration(report.get('in_s'))}"
    if report.get("version"):
        until, then = (
            f"version {version(report['version'])} is set aside until {when}",
            "Nothing of it is visible before.",
        )
    else:
        what = "the end of a hold is set for" if report.get("warning") else "the hold goes on until"
        until, then = f"{what} {when}", "Then watchers are shown what waits."
    first, *others = painter.fold(f"{feed}: {until} (embargo {name}). {then}")
    lines = [first.replace(feed, painter.paint(feed, "strong"), 1), *others]
    if conditions := list(_conditions(report)):
        lines += painter.fold(
            f"It happens only if {' and '.join(conditions)} then; otherwise it is kept, and reported."
        )
    for each in _warnings(report, now):
        lines += painter.fold(f"Warning: {each}", "warning")
    where = ", on the machine of livefeed" if is_far else ""
    lines.append(f"Cancel{where}: {painter.paint(f'livefeed ctl embargo cancel {name}{end}', 'strong')}")
    return lines


def done_lines(report: dict[str, Any], painter: Painter) -> list[str]:
    """Gives the line after an embargo was cancelled, or was ended by hand."""
    feed, name = painter.paint(short(report.get("feed")), "strong"), short(report.get("id"))
    what = _what(report)
    if report.get("action") == "cancel":
        return [f"{feed}: the embargo {name} ({what}) is cancelled. It will not happen."]
    effect = "the hold has ended" if report.get("kind") == "release" else "its document is stored"
    return [f"{feed}: the embargo {name} ({what}) has ended: {effect}. `livefeed ctl desk` shows what watchers see."]


def embargo_lines(report: Iterable[dict[str, Any]], painter: Painter, now: datetime, end: str = "") -> list[str]:
    """Gives the lines of all embargoes.

    :param end: see :func:`set_aside_lines`.
    """
    entries = list(report)
    if not entries:
        return ["nothing waits for its time"]
    heads = [Cell(name, "faint", name in ("BYTES", "IN")) for name in _HEADS]
    rows = [
        [
            Cell(short(each.get("id")), "strong"),
            Cell(short(each.get("feed"))),
            Cell(_subject(each)),
            Cell(count(each.get("bytes")) if each.get("kind") == "publish" else "", is_right=True),
            Cell(clock(each.get("at"), now)),
            Cell("FAILED" if each.get("failed") else duration(each.get("in_s")), _colour(each), is_right=True),
            Cell(short(each.get("by"))),
        ]
        for each in entries
    ]
    table = painter.table(heads, rows, [_HEADS.index(name) for name in _DISPENSABLE])
    lines = [table[0]]
    for each, line in zip(entries, table[1:], strict=True):
        lines.append(line)
        lines += _notes(each, painter)
    choice = f"livefeed ctl embargo cancel ID{end}, or livefeed ctl embargo publish ID{end} (now)"
    first, *others = painter.fold(f"{_CHOICE}  {choice}", indent=len(_CHOICE) + 2)
    return [*lines, "", first.replace(_CHOICE, painter.paint(_CHOICE, "faint"), 1), *others]


def embargo_text(entry: dict[str, Any], now: datetime) -> str:
    """Gives one embargo on one line, for the report of its feed."""
    text = f"{short(entry.get('id'))}: {_what(entry)}"
    if entry.get("failed"):
        return f"{text}, was due at {clock(entry.get('at'), now)} and has FAILED: {short(entry['failed'])}"
    return f"{text}, at {clock(entry.get('at'), now)} (in {duration(entry.get('in_s'))}), by {short(entry.get('by'))}"


def _what(entry: dict[str, Any]) -> str:
    subject = _subject(entry)
    return f"{subject}, {count(entry.get('bytes'))} bytes" if entry.get("kind") == "publish" else subject


def _subject(entry: dict[str, Any]) -> str:
    if entry.get("kind") == "release":
        return "end of the hold"
    if entry.get("kind") != "publish":
        return short(entry.get("kind"))
    return f"document {version(entry.get('version'))}"


def _notes(entry: dict[str, Any], painter: Painter) -> Iterator[str]:
    if entry.get("failed"):
        yield from painter.fold(f"  NOT carried out: {short(entry['failed'])}", "bad", 2)
    if conditions := list(_conditions(entry)):
        yield from painter.fold(f"  only if {' and '.join(conditions)}", indent=2)
    if entry.get("reason"):
        yield from painter.fold(f"  {short(entry['reason'])}", indent=2)


def _conditions(entry: dict[str, Any]) -> Iterator[str]:
    match, none_match = entry.get("if_match"), entry.get("if_none_match")
    where = "no rule holds back another version than {}" if entry.get("kind") == "release" else "{} is stored"
    if match is not None:
        yield where.format("any document" if "*" in match else f"version {_versions(match)}")
    if none_match is not None:
        yield "no document is stored" if "*" in none_match else f"version {_versions(none_match)} is not stored"


def _versions(versions: Iterable[Any]) -> str:
    return " or ".join(map(version, versions)) or "(none)"


def _warnings(report: dict[str, Any], now: datetime) -> Iterator[str]:
    if report.get("warning"):
        yield short(report["warning"])
    at = _parsed(report.get("at"))
    if at is None or not isinstance(report.get("in_s"), int | float):
        return
    ahead_s = (at - timedelta(seconds=report["in_s"]) - now).total_seconds()
    if abs(ahead_s) > CLOCKS_DIFFER_S:
        which = "ahead of" if ahead_s > 0 else "behind"
        yield f"the clock of livefeed is {duration(abs(ahead_s))} {which} the one here, and it counts"


def _moment(text: object) -> str:
    at = _parsed(text)
    return printable(str(text)) if at is None else moment(at)


def _parsed(text: object) -> datetime | None:
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return None if at.tzinfo is None else at


def _colour(entry: dict[str, Any]) -> Any:
    return "bad" if entry.get("failed") else "plain"
