"""``livefeed recording``: shows the contents of a recording, checks it, and takes versions out of it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from livefeed.cli.recorded_statements import RecordedStatements
from livefeed.cli.tables import Cell, Painter, count, counted, duration, printable, wants_colour
from livefeed.document.exact_json import encode
from livefeed.document.timestamps import timestamp
from livefeed.exceptions import FollowError, RecordingError
from livefeed.storage.record_file import Ending
from livefeed.storage.recording import Contents, Recording
from livefeed.storage.recording_time import HOW, clock_of, seconds_into

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.storage.record_file import Entry

HELP = "show, check and take apart a recording"
DESCRIPTION = (
    "Reads recordings, the files NAME.versions and NAME.refused of a state directory, which have the same format, and "
    "recordings that are being written. Exit codes: 0 done; 1 the file is damaged, or cannot be read, with the place "
    "on standard error; 2 the command line is wrong; 3 (export) there is no such version; 4 (info, verify) the file "
    "has no end: it was cut, its writer was killed, or it is still being written."
)

DONE, FAILED, WRONG_USE, NOT_FOUND, NOT_COMPLETE = range(5)
"""The exit codes."""

_LIST_WHY = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the commands and their options."""
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="recording_command")
    for name, text in (
        ("info", "show what is in it: times, number of versions, size"),
        ("list", "show one line for each version and change of state"),
        ("verify", "read all of it, and check that it is whole and was not changed"),
        ("export", "write the versions as lines of JSON, or one of them as a file"),
    ):
        command = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        command.add_argument("file", type=Path, metavar="FILE", help="the recording")
        if name == "verify":
            command.add_argument(
                "--keys",
                type=Path,
                metavar="FILE",
                help="verify by these public keys that all versions are signed",
            )
        if name != "export":
            command.add_argument("--json", action="store_true", help="print JSON")
            continue
        which = command.add_mutually_exclusive_group()
        which.add_argument("--at", type=_time, metavar="TIME", help=f"the version that was shown at that time; {HOW}")
        which.add_argument("--number", type=int, metavar="N", help="the version with that number in the recording")
        which.add_argument("--version", metavar="VERSION", help="the version by its hash, or the beginning of that")
        command.add_argument("--output", type=Path, metavar="FILE", help="the file to write [default: standard output]")


