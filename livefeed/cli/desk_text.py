"""The text about decisions, waiting documents and alarms: after each command, in the report of a feed, in the status.

Rule: the first sentence after a command says what watchers see now, and the last one how to take the command back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from livefeed.cli.tables import Cell, Colour, count, duration, printable
from livefeed.cli.times import clock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from livefeed.cli.tables import Painter

VERSION_CHARACTERS = 12
"""Characters of a version that are shown. 48 bits do not repeat within one feed."""

MAX_TEXT = 300
"""Characters of a reason or value that are shown on one line."""

MAX_UNFIT = 3
"""Entries of an overlay that change nothing, which the status shows; of the others, the number is."""

STATES: dict[str, Colour] = {
    "live": "good",
    "stale": "warning",
    "held": "warning",
    "ended": "plain",
    "expired": "bad",
    "withdrawn": "bad",
}
UNKNOWN_STATE: Colour = "warning"
"""A livefeed that is newer than this program may have other states. None is shown as if it were live."""

_WITHOUT_DOCUMENT = {
    "withdrawn": "Watchers are shown no document: they are answered 410, and caches must not keep it",
    "expired": "Watchers are shown no document: it is too old (--gone-after), and they are answered 410",
}
_WITH_DOCUMENT = {
    "live": "Watchers are shown {version}",
    "stale": "Watchers keep {version}, marked stale: pulls fail",
    "held": "Watchers keep {version}, marked held",
    "ended": "Watchers keep {version} as the last one, and stop asking",
}
HIDING = ("held", "withdrawn", "ended")
"""The states that follow from a decision or a rule: they do not show whether the source works."""

_WIDTH = len("decision")


def version(text: object) -> str:
    """Gives the beginning of a version; a dash for none."""
    return printable(str(text or "-"))[:VERSION_CHARACTERS]


def short(text: object) -> str:
    """Gives a text on one line that is not too long."""
    line = printable(str(text))
    return line if len(line) <= MAX_TEXT else f"{line[:MAX_TEXT]}..."


def done_lines(report: dict[str, Any], painter: Painter, now: datetime, undo: str, end: str = "") -> list[str]:
    """Gives the lines after a command.

    :param report: the answer to the command, or the report of the feed after it.
    :param undo: the command line that takes the command back; empty if there is none.
    :param end: the end of another command line, with the options that choose this livefeed.
    """
    state = str(report.get("state"))
    name = painter.paint(printable(str(report.get("feed"))), "strong")
    lines = [f"{name}: {painter.paint(printable(state), _colour(state))}. {watchers_see(report, now)}."]
    waiting = report.get("waiting")
    decision = report.get("decision")
    if isinstance(waiting, dict):
        lines.append(f"Waiting: {waiting_text(waiting, decision)}.")
        lines += [f"{text}." for text in _release_texts(waiting)]
    lines += [f"The rule {name} holds nothing until {until}." for name, until in _released(report, now)]
    if isinstance(decision, dict):
        lines.append(f"Decision: {decision_text(decision, now).removesuffix('.')}.")
    lines += _passed_over(report, end)
    if (failing := failing_text(report)) is not None:
        lines.append(painter.paint(f"Source: {failing.removesuffix('.')}.", "bad"))
    if report.get("warning"):
        lines.append(painter.paint(f"Warning: {short(report['warning'])}", "warning"))
    if undo:
        lines.append(f"Undo: {painter.paint(undo, 'strong')}")
        lines += [f"      {each}" for each in _effect_of(undo, waiting)]
    if isinstance(waiting, dict) and waiting.get("rule") and decision is None:
        # A correction downwards is refused like a mistake of the source.
        release = f"livefeed ctl release {short(report.get('feed'))}{end}"
        lines.append(f"If it is right all the same, show it: {painter.paint(release, 'strong')}")
    return lines


def _passed_over(report: dict[str, Any], end: str) -> Iterator[str]:
    """Gives the number of versions that a rollback has passed over, and the way to them."""
    passed = report.get("passed_over")
    if not isinstance(passed, int) or passed < 1:
        return
    name = short(report.get("feed"))
    versions = "1 version" if passed == 1 else f"{count(passed)} versions"
    yield (
        f"Passed over: {versions} from which somebody had gone back before. "
        f"`livefeed ctl desk {name}{end}` lists them, and `livefeed ctl pin {name} VERSION{end}` shows one."
    )


def _effect_of(undo: str, waiting: object) -> Iterator[str]:
    """Gives what watchers are shown after a command was taken back, if that is not what they are shown now."""
    command = undo.removeprefix("livefeed ctl ").partition(" ")[0]
    if not isinstance(waiting, dict) or command not in ("release", "unpin", "resume"):
        return
    name = f"version {version(waiting.get('version'))}"
    if not waiting.get("rule"):
        yield f"Watchers are then shown {name}, which waits."
    elif command == "release":
        # After the other commands, the rule goes on to hold it.
        yield f"Watchers are then shown {name}, WHICH THE RULE {short(waiting['rule'])} REFUSES."


def watchers_see(report: dict[str, Any], now: datetime) -> str:
    """Gives a sentence, without its period, about what watchers see now."""
    state, shown = str(report.get("state")), report.get("shown")
    shown = shown if isinstance(shown, dict) else {}
    name = shown.get("version") or report.get("version")
    if state in _WITHOUT_DOCUMENT:
        return _WITHOUT_DOCUMENT[state]
    if not name:
        return "Watchers are shown no document: there is none yet"
    text = f"version {version(name)}"
    if shown.get("confirmed_at"):
        text += f" of {clock(shown['confirmed_at'], now)} ({duration(shown.get('age_s'))} old)"
    if state in _WITH_DOCUMENT:
        return _WITH_DOCUMENT[state].format(version=text)
    return f"Watchers are shown {text}, marked {printable(state)}"


def failing_text(report: dict[str, Any]) -> str | None:
    """Gives for how long pulls have failed, and the reason; ``None`` if they are good.

    :param report: the report of the status about a feed, the report of its desk, or the answer to a command.
    """
    failing = report.get("failing")
    if not isinstance(failing, dict):
        return None
    return f"pulls fail for {duration(failing.get('for_s'))}: {short(failing.get('why'))}"


def waiting_text(waiting: dict[str, Any], decision: object = None) -> str:
    """Gives the document that waits, for how long, and the reason.

    :param decision: the decision in force, which is told by itself; ``None`` for none.
    """
    text = f"version {version(waiting.get('version'))}"
    if isinstance(waiting.get("bytes"), int):
        text += f", {count(waiting['bytes'])} bytes"
    if waiting.get("for_s") is not None:
        text += f", for {duration(waiting['for_s'])}"
    if waiting.get("rule"):
        text += f", because {short(waiting.get('why'))} (rule {short(waiting['rule'])})"
    elif waiting.get("why") and decision is None:
        text += f", because {short(waiting['why'])}"
    pulls = waiting.get("pulls")
    if waiting.get("rule") and isinstance(pulls, int) and pulls > 1:
        text += f"; {count(pulls)} pulls gave it"
    return text


def _release_texts(waiting: dict[str, Any]) -> Iterator[str]:
    """Gives the moments at which a document is shown without a command."""
    ways = []
    if waiting.get("releases_in_s") is not None:
        ways.append(f"in {duration(waiting['releases_in_s'])}")
    pulls = waiting.get("releases_after_pulls")
    if pulls is not None:
        more = "after 1 more pull" if pulls == 1 else f"after {count(pulls)} more pulls"
        ways.append(f"{more} with the same value" if pulls else "at the next pull with the same value")
    if ways:
        yield f"It is shown by itself {' or '.join(ways)}; `livefeed ctl hold` prevents that"
    elif waiting.get("held_also"):
        yield f"It is not shown by itself: the rule {short(waiting['held_also'])} would hold it, too"


def decision_text(decision: dict[str, Any], now: datetime) -> str:
    """Gives an operator's decision: its kind, user, time and reason."""
    text = short(decision.get("kind"))
    if decision.get("version"):
        text += f" of version {version(decision['version'])}"
    if decision.get("by"):
        text += f", by {short(decision['by'])}"
    if decision.get("at"):
        text += f" at {clock(decision['at'], now)}"
    if decision.get("reason"):
        text += f": {short(decision['reason'])}"
    return text


