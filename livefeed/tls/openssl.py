"""Reading and writing TLS with as few calls as possible.

``SSL.Connection.recv`` and ``send`` allocate a buffer and look for errors in four places, each time. The two functions
of OpenSSL that they call, in pyOpenSSL's own cffi library and with one shared buffer, save a part of a microsecond
each; a whole request takes ten. That library is not a public interface of pyOpenSSL. If it has changed, the public
methods are used.

Rule: this is the only module that uses that library.
"""

from __future__ import annotations

from dataclasses import dataclass
from errno import EAGAIN
from functools import cache
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from cryptography.hazmat.bindings import _rust
from OpenSSL import SSL

from livefeed.tls.symbols import UnknownFunctionError, address_of

if TYPE_CHECKING:
    from collections.abc import Callable

RECORD_BYTES = 16_384
"""Upper limit of the bytes in one TLS record (RFC 8446, 5.1), and so of the bytes that one call reads."""

TICKET_KEYS_BYTES = 80
"""The size of a context's keys of tickets: 16 bytes of name, 32 for HMAC and 32 for AES (ssl/s3_lib.c of OpenSSL)."""

_ANCHOR = "PyInit__rust"
"""The function that cryptography's library exports."""

DONE, WANTS_READ = 1, -2
"""The results of :attr:`TLSCalls.handshake`: it has succeeded, or goes on with the next bytes of the client."""

# The commands of SSL_CTX_ctrl, in openssl/ssl.h.
_GET_TICKET_KEYS, _SET_TICKET_KEYS = 58, 59


@dataclass(frozen=True, slots=True)
class TLSCalls:
    """The functions that read and write.

    :ivar handle: gives the handle of a connection, the argument of ``read`` and ``write``. It is asked for once.
    :ivar read: reads one record into a buffer of the given size in bytes. Returns the number of bytes; 0 or less if it
        has read none. The public method reads on until a record has data.
    :ivar write: writes the given number of bytes. Returns the number of bytes that were taken; 0 or less if none.
    :ivar view: gives a view of data for ``write_from``, which copies nothing. It lives as long as it is used.
    :ivar write_from: writes the bytes of a view behind an offset as ``write`` does, the given number at most.
    :ivar pack: joins a list of handles for ``write_all``. The result does not keep the connections alive.
    :ivar write_all: writes to many connections. Returns the result of ``write`` for each, or an empty list if each has
        taken all bytes. A connection that took none has not necessarily failed: another write tells. ``None`` if
        nothing is faster than one write after the other.
    :ivar handshake: goes on with the handshake of a handle. Returns :data:`DONE`, :data:`WANTS_READ`, or anything
        else for ``fail``, which tells.
    :ivar fail: raises the error of a connection, from the result of ``read`` or ``write``, which may also raise it
        themselves: the errors of :meth:`OpenSSL.SSL.Connection.recv` and ``send``.
    :ivar read_ahead: has ``read`` take everything from the socket that is there, up to a record and more, by one call
        to the kernel: else it takes the five bytes in front of a record by a call of their own. From then on a
        connection may have data that the kernel does not report.
    :ivar has_more: tells after a record was read whether there is more of which the kernel reports nothing. Of a record
        that has not arrived as a whole, it reports the rest.
    :ivar was_blocked: tells after a ``read`` without data whether it found the socket empty. If not, OpenSSL has
        handled something else, such as a KeyUpdate, and may have data behind it, of which ``has_more`` knows nothing.
    :ivar take: gives a copy of the given number of bytes of the buffer.
    :ivar buffer: the buffer that all connections share. Its bytes are taken before anything else is called.
    """

    handle: Callable[[SSL.Connection], Any]
    read: Callable[[Any, Any, int], int]
    write: Callable[[Any, bytes, int], int]
    view: Callable[[bytes], Any]
    write_from: Callable[[Any, Any, int, int], int]
    pack: Callable[[list[Any]], Any]
    write_all: Callable[[Any, bytes, int], list[int]] | None
    handshake: Callable[[Any], int]
    fail: Callable[[SSL.Connection, int], None]
    read_ahead: Callable[[Any], object]
    has_more: Callable[[Any], int]
    was_blocked: Callable[[], bool]
    take: Callable[[Any, int], bytes]
    buffer: Any


@dataclass(frozen=True, slots=True)
class TicketKeyCalls:
    """The functions about the keys of session tickets.

    :ivar set_keys: makes a context use keys of :data:`TICKET_KEYS_BYTES` bytes, from the next handshake on. Returns
        whether OpenSSL has taken them.
    :ivar is_resumed: tells whether the handshake of a connection has resumed a session.
    """

    set_keys: Callable[[SSL.Context, bytes], bool]
    is_resumed: Callable[[SSL.Connection], bool]


