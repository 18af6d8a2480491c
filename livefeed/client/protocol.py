"""The decisions of a client, without input and output: when it connects, polls, waits and stops.

A front end calls a method for each event, performs the actions that the method gives, in their order, and calls
:meth:`Protocol.wake` at :attr:`Protocol.wakes_at`. All times are seconds by the front end's monotonic clock.

The ladder: a WebSocket with ``livefeed.delta.v2``; if that cannot be had although the server can be reached, polls, and
another try of the WebSocket from time to time.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from livefeed.client.actions import Connect, Disconnect, Failed, Get, Send, Show, Stop
from livefeed.client.answers import SPLICES, is_older
from livefeed.client.items import Item, Items, Outcome, version_of
from livefeed.client.messages import (
    GOING_AWAY,
    SUBPROTOCOL,
    MessageError,
    come_back_ms,
    read_message,
    says_stay_away,
)
from livefeed.client.update import HIDING, Line, Shown, State
from livefeed.client.verification import Verifier
from livefeed.document.exact_json import encode
from livefeed.exceptions import FollowError

if TYPE_CHECKING:
    from collections.abc import Callable

    from livefeed.client.actions import Action
    from livefeed.client.address import Address
    from livefeed.client.answers import Answer
    from livefeed.client.messages import Message
    from livefeed.client.verification import Trust

MAX_BYTES = 16 * 1024 * 1024
"""The largest document in bytes that is taken, unless the user sets another limit."""

MIN_CONNECTION_S = 5.0
"""A connection that ends before counts as a failure: a server that accepts and closes would be asked without end."""

MOST_SHORT = 2
"""After so many of them in a row that the server did not ask for, the client polls: a proxy may end all WebSockets."""

FIRST_BACKOFF_S, MAX_BACKOFF_S = 1.0, 60.0
"""The longest waits after the first failure, and after many. The actual wait is between half of it and all of it."""

RETURN_S = 6.0
"""The wait after a server is stopped that names no time."""

GONE_S = 30.0
"""The shortest wait after a 410 that names no time; the longest is twice as long."""

TRY_AGAIN_S, MAX_TRY_AGAIN_S = 60.0, 900.0
"""The times after which a client that polls tries a WebSocket again: the first, and the longest."""

ENDED_S, MAX_ENDED_S = 30.0, 240.0
"""The shortest waits until a document that has ended is asked for again: the first, since a mistake is taken back soon,
and the last. Each is twice as long as the one before, and a random part can double it. 50,000 clients are 140 requests
per second at last."""

ANSWER_S = 20.0
"""The longest wait for a handshake, a first message, or an answer."""

TICK_S = 1.0
"""The time between two polls of a server that does not name it."""

MAX_TICK_S = 3600.0
"""The longest time between two ticks, as the server's setting allows it. A longer one is not believed: it would keep a
document live that nobody confirms."""

GRACE_S = 3.0
"""Without a word for two ticks and this time, a document is not live, and a connection is dead. If heartbeats are rarer
than ticks, two of them take the place of two ticks."""

UNKNOWN_SILENCE_S = 60.0
"""The same for a server that never names its next tick."""

MAX_DELAY_S = 3600.0
"""The longest wait in seconds that a server can ask for. One that is wrong does not silence its clients for days."""


class _Phase(Enum):
    STOPPED = auto()
    CONNECTING = auto()
    OPEN = auto()
    GETTING = auto()
    WAITING = auto()


@dataclass(slots=True)
class Protocol:
    """One client of one document.

    :ivar trust: the keys that must have signed the document; ``None`` to verify no signatures.
    :ivar wakes_at: the time at which :meth:`wake` must be called; ``None`` once the client has stopped.
    :ivar received_bytes: the size of all messages and contents so far, without compression.
    """

    # required parameters
    address: Address

    # optional parameters
    max_bytes: int = MAX_BYTES
    can_push: bool = True
    part: Callable[[], float] = random.random
    trust: Trust | None = None

    # internal state
    wakes_at: float | None = None
    received_bytes: int = 0
    _items: Items = field(init=False)
    _phase: _Phase = _Phase.STOPPED
    _line: Line = Line.CONNECTING
    _problem: str = ""
    _last: Shown = field(default_factory=Shown)
    _failures: int = 0
    _looks: int = 0  # at a document that has ended
    _opened_at: float = 0.0
    _due_at: float = 0.0  # the end of the wait, or of the patience with a connection
    _silent_at: float | None = None  # when the document is no longer live without a word
    _interval_s: float = 0.0
    _push_at: float = 0.0  # a client that polls tries a WebSocket again
    _push_failures: int = 0
    _is_next_push: bool = True
    _ask_at: float | None = None  # the own item was refused, and is asked for again
    _asked_at: float | None = None  # the client could not apply a message, and has asked for the document
    _tag: str | None = None
    _wants_splices: bool = True

    def __post_init__(self) -> None:
        verifier = None if self.trust is None else Verifier(self.trust)
        self._items = Items(Item(None, verifier=verifier), self.max_bytes)

    @property
    def item(self) -> Item:
        """The document that is followed."""
        return self._items.own

    def age_s(self, now: float) -> float | None:
        """Gives the seconds since the server last confirmed the document; ``None`` if that is not known."""
        confirmed = self.item.confirmed_s
        return None if confirmed is None else max(0.0, now - confirmed)

    def waiting_s(self, now: float) -> float | None:
        """Gives the seconds for which a newer document has been held back; ``None`` if none waits."""
        since = self.item.waits_since_s
        return None if since is None else max(0.0, now - since)

    # Events, in the order in which they usually come.

    def start(self, now: float) -> list[Action]:
        """Begins to follow."""
        return self._settled(self._push(now) if self.can_push else self._poll(now), now)

    def opened(self, subprotocol: str | None, now: float) -> list[Action]:
        """Takes note of a WebSocket that is open.

        :param subprotocol: the one that the server has chosen.
        """
        if self._phase is not _Phase.CONNECTING:
            return []
        if subprotocol != SUBPROTOCOL:
            self._push_failures = 99  # not again before the longest time
            return self._settled(
                [Disconnect(), *self._poll_instead(now, "the server does not know " + SUBPROTOCOL)], now
            )
        self._phase, self._opened_at, self._due_at = _Phase.OPEN, now, now + ANSWER_S
        self._push_failures = 0
        return self._settled([], now)

    def received(self, text: str | bytes, now: float) -> list[Action]:
        """Takes a message of the WebSocket."""
        if self._phase is not _Phase.OPEN:
            return []
        self.received_bytes += len(text)
        try:
            message = read_message(text)
        except MessageError as error:
            return self._settled([Disconnect(), *self._wait_after_failure(now, str(error))], now)
        if message is None:
            return []
        actions = self._take(message, now)
        if self._phase is _Phase.OPEN:
            self._line, self._problem = Line.OPEN, ""
            if message.kind != "refused":  # which says nothing about the document that is shown
                self._hear(message.next_ms, now, message.heartbeat_ms)
            self._due_at = self._silent_at or now + UNKNOWN_SILENCE_S
            if self._is_over():
                actions += [Disconnect(), *self._rest(now)]
        return self._settled(actions, now)

    def closed(self, code: int | None, reason: str, now: float) -> list[Action]:
        """Takes note of a WebSocket that was open and has ended.

        :param code: the close code; ``None`` without one.
        :param reason: the reason.
        """
        if self._phase is not _Phase.OPEN:
            return []
        if says_stay_away(code):
            why = f"the server wants this client to stay away (close code {code}): {reason or 'no reason given'}"
            return self._settled(self._stop(FollowError(why)), now)
        is_short = now - self._opened_at < MIN_CONNECTION_S
        self._failures = self._failures + 1 if is_short else 0
        delay_s = self._backoff_s() if is_short else 0.0
        named = come_back_ms(code, reason)
        if named is not None:
            return self._settled(self._wait(max(delay_s, named / 1000), now, "the server is being restarted"), now)
        if code == GOING_AWAY:
            delay_s = max(delay_s, RETURN_S * (1 + self.part() / 2))
            return self._settled(self._wait(delay_s, now, "the server is being restarted"), now)
        why = f"the connection was closed ({code or 'without a close code'})"
        if self._failures >= MOST_SHORT:
            return self._settled(self._poll_instead(now, why), now)
        return self._settled(self._wait(max(delay_s, FIRST_BACKOFF_S * self.part()), now, why), now)

    def failed(self, failure: Failed, now: float) -> list[Action]:
        """Takes note of a WebSocket that could not be opened, or of a request without an answer."""
        if self._phase is _Phase.CONNECTING:
            if not failure.status and not failure.was_reached:
                return self._settled(self._wait_after_failure(now, failure.why), now)
            why = f"{self.address.url}: {failure.why}"
            refused = self._refused(replace(failure, why=why), now)
            return self._settled(self._poll_instead(now, why) if refused is None else refused, now)
        if self._phase is _Phase.GETTING:
            return self._settled(self._wait_after_failure(now, failure.why), now)
        return []

    def answered(self, answer: Answer, now: float) -> list[Action]:  # noqa: PLR0911
        """Takes the answer to a request."""
        if self._phase is not _Phase.GETTING:
            return []
        self.received_bytes += len(answer.content)
        if answer.status not in (200, 226, 304):
            url = self.address.url
            why = f"{url}: {answer.detail}" if answer.detail else f"{url} is answered with status {answer.status}"
            if 300 <= answer.status < 400:  # noqa: PLR2004
                why = f"{url} has moved to {answer.fields.get('location', 'another place')}"
                return self._settled(self._stop(FollowError(why, answer.status)), now)
            failure = Failed(why, answer.status, answer.retry_after_s, was_reached=True, page=answer.page)
            refused = self._refused(failure, now, answer)
            return self._settled(self._wait_after_failure(now, why) if refused is None else refused, now)
        why = answer.why_no_document(self.address.url)
        if why:
            # A client that has the document waits: a proxy may show a page of its own for a while.
            stops = not self._has_base
            return self._settled(self._stop(FollowError(why)) if stops else self._wait_after_failure(now, why), now)
        if answer.status != 304 and is_older(answer.sequence, self.item.sequence):  # noqa: PLR2004
            # The answer of a cache. It is no evidence that the document is live; the next one will be newer.
            return self._settled(self._wait_for_next(answer, now), now)
        if not self._accept(answer, now):
            if self.item.distrust:
                return self._settled(self._wait_after_failure(now, self.item.distrust), now)
            if self._wants_splices and answer.status == 226:  # noqa: PLR2004
                self._wants_splices = False
                return self._settled(self._poll(now), now)
            self._tag = None
            return self._settled(
                self._wait_after_failure(now, "an answer does not have the version that it names"), now
            )
        self._wants_splices = True
        self._failures, self._line, self._problem = 0, Line.POLLING, ""
        self._hear(answer.next_ms, now)
        return self._settled(self._rest(now) if self._is_over() else self._wait_for_next(answer, now), now)

    def refresh(self, now: float) -> list[Action]:
        """Ends the present wait, such as that of a document that has ended."""
        if self._phase is _Phase.WAITING:
            self._due_at = now
        return self.wake(now)

    def wake(self, now: float) -> list[Action]:
        """Does everything that is due."""
        actions: list[Action] = []
        if self._phase is _Phase.STOPPED:
            return actions
        if self._phase is _Phase.OPEN and self._ask_at is not None and now >= self._ask_at:
            self._ask_at = None
            actions.append(self._ask(have=self.item.version))
        if now >= self._due_at:
            if self._phase is _Phase.WAITING:
                actions += self._push(now) if self._is_next_push else self._poll(now)
            elif self._phase is _Phase.GETTING:
                actions += self._wait_after_failure(now, f"no answer came within {ANSWER_S:g} s")
            else:
                was_open = self._phase is _Phase.OPEN
                actions.append(Disconnect())
                why = "the connection was silent for too long" if was_open else f"no handshake within {ANSWER_S:g} s"
                actions += self._poll_instead(now, why)
        return self._settled(actions, now)

    # Steps.

    def _push(self, now: float) -> list[Action]:
        self._phase, self._due_at, self._asked_at = _Phase.CONNECTING, now + ANSWER_S, None
        if self._line is Line.OPEN:
            self._line = Line.CONNECTING
        return [Connect(self.address.websocket_url(self.item.version))]

    def _poll(self, now: float) -> list[Action]:
        self._phase, self._due_at = _Phase.GETTING, now + ANSWER_S
        fields = {}
        if self._has_base and self._tag is not None:
            fields["If-None-Match"] = self._tag
            if self._wants_splices:
                fields["A-IM"] = SPLICES
        return [Get(fields)]

    @property
    def _has_base(self) -> bool:
        return self.item.content is not None

    def _poll_instead(self, now: float, why: str) -> list[Action]:
        """Polls, since the WebSocket cannot be had, and tries that again later."""
        self._problem = why
        delay_s = min(TRY_AGAIN_S * 2.0 ** min(self._push_failures, 10), MAX_TRY_AGAIN_S)
        self._push_failures += 1
        self._push_at = now + delay_s * (1 + self.part() / 4)
        if self.item.verified:
            self._tag = f'"{self.item.version}"'
        return self._poll(now)

    def _wait(self, delay_s: float, now: float, why: str = "", *, is_next_push: bool = True) -> list[Action]:
        """Waits until the next attempt."""
        self._phase, self._due_at = _Phase.WAITING, now + min(delay_s, MAX_DELAY_S)
        self._is_next_push = is_next_push and self.can_push
        self._ask_at = None
        if why:
            self._line, self._problem = Line.OFFLINE, why
        return []

    def _wait_after_failure(self, now: float, why: str, at_least_s: float = 0.0) -> list[Action]:
        self._failures += 1
        delay_s = max(self._backoff_s(), at_least_s)
        return self._wait(delay_s, now, why, is_next_push=now + delay_s >= self._push_at)

    def _wait_for_document(self, now: float, why: str, delay_s: float) -> list[Action]:
        """Waits for a document at a server that answers, and has none."""
        self._failures, self._line, self._problem = 0, Line.POLLING, why
        return self._wait(delay_s, now, is_next_push=now + delay_s >= self._push_at)

    def _backoff_s(self) -> float:
        longest_s = min(FIRST_BACKOFF_S * 2.0 ** min(self._failures - 1, 10), MAX_BACKOFF_S)
        return longest_s * (1 + self.part()) / 2

    def _wait_for_next(self, answer: Answer, now: float) -> list[Action]:
        """Waits until the next poll is due, as docs/reference/protocol.md describes it."""
        interval_s = self._interval_s or TICK_S
        next_s = interval_s if answer.next_ms is None else answer.next_ms / 1000
        delay_s = max(next_s + self.part() * interval_s / 10, interval_s / 2)
        if answer.retry_after_s is not None:
            delay_s = max(delay_s, answer.retry_after_s + self.part())
        return self._wait(delay_s, now, is_next_push=now + delay_s >= self._push_at)

    def _is_over(self) -> bool:
        """Tells whether the document has ended. After one that goes on, the next end counts from the beginning."""
        is_over = self.item.state is State.ENDED
        if not is_over:
            self._looks = 0
        return is_over

    def _rest(self, now: float) -> list[Action]:
        """Leaves the server alone, since the document has ended, and asks once more after a long time."""
        self._failures, self._line, self._problem = 0, Line.CLOSED, ""
        delay_s = min(ENDED_S * 2.0**self._looks, MAX_ENDED_S)
        self._looks = min(self._looks + 1, 10)
        return self._wait(delay_s * (1 + self.part()), now, is_next_push=False)

    def _refused(self, failure: Failed, now: float, answer: Answer | None = None) -> list[Action] | None:
        """Takes a refusal.

        :param answer: the answer, if it is that to a request for the document.
        :returns: the actions; ``None`` if the status says nothing about the document.
        """
        why, status, retry_after_s = failure.why, failure.status, failure.retry_after_s
        wait_s = (retry_after_s or 0.0) + self.part()
        if status in (401, 403):
            return self._stop(FollowError(self._with_page(failure), status))
        if status == 404:  # noqa: PLR2004
            if not self._has_base:
                form = self.address.form
                # Also where a file of another server was meant, whose name ends so.
                hint = f" (the URL without {form}, which stands for a form of the feed)" if form else ""
                return self._stop(FollowError(f"{self._with_page(failure)}{hint}", status))
            self.item.miss()
            delay_s = max(wait_s, self._interval_s, RETURN_S * (1 + self.part()) / 2)
            return self._wait_for_document(now, why, delay_s)
        if status == 410:  # noqa: PLR2004
            self.item.forget(answer.state if answer is not None and answer.state in HIDING else State.EXPIRED)
            if answer is not None:
                self.item.explain(answer, now)
            gone_s = GONE_S * (1 + self.part()) if retry_after_s is None else wait_s
            return self._wait_for_document(now, why, gone_s)
        if status in (429, 503):
            return self._wait_after_failure(now, why, wait_s)
        return None

    def _with_page(self, failure: Failed) -> str:
        """Gives the reason why nothing can be followed, with the page of the server that says more, if there is one."""
        if not failure.page:
            return failure.why
        return f"{failure.why} {urljoin(self.address.url, failure.page)} says more."

    def _take(self, message: Message, now: float) -> list[Action]:
        outcome, item = self._items.receive(message, now)
        if item is None:
            return []
        if outcome is Outcome.LOST:
            if self._asked_at is not None and now - self._asked_at < ANSWER_S:
                if message.kind == "document":
                    why = f"a document does not have its version, or has more than {self.max_bytes} bytes"
                    return [Disconnect(), *self._wait_after_failure(now, why)]
                # Messages that were on their way cannot be applied either. The server counts the client's messages.
                return []
            self._asked_at = now
            return [self._ask(have=item.version if message.kind == "heartbeat" else None)]
        if outcome is Outcome.UNSIGNED:
            return [Disconnect(), *self._wait_after_failure(now, item.distrust)]
        return self._take_refusal(message, now) if outcome is Outcome.REFUSED else self._note_taken(item, message)

    def _note_taken(self, item: Item, message: Message) -> list[Action]:
        if item is self.item and message.path == item.path:
            self._asked_at = None
        return []

    def _take_refusal(self, message: Message, now: float) -> list[Action]:
        why = message.detail or f"the server refuses {message.path} with status {message.status}"
        if message.retry_ms is None:
            return self._stop(FollowError(why, message.status))
        self._ask_at = now + min(message.retry_ms / 1000, MAX_DELAY_S) + self.part() / 4
        return []

    def _ask(self, have: str | None) -> Send:
        return Send(encode({"follow": self.item.path or self.address.path, "have": have}).decode())

    def _accept(self, answer: Answer, now: float) -> bool:
        """Takes the document of an answer; gives whether it is the one that the answer names."""
        item = self.item
        item.distrust = ""
        if answer.status == 304:  # noqa: PLR2004
            if item.content is None or (answer.version is not None and answer.version != item.version):
                return False
            if not item.trusts(item.content, answer.signed, now):
                return False
        else:
            content = answer.document(item, self.max_bytes)
            if content is None or (answer.version is not None and answer.version != version_of(content)):
                return False
            if not item.trusts(content, answer.signed, now):
                return False
            item.hold(content, answer.version, sequence=answer.sequence)
            self._tag = answer.tag
        item.sequence = answer.sequence
        item.confirm(answer, now)
        item.overlay = answer.overlay
        return True

    def _hear(self, next_ms: int | None, now: float, heartbeat_ms: int | None = None) -> None:
        """Takes note of a sign of life.

        :param heartbeat_ms: milliseconds within which another one comes; ``None`` if one comes at each tick.
        """
        heartbeats_s = 0.0 if heartbeat_ms is None else 2 * min(heartbeat_ms / 1000, MAX_TICK_S)
        if next_ms is None:
            silence_s = 2 * self._interval_s + GRACE_S if self._interval_s else UNKNOWN_SILENCE_S
            self._silent_at = now + max(silence_s, heartbeats_s + GRACE_S)
            return
        next_s = min(next_ms / 1000, MAX_TICK_S)
        self._interval_s = max(next_s, self._interval_s * 0.9)
        self._silent_at = now + max(next_s + self._interval_s, heartbeats_s) + GRACE_S

    def _stop(self, error: FollowError) -> list[Action]:
        was_connected = self._phase in (_Phase.CONNECTING, _Phase.OPEN)
        self._phase, self._line, self._problem = _Phase.STOPPED, Line.OFFLINE, str(error)
        disconnect: list[Action] = [Disconnect()] if was_connected else []
        return [*disconnect, Stop(error)]

    def _settled(self, actions: list[Action], now: float) -> list[Action]:
        """Adds what is to be shown, before the other actions, and finds the next time to wake."""
        self._items.expire(now)
        is_late = self._silent_at is not None and now >= self._silent_at
        # A client that has stopped hears nothing more.
        is_silent = is_late or self._phase is _Phase.STOPPED
        verifier, why = self.item.verifier, ""
        if verifier is not None and self.item.is_shown:
            why = verifier.why_not_fresh(now)
        is_silent = is_silent or bool(why)
        shown = self.item.shown(self._line, self._problem, is_silent=is_silent, distrust=self.item.distrust or why)
        times = [self._due_at]
        if verifier is not None and not why and self.item.is_shown:
            times.append(verifier.fresh_until_s)
        if self._silent_at is not None and not is_silent:
            times.append(self._silent_at)
        if self._ask_at is not None:
            times.append(self._ask_at)
        if self._items.expires_s is not None:
            times.append(self._items.expires_s)
        self.wakes_at = None if self._phase is _Phase.STOPPED else min(times)
        if shown == self._last:
            return actions
        # The time of the last confirmation alone is no change. Users read the age when they need it.
        is_same = shown == replace(self._last, at=shown.at)
        self._last = shown
        return actions if is_same else [Show(shown), *actions]