def alarm_text(alarm: dict[str, Any], now: datetime) -> str:
    """Gives an alarm: its rule, reason and beginning."""
    text = f"{short(alarm.get('rule'))}: {short(alarm.get('why'))}"
    return f"{text}, since {clock(alarm['since'], now)}" if alarm.get("since") else text


def notes(feed: dict[str, Any], now: datetime) -> Iterator[tuple[str, Colour]]:
    """Gives the lines of the status about the desk of a feed, with their colours."""
    decision, waiting = feed.get("decision"), feed.get("waiting")
    state = str(feed.get("state"))
    if isinstance(decision, dict):
        yield f"decision: {decision_text(decision, now)}", _colour(state)
    if state in HIDING and (failing := failing_text(feed)) is not None:
        yield f"source: {failing}", "bad"
    if isinstance(waiting, dict):
        yield f"waiting: {waiting_text(waiting, decision)}", "warning"
        for text in _release_texts(waiting):
            yield f"{text[0].lower()}{text[1:]}", "plain"
    for alarm in feed.get("alarms") or []:
        yield f"alarm: {alarm_text(alarm, now)}", "warning"
    if isinstance(feed.get("overlay"), dict):
        yield from _overlay_notes(feed["overlay"])


def _overlay_notes(overlay: dict[str, Any]) -> Iterator[tuple[str, Colour]]:
    """Gives the number of overlaid values, and the entries that change nothing."""
    number, unfit = overlay.get("entries") or 0, overlay.get("unfit") or []
    if number:
        yield (
            f"overlay: {count(number)} {'entry' if number == 1 else 'entries'} in place of the source's values",
            "plain",
        )
    for each in unfit[:MAX_UNFIT]:
        where = short(each.get("pointer") or "the whole document")
        yield f"the overlay of {where} changes nothing: {short(each.get('why'))}", "warning"
    if len(unfit) > MAX_UNFIT:
        yield f"{count(len(unfit) - MAX_UNFIT)} more do not fit; see `livefeed ctl overlay list`", "warning"