def _address(name: str) -> int:
    """Gives the address of a function of OpenSSL that cryptography's library contains, and does not name.

    :raises UnknownFunctionError: if it is not found.
    """
    return address_of(Path(_rust.__file__), name, _ANCHOR)


class _AheadCalls(TypedDict):
    """The functions of :class:`TLSCalls` about reading ahead."""

    read_ahead: Callable[[Any], object]
    has_more: Callable[[Any], int]
    was_blocked: Callable[[], bool]


_NOT_AHEAD: _AheadCalls = {
    "read_ahead": lambda _: None,
    "has_more": lambda _: 0,
    "was_blocked": lambda: True,
}
"""For connections that read no more than one record at a time."""


def _ahead_calls(ffi: Any) -> _AheadCalls | None:
    """Gives the functions about reading ahead, which cryptography's library does not name; ``None`` if there are none.

    :param ffi: pyOpenSSL's.
    """
    try:
        set_read_ahead = ffi.cast("void(*)(void *, int)", _address("SSL_set_read_ahead"))
        has_pending = ffi.cast("int(*)(void *)", _address("SSL_has_pending"))
    except UnknownFunctionError:
        return None
    return {
        "read_ahead": lambda handle: set_read_ahead(handle, 1),
        "has_more": has_pending,
        # OpenSSL sets it to 0 at the beginning of each read (clear_sys_error in ssl/s3_lib.c).
        "was_blocked": lambda: ffi.errno == EAGAIN,
    }


def public_calls() -> TLSCalls:
    """Gives the public methods of pyOpenSSL."""

    def fail(connection: SSL.Connection, count: int) -> None:
        raise SSL.Error(f"{connection} gave {count}")

    def handshake(connection: SSL.Connection) -> int:
        connection.do_handshake()
        return DONE

    return TLSCalls(
        handle=lambda connection: connection,
        read=SSL.Connection.recv_into,
        write=lambda connection, data, _: connection.send(data),
        view=memoryview,
        write_from=lambda connection, view, offset, size: connection.send(view[offset : offset + size]),
        pack=list,
        write_all=None,
        handshake=handshake,
        fail=fail,
        **_NOT_AHEAD,
        take=lambda buffer, count: bytes(buffer[:count]),
        buffer=bytearray(RECORD_BYTES),
    )


def direct_calls() -> TLSCalls | None:
    """Gives the functions of the cffi library; ``None`` if they are not those that this module was written for."""
    try:
        ffi: Any = SSL._ffi  # type: ignore[attr-defined] # noqa: SLF001
        lib: Any = SSL._lib  # type: ignore[attr-defined] # noqa: SLF001
        found = (
            *(ffi.getctype(ffi.typeof(function)) for function in (lib.SSL_read, lib.SSL_write)),
            ffi.getctype(ffi.typeof(SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)._ssl)),  # noqa: SLF001
            ffi.getctype(ffi.typeof(lib.ERR_clear_error)),
            ffi.getctype(ffi.typeof(lib.SSL_clear_mode)),
            ffi.getctype(ffi.typeof(lib.SSL_do_handshake)),
            ffi.getctype(ffi.typeof(lib.SSL_get_error)),
            callable(SSL.Connection._raise_ssl_error),  # noqa: SLF001
        )
        auto_retry = lib.SSL_MODE_AUTO_RETRY
    except (AttributeError, TypeError):
        return None
    if found != (
        "int(*)(SSL *, void *, int)",
        "int(*)(SSL *, void *, int)",
        "SSL *",
        "void(*)()",
        "long(*)(SSL *, long)",
        "int(*)(SSL *)",
        "int(*)(SSL *, int)",
        True,
    ):
        return None

    def handle(connection: SSL.Connection) -> Any:
        # With auto-retry, one read continues as long as a client sends records without data, such as KeyUpdate (RFC
        # 8446, 4.6.3), and no other connection is served meanwhile: 16 MB of them take 5 s.
        lib.SSL_clear_mode(connection._ssl, auto_retry)  # noqa: SLF001
        return connection._ssl  # noqa: SLF001

    def write_from(handle: Any, view: Any, offset: int, size: int) -> int:
        count: int = lib.SSL_write(handle, view + offset, size)
        return count

    def pack(handles: list[Any]) -> Any:
        # Side by side in memory: each separate object would be another line that is in no cache, which takes 0.1 µs.
        return ffi.new("SSL *[]", handles)

    def write_all(handles: Any, data: bytes, size: int) -> list[int]:
        # Without a line of Python in between, which would add 0.2 µs per connection to the time of OpenSSL and kernel.
        counts = list(map(lib.SSL_write, handles, repeat(data), repeat(size)))
        if sum(counts) == size * len(counts):
            return []
        # An error of one connection stays in the thread's queue, and would be taken for another connection's.
        lib.ERR_clear_error()
        return counts

    def fail(connection: SSL.Connection, count: int) -> None:
        try:
            connection._raise_ssl_error(connection._ssl, count)  # noqa: SLF001
        finally:
            # It may leave a further error in that queue.
            lib.ERR_clear_error()

    return TLSCalls(
        handle=handle,
        read=lib.SSL_read,
        write=lib.SSL_write,
        view=ffi.from_buffer,
        write_from=write_from,
        pack=pack,
        write_all=write_all,
        handshake=_handshake_call(lib),
        fail=fail,
        **(_ahead_calls(ffi) or _NOT_AHEAD),
        take=ffi.unpack,
        buffer=ffi.new("char[]", RECORD_BYTES),
    )


