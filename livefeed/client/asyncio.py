"""The front end for asyncio: an iterator over the newest state of a feed. It does not import Twisted.

async with follow("https://example.org/feed") as feed:
    async for update in feed:
        print(update.state, update.data)
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

from livefeed.client.actions import Failed
from livefeed.client.address import Address
from livefeed.client.driver import Driver
from livefeed.client.failures import TIMEOUT_S, tls_context
from livefeed.client.protocol import MAX_BYTES, Protocol
from livefeed.client.token import Token
from livefeed.client.trust import chosen_trust
from livefeed.client.update import DocumentReader, Update, read_exactly, read_floats
from livefeed.exceptions import FollowError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from pathlib import Path
    from types import TracebackType

    from livefeed.client.answers import Answer
    from livefeed.client.driver import Receiver
    from livefeed.client.update import Shown
    from livefeed.client.verification import Trust

__all__ = ["Feed", "FollowError", "Update", "follow", "read_exactly", "read_floats"]

T = TypeVar("T")

_FALLBACK_S = 0.25
"""The time after which the next address of a host is tried beside the first one (RFC 8305)."""


@overload
def follow(
    url: str,
    *,
    pointer: str = "",
    cacert: str | Path | None = None,
    verify: bool = True,
    max_bytes: int = MAX_BYTES,
    websocket: bool = True,
    token: str | Callable[[], str] | None = None,
    keys: str | Path | Trust | None = None,
    connect: str | None = None,
) -> Feed[Any]: ...
@overload
def follow(
    url: str,
    *,
    parse: Callable[[bytes], T],
    pointer: str = "",
    cacert: str | Path | None = None,
    verify: bool = True,
    max_bytes: int = MAX_BYTES,
    websocket: bool = True,
    token: str | Callable[[], str] | None = None,
    keys: str | Path | Trust | None = None,
    connect: str | None = None,
) -> Feed[T]: ...
def follow(  # noqa: PLR0913 - all but the URL have defaults
    url: str,
    *,
    pointer: str = "",
    parse: Callable[[bytes], Any] = read_floats,
    cacert: str | Path | None = None,
    verify: bool = True,
    max_bytes: int = MAX_BYTES,
    websocket: bool = True,
    token: str | Callable[[], str] | None = None,
    keys: str | Path | Trust | None = None,
    connect: str | None = None,
) -> Feed[Any]:
    """Follows a feed, or a part of it.

    :param url: the URL of the document. Its fragment may be a JSON Pointer to a part.
    :param pointer: such a pointer, in place of a fragment.
    :param parse: reads a document; :data:`read_floats` by default, :data:`read_exactly` for exact numbers.
    :param cacert: a PEM file with the authorities that are trusted, instead of those of the system.
    :param verify: whether the server's certificate is checked.
    :param max_bytes: the largest document that is taken, in bytes.
    :param websocket: whether WebSockets are tried, before polls.
    :param token: the token for a protected feed, or a function that gives the present one. It is called in the event
        loop before each connection and each poll, so it must not block.
    :param keys: a file with the public keys of the signer, as a JSON Web Key Set. Without one, signatures are not
        verified; with one, no document is shown that these keys have not signed. Parts are not signed.
    :param connect: ``HOST:PORT`` to connect to, in place of the URL's, such as a server that its name does not lead to
        yet. The name of the requests and of the certificate is that of the URL.
    :raises FollowError: if the URL, the pointer, a file or the token is wrong.
    """
    address = Address.of(url, pointer, connect)
    trust = chosen_trust(keys, address, is_part=bool(pointer) or "#" in url)
    protocol = Protocol(address, max_bytes, websocket, trust=trust)
    return Feed(protocol, tls_context(address, cacert, verify=verify), parse, Token.of(token, address))


class Feed(Generic[T]):
    """A feed that is followed: an asynchronous context manager, and an iterator over its changes.

    The iterator gives an :class:`Update` for the newest version, state and line that the caller has not seen yet. A
    slow caller misses what was in between, and no queue grows. It ends when the context is left, and raises a
    :class:`FollowError` if trying again does not help, such as after a 404.
    """

    def __init__(
        self, protocol: Protocol, tls: ssl.SSLContext | None, parse: Callable[[bytes], T], token: Token | None = None
    ) -> None:
        self._protocol = protocol
        self._token = token
        self._tls = tls
        self._reader = DocumentReader(parse)
        self._driver: Driver | None = None
        self._changed = asyncio.Event()
        self._shown: Shown | None = None
        self._seen: Shown | None = None
        self._error: FollowError | None = None
        self._is_closed = False
        self._observer: Callable[[Shown], object] | None = None

    async def __aenter__(self) -> Self:
        self._driver = Driver(
            self._protocol,
            _Loop(asyncio.get_running_loop(), self._protocol.address, self._tls),
            self._tls,
            self._show,
            self._stop,
            self._token,
        )
        self._driver.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Ends the connection. A caller that waits for the next change receives the end of the iteration."""
        self._is_closed = True
        if self._driver is not None:
            self._driver.stop()
        self._changed.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Update[T]:
        if self._driver is None:
            raise RuntimeError("a feed is followed inside of `async with`")
        while not self._is_closed:
            shown = self._shown
            if shown is not None and shown is not self._seen:
                self._seen = shown
                return Update.of(shown, self._reader.read(shown.content), self.age_s, self.waiting_s)
            if self._error is not None:
                raise self._error
            self._changed.clear()
            await self._changed.wait()
        raise StopAsyncIteration

    @property
    def age_s(self) -> float | None:
        """Seconds since the server last confirmed the document, now; ``None`` if that is not known."""
        return None if self._driver is None else self._driver.age_s()

    @property
    def waiting_s(self) -> float | None:
        """Seconds for which a newer document has been held back, now; ``None`` if none waits."""
        return None if self._driver is None else self._driver.waiting_s()

    def refresh(self) -> None:
        """Asks the server at once, unless a WebSocket is open: a document that has ended may go on."""
        if self._driver is not None:
            self._driver.refresh()

    def observe(self, observer: Callable[[Shown], object]) -> None:
        """Has a function called with each change at once, also with those that the iterator passes over.

        :param observer: takes everything that may be shown. It must not raise, and it delays the connection while it
            runs. There is one: a later one takes its place.
        """
        self._observer = observer

    @property
    def received_bytes(self) -> int:
        """The size of everything that has been received, before it was compressed."""
        return self._protocol.received_bytes

    @property
    def address(self) -> Address:
        """The document that is followed."""
        return self._protocol.address

    def _show(self, shown: Shown) -> None:
        self._shown = shown
        self._changed.set()
        if self._observer is not None:
            self._observer(shown)

    def _stop(self, error: FollowError) -> None:
        self._error = error
        self._changed.set()