def overlay_text(entry: dict[str, Any]) -> tuple[str, Colour]:
    """Gives an entry of the overlay, with the colour of a warning if it changes nothing."""
    where = short(entry.get("pointer") or "the whole document")
    text = f"{where} set to {short(entry['value'])}" if entry.get("value") is not None else f"{where} removed"
    if entry.get("changes") != 0:
        return text, "plain"
    conflict: dict[str, Any] = next(iter(entry.get("conflicts") or []), {})
    return f"{text}: changes nothing, because {short(conflict.get('why'))}", "warning"


def desk_lines(
    report: dict[str, Any], painter: Painter, now: datetime, end: str = "", embargoes: Sequence[str] = ()
) -> list[str]:
    """Gives the lines of the report of one feed.

    :param end: the end of the command lines that are proposed, with the options that choose this livefeed.
    :param embargoes: the lines about everything that is to happen at a time.
    """
    name, state = printable(str(report.get("feed"))), str(report.get("state"))
    lines = [f"{painter.paint(name, 'strong')}  {painter.paint(printable(state), _colour(state))}"]
    lines.append(f"{watchers_see(report, now)}.")
    facts = [f"{label:{_WIDTH}}  {painter.paint(text, colour)}" for label, text, colour in _facts(report, now)]
    facts += [f"{'embargo':{_WIDTH}}  {each}" for each in embargoes]
    lines += ["", *facts] if facts else []
    lines += _rules(report, painter, now)
    lines += _versions(report, painter, now)
    proposals = [
        [Cell(f"livefeed ctl {command}{end}", "strong"), Cell(effect)] for command, effect in _proposals(report, name)
    ]
    return [*lines, "", *painter.table([Cell("POSSIBLE NOW", "faint"), Cell("")], proposals)]


def _facts(report: dict[str, Any], now: datetime) -> Iterator[tuple[str, str, Colour]]:
    shown, waiting, decision = report.get("shown"), report.get("waiting"), report.get("decision")
    if isinstance(shown, dict) and shown.get("version"):
        text = f"version {version(shown['version'])}, sequence {short(shown.get('sequence'))}"
        if isinstance(shown.get("bytes"), int):
            text += f", {count(shown['bytes'])} bytes"
        yield "shown", f"{text}, {duration(shown.get('age_s'))} old", "plain"
    if isinstance(decision, dict):
        yield "decision", decision_text(decision, now), _colour(str(report.get("state")))
    if isinstance(waiting, dict):
        yield "waiting", waiting_text(waiting, decision), "warning"
        for text in _release_texts(waiting):
            yield "", f"{text[0].lower()}{text[1:]}", "plain"
    yield from _reasons(report)
    for alarm in report.get("alarms") or []:
        yield "alarm", alarm_text(alarm, now), "warning"
    for entry in report.get("overlay") or []:
        yield "overlay", *overlay_text(entry)
    if report.get("warning"):
        yield "warning", short(report["warning"]), "warning"


