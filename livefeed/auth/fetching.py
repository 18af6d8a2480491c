"""The keys at a URL, fetched anew from time to time and when a token names a key that is not known.

Rules: a fetch runs in a thread, one for each URL at most, and is bounded in size, time and number. Keys in use stay
until others have come, however long the URL does not answer.
"""

from __future__ import annotations

import http.client
import io
import ssl
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from twisted.application.service import Service
from twisted.internet.defer import maybeDeferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from livefeed.auth.material import keys_of
from livefeed.clocks import Beat
from livefeed.exceptions import ConfigurationError, LivefeedError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from twisted.internet.defer import Deferred
    from twisted.internet.interfaces import IReactorTime
    from twisted.python.failure import Failure

    from livefeed.auth.material import Material

LOOK_S = 1.0
"""Seconds between two looks at the times at which URLs are due."""

REFRESH_S = 300.0
"""Seconds after which keys are fetched again. Providers announce a new key hours before its first use."""

RETRY_S = 30.0
"""Seconds after which a URL is asked again that did not answer, or for a key that it did not have: a token can name
any key."""

MAX_KEYS_BYTES = 256 * 1024
"""Size of the largest answer. A set of keys has some 2 KB."""

SOCKET_S, FETCH_S = 5.0, 15.0
"""Seconds for each step of a fetch, and for a whole answer with its head."""

MAX_RECEIVED_BYTES = MAX_KEYS_BYTES + 64 * 1024
"""Bytes that are read of a connection at most. A head has 1 KB, and chunks need some bytes of their own."""

MAX_WHY_CHARACTERS = 200
"""Characters of the longest reason in the log. The other side can put any text into it."""

_log = Logger()


class FetchError(LivefeedError):
    """Keys cannot be fetched. The message gives the reason."""


def fetch(url: str) -> bytes:
    """Fetches the content of a URL. It blocks. Redirections are not followed.

    :raises FetchError: if the answer is not 200, is too large, is cut off, or does not come in time.
    """
    parts = urlsplit(url)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(parts.netloc, timeout=SOCKET_S, context=context)
    else:
        connection = http.client.HTTPConnection(parts.netloc, timeout=SOCKET_S)
    # http.client limits no head in time, and reads any number of answers 100 before it.
    connection.response_class = partial(_Answer, end=time.monotonic() + FETCH_S)  # type: ignore[assignment]
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request("GET", target, headers={"Accept": "application/json", "Connection": "close"})
        with connection.getresponse() as answer:
            return _content(answer)
    except (OSError, http.client.HTTPException) as error:
        why = "".join(each if each.isprintable() else " " for each in str(error)[:MAX_WHY_CHARACTERS])
        raise FetchError(f"{type(error).__name__}: {why}") from None
    finally:
        connection.close()


class _Answer(http.client.HTTPResponse):
    """An answer that is read until a time of the monotonic clock.

    :param end: that time in seconds.
    """

    def __init__(self, sock: socket.socket, *arguments: Any, end: float, **named: Any) -> None:
        super().__init__(sock, *arguments, **named)
        self.fp = io.BufferedReader(_BoundedReader(self.fp.detach(), sock, end))


