"""Reading and writing TLS by the shortest road there is.

``SSL.Connection.recv`` and ``send`` allocate a buffer, and look for errors in four places, each time. The same two
calls of pyOpenSSL's own cffi library, with one shared buffer, spare a part of a microsecond each, where a whole
request takes ten. That library is not pyOpenSSL's public face: where it is not what it was, the public methods are
taken.

Rule: this is the only file that knows of that library.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any

from OpenSSL import SSL

if TYPE_CHECKING:
    from collections.abc import Callable

RECORD_BYTES = 16_384
"""The most that one TLS record holds (RFC 8446, 5.1), and so the most that one call gives."""


@dataclass(frozen=True, slots=True)
class TLSCalls:
    """The functions that read and write.

    :ivar handle: gives what ``read`` and ``write`` are called with, of a connection, which is asked for once.
    :ivar read: reads one record into a buffer, of so many bytes, and tells how many it has read; 0 or less if none.
        By the public methods it reads on until a record has data.
    :ivar write: writes so many bytes, and tells how many were taken; 0 or less if none.
    :ivar pack: makes one of a list of what ``write`` is called with, for ``write_all``. It does not keep the
        connections alive.
    :ivar write_all: does so with many connections, and tells for each, or nothing where each has taken all; ``None`` if
        there is no shorter way than one after the other. Those that took nothing may not have failed: they are to be
        written to again.
    :ivar fail: raises what is wrong, of a connection and what ``read`` or ``write`` gave; both may raise it themselves.
        It is what :meth:`OpenSSL.SSL.Connection.recv` and ``send`` raise.
    :ivar take: gives a copy of so many bytes of the buffer.
    :ivar buffer: the one buffer of all connections: what is read is taken before anything else is called.
    """

    handle: Callable[[SSL.Connection], Any]
    read: Callable[[Any, Any, int], int]
    write: Callable[[Any, bytes, int], int]
    pack: Callable[[list[Any]], Any]
    write_all: Callable[[Any, bytes, int], list[int]] | None
    fail: Callable[[SSL.Connection, int], None]
    take: Callable[[Any, int], bytes]
    buffer: Any


def public_calls() -> TLSCalls:
    """Gives the road by the public methods."""

    def fail(connection: SSL.Connection, count: int) -> None:
        raise SSL.Error(f"{connection} gave {count}")

    return TLSCalls(
        handle=lambda connection: connection,
        read=SSL.Connection.recv_into,
        write=lambda connection, data, _: connection.send(data),
        pack=list,
        write_all=None,
        fail=fail,
        take=lambda buffer, count: bytes(buffer[:count]),
        buffer=bytearray(RECORD_BYTES),
    )


def direct_calls() -> TLSCalls | None:
    """Gives the road by the cffi library; ``None`` if that is not as it was when this was written."""
    try:
        ffi: Any = SSL._ffi  # type: ignore[attr-defined] # noqa: SLF001
        lib: Any = SSL._lib  # type: ignore[attr-defined] # noqa: SLF001
        found = (
            *(ffi.getctype(ffi.typeof(function)) for function in (lib.SSL_read, lib.SSL_write)),
            ffi.getctype(ffi.typeof(SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)._ssl)),  # noqa: SLF001
            ffi.getctype(ffi.typeof(lib.ERR_clear_error)),
            ffi.getctype(ffi.typeof(lib.SSL_clear_mode)),
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
        True,
    ):
        return None

    def handle(connection: SSL.Connection) -> Any:
        # Or one read would go on as long as a client sends records that hold no data, such as KeyUpdate (RFC 8446,
        # 4.6.3), and nobody else would be served meanwhile: 16 MB of them take 5 s.
        lib.SSL_clear_mode(connection._ssl, auto_retry)  # noqa: SLF001
        return connection._ssl  # noqa: SLF001

    def pack(handles: list[Any]) -> Any:
        # Side by side, since each of these objects would be another line of memory that is in no cache: 0.1 µs.
        return ffi.new("SSL *[]", handles)

    def write_all(handles: Any, data: bytes, size: int) -> list[int]:
        # Without a line of Python in between: it takes 0.2 µs for each, beside what OpenSSL and the kernel do.
        counts = list(map(lib.SSL_write, handles, repeat(data), repeat(size)))
        if sum(counts) == size * len(counts):
            return []
        # An error of one stands in a queue of the thread's, and would be taken for another's.
        lib.ERR_clear_error()
        return counts

    def fail(connection: SSL.Connection, count: int) -> None:
        try:
            connection._raise_ssl_error(connection._ssl, count)  # noqa: SLF001
        finally:
            # It may leave something there, too, which is one connection's alone.
            lib.ERR_clear_error()

    return TLSCalls(
        handle=handle,
        read=lib.SSL_read,
        write=lib.SSL_write,
        pack=pack,
        write_all=write_all,
        fail=fail,
        take=ffi.unpack,
        buffer=ffi.new("char[]", RECORD_BYTES),
    )


def choose_calls() -> TLSCalls:
    """Gives the shortest road that there is here."""
    return direct_calls() or public_calls()


def set_groups(context: SSL.Context, groups: bytes) -> bool:
    """Sets which groups a context offers for the key exchange (RFC 8446, 4.2.7); pyOpenSSL has no public way to do so.

    :param groups: their names, the preferred one first, with colons in between.
    :returns: whether that could be done; OpenSSL's own choice stays if not.
    """
    try:
        lib: Any = SSL._lib  # type: ignore[attr-defined] # noqa: SLF001
        return bool(lib.SSL_CTX_set1_curves_list(context._context, groups) == 1)  # noqa: SLF001
    except (AttributeError, TypeError):
        return False
