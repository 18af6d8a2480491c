#!/usr/bin/env python3
"""A scorekeeper: adds a goal to a match.

Several of them may press at the same moment, and no goal is lost or counted twice.

    python scorekeeper.py home --socket /run/livefeed/default/admin.sock
    python scorekeeper.py away --url https://desk.example.org:9443 --token-file token

It needs httpx: pip install httpx. The exit codes are those of ``livefeed publish``: 0 watchers see the goal; 1 it is
refused; 2 the command line is wrong; 3 livefeed does not answer; 4 the goal is stored, and watchers are not shown it.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx

FEED = "/feeds/match"
TEAMS = ("home", "away")
NEW_MATCH: dict[str, Any] = {"home": 0, "away": 0, "goals": []}

AGAIN = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.INSUFFICIENT_STORAGE)
"""The answers after which the same request may succeed later."""

PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0

TIMEOUT_S = 40.0
"""livefeed answers after 15 s at most, and later only if it hangs."""

Change = Callable[[dict[str, Any]], dict[str, Any]]

DONE, REFUSED, UNREACHABLE, HELD = 0, 1, 3, 4


class RefusedError(Exception):
    """livefeed refuses the request, and would refuse it again."""


class UnreachableError(Exception):
    """livefeed has not answered in time."""


@dataclass(frozen=True, slots=True)
class Retries:
    """Repeats requests until a time.

    :ivar until: when to give up, on the monotonic clock.
    """

    until: float

    def ask(self, request: Callable[[], httpx.Response]) -> httpx.Response:
        """Gives the first answer that repeating the request would not change.

        The pauses grow, and half of each is random, so that publishers do not come back all at once.

        :raises UnreachableError: if there is none in time.
        """
        pause_s = PAUSE_S
        while True:
            wait_s = pause_s * random.uniform(0.5, 1)
            try:
                answer = request()
            except httpx.TransportError as error:
                why = str(error) or type(error).__name__
            else:
                if answer.status_code not in AGAIN:
                    return answer
                why = answer.text.strip()
                if answer.headers.get("Retry-After", "").isdecimal():
                    wait_s = max(wait_s, float(answer.headers["Retry-After"]))
            if time.monotonic() + wait_s > self.until:
                raise UnreachableError(why)
            time.sleep(wait_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)


def update(client: httpx.Client, change: Change, retries: Retries) -> dict[str, Any]:
    """Reads the document, changes it, and stores it if nobody else has stored another one meanwhile.

    A request without an answer may have been carried out. So may the one before a 412, and it is made again:
    *change* must give a document unchanged that has the change already.

    :returns: livefeed's report.
    :raises RefusedError: if the document is refused.
    :raises UnreachableError: if livefeed does not answer in time, or others are faster all the time.
    """
    while True:
        stored = retries.ask(partial(client.get, FEED))
        if stored.is_success:
            document, condition = change(stored.json()), {"If-Match": stored.headers["ETag"]}
        elif stored.status_code == httpx.codes.NOT_FOUND:
            document, condition = change(NEW_MATCH), {"If-None-Match": "*"}
        else:
            raise RefusedError(stored.text.strip())
        answer = retries.ask(partial(client.put, FEED, json=document, headers=condition))
        if answer.is_success:
            report: dict[str, Any] = answer.json()
            return report
        if answer.status_code != httpx.codes.PRECONDITION_FAILED:
            raise RefusedError(answer.text.strip())
        # Somebody else was faster: the goal is added to the document that they have stored.
        if time.monotonic() > retries.until:
            raise UnreachableError("others store their documents all the time")


def with_goal(match: dict[str, Any], team: str, goal: str) -> dict[str, Any]:
    """Gives a match with one more goal, or the same one if it has this goal already."""
    if any(each["id"] == goal for each in match["goals"]):
        return match
    return {**match, team: match[team] + 1, "goals": [*match["goals"], {"id": goal, "team": team}]}


def client_of(options: argparse.Namespace) -> httpx.Client:
    """Gives a client of the operator's port.

    The token is in no argument, which all users of the machine can read.
    """
    if options.socket is not None:
        return httpx.Client(
            transport=httpx.HTTPTransport(uds=options.socket), base_url="http://localhost", timeout=TIMEOUT_S
        )
    token = Path(options.token_file).read_text("ascii").strip()
    return httpx.Client(base_url=options.url, headers={"Authorization": f"Bearer {token}"}, timeout=TIMEOUT_S)


def main() -> int:
    parser = argparse.ArgumentParser(description="Adds a goal to the match in livefeed.")
    parser.add_argument("team", choices=TEAMS)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--socket", metavar="PATH", help="the operator's socket of a livefeed on this machine")
    where.add_argument("--url", metavar="URL", help="an endpoint of --admin, such as https://desk.example.org:9443")
    parser.add_argument("--token-file", metavar="FILE", help="the file with the token, for --url")
    parser.add_argument("--patience", type=float, default=30, metavar="S", help="give up after this time [default: 30]")
    options = parser.parse_args()
    if options.url is not None and not (options.url.startswith("https://") and options.token_file):
        parser.error("--url needs https:// and --token-file: the token goes to nobody else")
    goal = str(uuid.uuid4())
    try:
        with client_of(options) as client:
            retries = Retries(time.monotonic() + options.patience)
            report = update(client, lambda match: with_goal(match, options.team, goal), retries)
    except RefusedError as error:
        print(f"refused: {error}", file=sys.stderr)
        return REFUSED
    except UnreachableError as error:
        print(f"livefeed does not answer, and the goal may not be stored: {error}", file=sys.stderr)
        return UNREACHABLE
    if not report["live"]:
        # 202: it is safe, and an operator decides. Sending it again would change nothing.
        print(f"stored, but not shown: {report['why']}. The desk decides: livefeed ctl desk", file=sys.stderr)
        return HELD
    print(f"stored, and shown as {report['sequence']}")
    return DONE


if __name__ == "__main__":
    sys.exit(main())