class _BoundedReader(io.RawIOBase):
    """The received bytes of a connection, up to a time and a number."""

    def __init__(self, raw: io.RawIOBase, connection: socket.socket, end: float) -> None:
        self._raw = raw
        self._connection = connection
        self._end = end
        self._left = MAX_RECEIVED_BYTES

    def readable(self) -> bool:
        """IOBase API."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """RawIOBase API.

        :raises FetchError: if the time is over, or there are too many bytes.
        """
        left_s = self._end - time.monotonic()
        if left_s <= 0:
            raise FetchError(f"the answer takes more than {FETCH_S:.0f} s")
        if self._left <= 0:
            raise FetchError(f"the answer has more than {MAX_KEYS_BYTES} bytes")
        self._connection.settimeout(min(SOCKET_S, left_s))
        count = self._raw.readinto(buffer)
        self._left -= count or 0
        return count

    def close(self) -> None:
        """IOBase API. The connection ends with its last reader."""
        self._raw.close()
        super().close()


def _content(answer: http.client.HTTPResponse) -> bytes:
    """Reads an answer."""
    if answer.status != http.client.OK:
        raise FetchError(f"the answer has status {answer.status}")
    content = b""
    while piece := answer.read1(16_384):
        content += piece
        if len(content) > MAX_KEYS_BYTES:
            raise FetchError(f"the answer has more than {MAX_KEYS_BYTES} bytes")
    if answer.length:
        raise FetchError(f"the answer is cut off: {answer.length} bytes are missing")
    return content


@dataclass(eq=False)
class KeyFetching(Service):
    """Fetches the keys of all URLs.

    :ivar material: takes them.
    :ivar in_thread: calls a function in a thread.
    :ivar clock: measures the time.
    :ivar changed: called when other keys are in use.
    :ivar fetch: fetches a URL; it may block.
    """

    # required parameters
    material: Material
    in_thread: Callable[..., Deferred[Any]]
    clock: IReactorTime
    changed: Callable[[], object]
    fetch: Callable[[str], bytes] = fetch

    # internal state
    _loop: LoopingCall = field(init=False)
    _due: dict[str, float] = field(default_factory=dict)
    _asked: dict[str, float] = field(default_factory=dict)
    _busy: set[str] = field(default_factory=set)
    _failing: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._loop = LoopingCall(self._look)
        self._loop.clock = cast("IReactorTime", Beat(self.clock))

    def startService(self) -> None:
        """IService API."""
        super().startService()
        self.material.want_keys = self.want
        self._loop.start(LOOK_S)

    def stopService(self) -> None:
        """IService API."""
        super().stopService()
        self._loop.stop()

    def want(self, url: str) -> bool:
        """Fetches the keys of a URL for a key that is not known, unless that was done a short time ago.

        :returns: whether other keys may come soon.
        """
        if url in self._busy:
            return True
        now = self.clock.seconds()
        if url not in self.material.content.urls or now - self._asked.get(url, -RETRY_S) < RETRY_S:
            return False
        self._begin(url)
        return True

    def _look(self) -> None:
        urls, now = self.material.content.urls, self.clock.seconds()
        for known in (self._due, self._asked):
            for url in known.keys() - urls:
                del known[url]
        self._failing &= urls
        for url in sorted(urls - self._busy):
            if self._due.get(url, now) <= now:
                self._begin(url)

    def _begin(self, url: str) -> None:
        self._busy.add(url)
        self._asked[url] = self.clock.seconds()
        fetching = maybeDeferred(self.in_thread, self.fetch, url)
        fetching.addCallback(self._take, url)
        fetching.addErrback(self._fail, url)

    def _take(self, data: bytes, url: str) -> None:
        keys = keys_of(data, "the answer")
        self._end(url, REFRESH_S)
        if url in self._failing:
            self._failing.discard(url)
            _log.info("{url}: the keys of tokens can be fetched again", url=url)
        if keys is not None and self.material.take_keys(url, keys):
            _log.info("{url}: {count} keys of tokens are in use", url=url, count=len(keys))
            self.changed()

    def _fail(self, failure: Failure, url: str) -> None:
        self._end(url, RETRY_S)
        if failure.check(FetchError, ConfigurationError, OSError) is None:
            _log.failure("fetching keys of tokens broke", failure)
        elif url not in self._failing:
            has_keys = url in self.material.content.keys
            text = "those in use stay" if has_keys else "feeds that need them refuse signed tokens until then"
            why = str(failure.value)
            _log.error(
                "{url}: the keys of tokens cannot be fetched: {why}; {text}; the next attempt is in {retry:.0f} s",
                url=url,
                why=why,
                text=text,
                retry=RETRY_S,
            )
            self._failing.add(url)

    def _end(self, url: str, delay_s: float) -> None:
        self._busy.discard(url)
        self._due[url] = self.clock.seconds() + delay_s