def _handshake_call(lib: Any) -> Callable[[Any], int]:
    do_handshake, get_error, wants_read = lib.SSL_do_handshake, lib.SSL_get_error, lib.SSL_ERROR_WANT_READ

    def handshake(handle: Any) -> int:
        # Each handshake waits for the client once. As an exception of pyOpenSSL's, that took 4 of 260 µs.
        count: int = do_handshake(handle)
        return WANTS_READ if count <= 0 and get_error(handle, count) == wants_read else count

    return handshake


def choose_calls() -> TLSCalls:
    """Gives the direct calls if they are available, and the public methods otherwise."""
    return direct_calls() or public_calls()


def set_groups(context: SSL.Context, groups: bytes) -> bool:
    """Sets the groups that a context offers for the key exchange (RFC 8446, 4.2.7). pyOpenSSL has no public way.

    :param groups: the names, the preferred one first, separated by colons.
    :returns: whether it was done. If not, OpenSSL's own choice stays.
    """
    try:
        lib: Any = SSL._lib  # type: ignore[attr-defined] # noqa: SLF001
        return bool(lib.SSL_CTX_set1_curves_list(context._context, groups) == 1)  # noqa: SLF001
    except (AttributeError, TypeError):
        return False


@cache
def _set_num_tickets() -> Any:
    """Gives ``SSL_CTX_set_num_tickets``; ``None`` if it is not available."""
    try:
        ffi: Any = SSL._ffi  # type: ignore[attr-defined] # noqa: SLF001
        return ffi.cast("int(*)(void *, size_t)", _address("SSL_CTX_set_num_tickets"))
    except (AttributeError, TypeError, UnknownFunctionError):
        return None


def set_tickets(context: SSL.Context, count: int) -> bool:
    """Sets the number of session tickets that a server's context sends after a full handshake of TLS 1.3.

    :returns: whether it was done. If not, OpenSSL sends two.
    """
    function = _set_num_tickets()
    return function is not None and function(context._context, count) == 1  # noqa: SLF001


def ticket_key_calls() -> TicketKeyCalls:
    """Gives the calls about the keys of session tickets, for which neither pyOpenSSL nor cryptography has a way.

    :raises UnknownFunctionError: if they are not available; the message has the reason.
    """
    address = _address("SSL_CTX_ctrl")
    try:
        ffi: Any = SSL._ffi  # type: ignore[attr-defined] # noqa: SLF001
        lib: Any = SSL._lib  # type: ignore[attr-defined] # noqa: SLF001
        control = ffi.cast("long(*)(void *, int, long, void *)", address)
        session_reused = lib.SSL_session_reused
        # Without memory to write to, it only gives the size.
        size = control(SSL.Context(SSL.TLS_METHOD)._context, _GET_TICKET_KEYS, 0, ffi.NULL)  # noqa: SLF001
    except (AttributeError, TypeError) as error:
        raise UnknownFunctionError(f"pyOpenSSL has changed: {error}") from None
    if size != TICKET_KEYS_BYTES:
        raise UnknownFunctionError(f"OpenSSL's keys of tickets have {size} bytes, not {TICKET_KEYS_BYTES}")

    def set_keys(context: SSL.Context, keys: bytes) -> bool:
        if len(keys) != TICKET_KEYS_BYTES:
            raise ValueError(f"keys of tickets have {TICKET_KEYS_BYTES} bytes, not {len(keys)}")
        buffer = ffi.from_buffer(keys)
        is_set: bool = control(context._context, _SET_TICKET_KEYS, TICKET_KEYS_BYTES, buffer) == 1  # noqa: SLF001
        return is_set

    def is_resumed(connection: SSL.Connection) -> bool:
        return bool(session_reused(connection._ssl))  # noqa: SLF001

    return TicketKeyCalls(set_keys, is_resumed)