def _reasons(report: dict[str, Any]) -> Iterator[tuple[str, str, Colour]]:
    """Gives the reason of the state, unless a decision or a waiting document tells it, and why pulls fail."""
    state = str(report.get("state"))
    is_explained = report.get("decision") is not None or report.get("waiting") is not None
    if report.get("reason") and not is_explained:
        yield "reason", short(report["reason"]), _colour(state)
    # Of the other states, that is the reason.
    if (is_explained or state in HIDING) and (failing := failing_text(report)) is not None:
        yield "source", failing, "bad"


def _rules(report: dict[str, Any], painter: Painter, now: datetime) -> list[str]:
    rows = []
    for rule in report.get("rules") or []:
        until = rule.get("released_until")
        note = Cell(f"off until {clock(until, now)}", "warning") if until else Cell("")
        rows.append([Cell(short(rule.get(name)), "plain") for name in ("name", "kind", "action")] + [note])
    heads = [Cell(name, "faint") for name in ("RULE", "KIND", "ACTION", "")]
    return ["", *painter.table(heads, rows)] if rows else []


def _released(report: dict[str, Any], now: datetime) -> Iterator[tuple[str, str]]:
    """Gives the rules that hold nothing now, with the times at which that ends."""
    for rule in report.get("rules") or []:
        if rule.get("released_until"):
            yield short(rule.get("name")), clock(rule["released_until"], now)


def _versions(report: dict[str, Any], painter: Painter, now: datetime) -> list[str]:
    rows = [
        [Cell(version(each.get("version"))), Cell(short(each.get("sequence"))), Cell(clock(each.get("at"), now))]
        for each in report.get("versions") or []
    ]
    heads = [Cell(name, "faint") for name in ("VERSION THAT CAN BE PINNED", "SEQUENCE", "SHOWN FROM")]
    return ["", *painter.table(heads, rows)] if rows else []


def _proposals(report: dict[str, Any], name: str) -> Iterator[tuple[str, str]]:
    """Gives the commands that help in the state of a feed, with their effects."""
    decision, waiting = report.get("decision"), report.get("waiting")
    kind = decision.get("kind") if isinstance(decision, dict) else None
    if kind in ("withdraw", "end"):
        yield f"resume {name}", "watchers are shown the document again, and newer ones"
        return
    if isinstance(waiting, dict) and waiting.get("rule"):
        if kind != "pin":
            yield f"release {name}", "watchers are shown the document that waits"
        rule = short(waiting["rule"])
        yield f"release {name} --rule {rule} --for 10m", "the rule does not hold for that time"
    elif isinstance(waiting, dict) and kind != "pin":
        yield f"release {name} --once", "watchers are shown the document that waits, and later ones wait"
    if kind == "pin":
        yield f"unpin {name}", "watchers are shown the newest document again"
    elif kind == "hold":
        if not (isinstance(waiting, dict) and waiting.get("rule")):
            yield f"release {name}", "watchers are shown the newest document again"
    else:
        yield f"hold {name}", "watchers keep the version that they have, whatever comes"
    yield from _ways_back(report, name)
    if report.get("version"):
        yield f"withdraw {name}", "watchers are shown no document"


def _ways_back(report: dict[str, Any], name: str) -> Iterator[tuple[str, str]]:
    """Gives the commands that show an earlier version, with their effects."""
    if report.get("rollback_to"):
        effect = f"watchers are shown version {version(report['rollback_to'])}, and newer ones wait"
        yield f"rollback {name}", effect
    others = any(each.get("version") != report.get("version") for each in report.get("versions") or [])
    if others and "rollback_to" not in report:
        # An older livefeed does not say where it would lead.
        yield f"rollback {name}", "watchers are shown the version before, and newer ones wait"
    if others:
        yield f"pin {name} VERSION", "watchers are shown that one of the versions above, and newer ones wait"


def _colour(state: str) -> Colour:
    return STATES.get(state, UNKNOWN_STATE)
