"""Reading and writing TLS by the shortest road there is.

``SSL.Connection.recv`` and ``send`` allocate a buffer, and look for errors in four places, each time. The same two
calls of
pyOpenSSL's own cffi library, with one shared buffer, spare a part of a microsecond each, where a whole request
takes ten.
That library is not pyOpenSSL's public face: where it is not what it was, the public methods are taken.

Rule: this is the only file that knows of that library.

``receive`` and ``send`` are either road, and raise alike:
what
``recv`` and ``send`` of :class:`OpenSSL.SSL.Connection` raise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from OpenSSL import SSL

RECORD_BYTES = 16_384
"""The most that one TLS record holds (RFC 8446, 5.1), and so the most that one call gives."""

Receive = Callable[[SSL.Connection], bytes]
Send = Callable[[SSL.Connection, bytes], int]


def public_road() -> tuple[Receive, Send]:
    """Gives ``receive`` and ``send`` by the public methods."""

    def receive(connection: SSL.Connection) -> bytes:
        return connection.recv(RECORD_BYTES)

    return receive, SSL.Connection.send


def direct_road() -> tuple[Receive, Send] | None:
    """Gives ``receive`` and ``send`` by the cffi library; ``None`` if it is not as it was when this was written."""
    try:
        ffi: Any = SSL._ffi  # type: ignore[attr-defined] # noqa: SLF001
        lib: Any = SSL._lib  # type: ignore[attr-defined] # noqa: SLF001
        found = (
            *(ffi.getctype(ffi.typeof(function)) for function in (lib.SSL_read, lib.SSL_write)),
            ffi.getctype(ffi.typeof(SSL.Connection(SSL.Context(SSL.TLS_METHOD), None)._ssl)),  # noqa: SLF001
            callable(SSL.Connection._raise_ssl_error),  # noqa: SLF001
        )
    except (AttributeError, TypeError):
        return None
    if found != ("int(*)(SSL *, void *, int)", "int(*)(SSL *, void *, int)", "SSL *", True):
        return None

    ssl_read, ssl_write, view = lib.SSL_read, lib.SSL_write, ffi.buffer
    # One for all connections: what is read is copied out before anything else is called.
    shared = ffi.new("char[]", RECORD_BYTES)

    def receive(connection: SSL.Connection) -> bytes:
        ssl = connection._ssl  # noqa: SLF001
        count = ssl_read(ssl, shared, RECORD_BYTES)
        if count <= 0:
            connection._raise_ssl_error(ssl, count)  # noqa: SLF001
        data: bytes = view(shared, count)[:]
        return data

    def send(connection: SSL.Connection, data: bytes) -> int:
        ssl = connection._ssl  # noqa: SLF001
        count: int = ssl_write(ssl, data, len(data))
        if count <= 0:
            connection._raise_ssl_error(ssl, count)  # noqa: SLF001
        return count

    return receive, send


receive, send = direct_road() or public_road()


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