@dataclass(slots=True, eq=False)
class _Loop:
    """The event loop, as the driver uses it."""

    loop: asyncio.AbstractEventLoop
    address: Address
    tls: ssl.SSLContext | None

    def connect(self, receiver: Receiver) -> _Wire:
        """Loop API."""
        return _Wire(self, receiver)

    def call_later(self, delay_s: float, call: Callable[[], object]) -> asyncio.TimerHandle:
        """Loop API."""
        return self.loop.call_later(delay_s, call)

    def in_thread(self, work: Callable[[], Answer | Failed], done: Callable[[Answer | Failed], object]) -> None:
        """Loop API. Not in the loop's own threads, for which the process waits at its end."""

        def run() -> None:
            result = work()
            try:
                self.loop.call_soon_threadsafe(done, result)
            except RuntimeError:
                return  # the loop is closed

        try:
            threading.Thread(target=run, name="livefeed request", daemon=True).start()
        except RuntimeError as error:
            self.loop.call_soon(done, Failed(f"no thread can be started: {error}"))


class _Wire(asyncio.Protocol):
    """A connection."""

    def __init__(self, loop: _Loop, receiver: Receiver) -> None:
        self._receiver: Receiver | None = receiver
        self._transport: asyncio.Transport | None = None
        self._task = loop.loop.create_task(self._connect(loop))

    async def _connect(self, loop: _Loop) -> None:
        address = loop.address
        more: dict[str, Any] = {"server_hostname": address.host} if loop.tls is not None else {}
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await loop.loop.create_connection(
                    lambda: self, *address.endpoint, ssl=loop.tls, happy_eyeballs_delay=_FALLBACK_S, **more
                )
        except Exception as error:
            self.connection_lost(error)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Protocol API."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._receiver is None:
            transport.abort()
        else:
            self._receiver.connected()

    def data_received(self, data: bytes) -> None:
        """Protocol API."""
        if self._receiver is not None:
            self._receiver.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Protocol API."""
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.ended(exc)

    def write(self, data: bytes) -> None:
        """Wire API."""
        if self._transport is not None:
            self._transport.write(data)

    def drop(self) -> None:
        """Wire API."""
        self._receiver = None
        if self._transport is not None:
            self._transport.close()
        else:
            self._task.cancel()