def _time(text: str) -> str:
    try:
        # Only to check the text: its meaning depends on the recording.
        seconds_into(text, 0.0, 0.0)
    except RecordingError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def run(options: argparse.Namespace) -> int:
    """Runs a command, and gives the exit code."""
    try:
        with Recording(options.file) as recording:
            return _RUN[options.recording_command](recording, options)
    except (RecordingError, FollowError) as error:
        print(f"livefeed: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return FAILED


def report_of(contents: Contents) -> dict[str, Any]:
    """Gives the contents of a recording as a value for JSON."""
    beginning = contents.beginning
    return {
        "feed": beginning.feed,
        "source": beginning.source,
        "by": beginning.by,
        "began_at": timestamp(beginning.at),
        "ended_at": timestamp(beginning.at + contents.length_s),
        "length_s": round(contents.length_s, 3),
        "versions": contents.versions,
        "states": contents.states,
        "bytes": contents.bytes,
        "document_bytes": contents.document_bytes,
        "ending": contents.ending.value,
        "chain": contents.chain,
    }


def _info(recording: Recording, options: argparse.Namespace) -> int:
    contents = recording.scan()
    if options.json:
        print(json.dumps(report_of(contents), indent=2))
    else:
        print("\n".join(_lines_of(contents)))
    return DONE if contents.ending is Ending.COMPLETE else NOT_COMPLETE


def _lines_of(contents: Contents) -> list[str]:
    beginning = contents.beginning
    facts = [
        ("feed", beginning.feed or "-"),
        ("recorded from", beginning.source or "-"),
        ("recorded by", beginning.by or "-"),
        ("begins", clock_of(beginning.at)),
        ("ends", f"{clock_of(beginning.at + contents.length_s)}, after {duration(contents.length_s)}"),
        ("versions", f"{count(contents.versions)}, {counted(contents.states, 'change')} of state"),
        ("size", f"{count(contents.bytes)} bytes, for documents of {count(contents.document_bytes)} bytes together"),
        ("ending", _ending_of(contents)),
    ]
    width = max(len(name) for name, _ in facts)
    return [f"{name:{width}}  {printable(text)}" for name, text in facts]


def _ending_of(contents: Contents) -> str:
    if contents.ending is Ending.COMPLETE:
        # The lines of the records alone were read, and no document.
        return "complete; not verified: livefeed recording verify reads all of it"
    return (
        f"{contents.why_not_complete}: it was cut, its writer was killed, or it is still being written; everything "
        "before is whole"
    )


def _verify(recording: Recording, options: argparse.Namespace) -> int:
    statements = None if options.keys is None else RecordedStatements.of(options.keys)
    damage, offset = _read_all(recording, statements)
    place = recording.position[1]
    is_complete = recording.ending is Ending.COMPLETE
    why_not_signed = "" if statements is None else statements.why
    if options.json:
        report = {
            "whole": is_complete,
            "versions": place.versions,
            "length_s": round(place.elapsed_s, 3),
            "chain": place.chain.decode(),
            "damaged_at_byte": offset,
            "why": damage or _why_incomplete(recording),
        }
        signed = {} if statements is None else {"signed": statements.verified, "why_not_signed": why_not_signed}
        print(json.dumps(report | signed, indent=2))
    elif is_complete:
        versions = counted(place.versions, "version")
        print(f"whole: {versions} in {duration(place.elapsed_s)}; last hash {place.chain.decode()}")
        if statements is not None and not why_not_signed:
            print(f"signed: {counted(statements.verified, 'version')}, in this order")
    if damage or why_not_signed:
        print(f"livefeed: {damage or f'{options.file}: {why_not_signed}'}", file=sys.stderr)
        return FAILED
    if is_complete:
        return DONE
    why = (
        f"{options.file}: {_why_incomplete(recording)}, at byte {recording.position[0]}: it was cut, its writer was "
        f"killed, or it is still being written; the {place.versions} versions before are whole"
    )
    print(f"livefeed: {why}", file=sys.stderr)
    return NOT_COMPLETE


def _read_all(recording: Recording, statements: RecordedStatements | None) -> tuple[str, int | None]:
    """Reads all records, and gives the damage, if there is one, and its place in bytes."""
    try:
        for entry in recording.entries():
            if statements is not None:
                statements.take(entry)
    except RecordingError as error:
        if error.offset is None:
            raise
        return str(error), error.offset
    return "", None


def _why_incomplete(recording: Recording) -> str:
    if recording.ending is Ending.COMPLETE:
        return ""
    return "its last record is incomplete" if recording.ending is Ending.TORN else "it has no end"


def _list(recording: Recording, options: argparse.Namespace) -> int:
    rows = []
    while (entry := recording.next(passes_over=True)) is not None:
        if entry.head.kind in ("beginning", "end"):
            continue
        if options.json:
            print(json.dumps(_row_of(entry)))
        else:
            rows.append(_cells_of(entry))
    if rows:
        heads = [Cell("TIME", "faint"), *(Cell(name, "faint", is_right=True) for name in ("NUMBER", "BYTES"))]
        heads += [Cell(name, "faint") for name in ("VERSION", "SEQUENCE", "")]
        print("\n".join(Painter(wants_colour(sys.stdout, os.environ)).table(heads, rows)))
    return DONE


def _row_of(entry: Entry) -> dict[str, Any]:
    """Gives the facts about a record, for JSON."""
    head = entry.head
    row: dict[str, Any] = {"at": timestamp(entry.at), "elapsed_s": round(entry.elapsed_s, 3), "number": entry.number}
    if head.has_document:
        row |= {"version": head.version, "sequence": str(head.sequence), "bytes": head.size or head.bytes}
    named = {"state": head.state, "rule": head.rule, "pointer": head.pointer, "why": head.why}
    return row | {name: value for name, value in named.items() if value}


def _cells_of(entry: Entry) -> list[Cell]:
    head = entry.head
    more = ": ".join(each for each in (head.state or head.rule, head.why[:_LIST_WHY]) if each)
    if not head.has_document:
        return [Cell(clock_of(entry.at)), Cell(""), Cell(""), Cell(""), Cell(""), Cell(more, "warning")]
    return [
        Cell(clock_of(entry.at)),
        Cell(str(entry.number), is_right=True),
        Cell(count(head.size or head.bytes), is_right=True),
        Cell(head.version[:12]),
        Cell(str(head.sequence) if head.number else ""),
        Cell(more, "warning"),
    ]


def _export(recording: Recording, options: argparse.Namespace) -> int:
    if options.at is None and options.number is None and options.version is None:
        return _export_all(recording, options.output)
    found = _find(recording, options)
    if found is None or found.data is None:
        print(f"livefeed: {options.file}: there is no such version{_range_of(recording, options)}", file=sys.stderr)
        return NOT_FOUND
    with _Output(options.output) as output:
        output.write(found.data)
    if options.output is not None:
        head = found.head
        print(f"version {head.version}, number {found.number}, of {clock_of(found.at)}: {count(len(found.data))} bytes")
    return DONE


def _range_of(recording: Recording, options: argparse.Namespace) -> str:
    """Gives the numbers that a user can name, if one was named that is none."""
    if options.number is None:
        return ""
    versions = recording.scan().versions
    return f" {options.number}: the versions are 1 to {versions}" if versions else ": it has no versions"


def _find(recording: Recording, options: argparse.Namespace) -> Entry | None:
    """Gives the version that was asked for, and ``None`` if there is none."""
    contents = recording.scan()
    if options.at is not None:
        elapsed_s = seconds_into(options.at, contents.beginning.at, contents.length_s)
        recording.move_near(contents, elapsed_s)
        return _last_until(recording, lambda entry: entry.elapsed_s <= elapsed_s)
    if options.number is not None:
        recording.move_near_version(contents, options.number)
        found = _last_until(recording, lambda entry: entry.number <= options.number)
        return found if found is not None and found.number == options.number else None
    wanted = options.version.lower()
    for entry in recording.entries():
        if entry.data is not None and wanted and entry.head.version.startswith(wanted):
            return entry
    return None


def _last_until(recording: Recording, is_before: Callable[[Entry], bool]) -> Entry | None:
    found = None
    for entry in recording.entries():
        if not is_before(entry):
            break
        found = entry if entry.data is not None else found
    return found


def _export_all(recording: Recording, path: Path | None) -> int:
    with _Output(path) as output:
        for entry in recording.entries():
            if entry.head.kind in ("beginning", "end"):
                continue
            line = encode(_row_of(entry))
            if entry.data is not None:
                line = line[:-1] + b',"document":' + _on_one_line(entry.data) + b"}"
            output.write(line + b"\n")
    return DONE


def _on_one_line(data: bytes) -> bytes:
    # In JSON, these characters only stand between values: those in texts are escaped.
    return data.replace(b"\n", b" ").replace(b"\r", b" ")


class _Output:
    """A file that is put in its place when it is whole, or standard output."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._new = None if path is None else path.with_name(f".{path.name}.new")
        self._stream: Any = None

    def __enter__(self) -> Any:
        try:
            self._stream = sys.stdout.buffer if self._new is None else self._new.open("wb")
        except OSError as error:
            raise RecordingError(f"{self._path}: {error.strerror}") from None
        return self._stream

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._new is None or self._path is None:
            self._stream.flush()
            return
        try:
            self._stream.close()
            if kind is None:
                self._new.replace(self._path)
        except OSError as error:
            raise RecordingError(f"{self._path}: {error.strerror}") from None
        finally:
            self._new.unlink(missing_ok=True)


_RUN: dict[str, Callable[[Recording, argparse.Namespace], int]] = {
    "info": _info,
    "list": _list,
    "verify": _verify,
    "export": _export,
}
