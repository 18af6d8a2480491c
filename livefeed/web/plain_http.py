"""The answer to clients that speak HTTP without TLS on a port with TLS."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from livefeed.web import problems
from livefeed.web.answers import line_of, problem

if TYPE_CHECKING:
    from collections.abc import Iterable

# RFC 3986, 3.2.2 and 3.2.3: a name, an IPv4 address or an IPv6 address in brackets, and a port.
_HOST = re.compile(rb"[ \t]*([a-z0-9._-]{1,255}(?::\d{1,5})?|\[[0-9a-f:.]{2,45}\](?::\d{1,5})?)[ \t]*\Z", re.IGNORECASE)
_HOST_FIELD = re.compile(rb"\r\nhost:([^\r\n]*)(?=\r\n)", re.IGNORECASE)
# A target in absolute form, whose first letter OpenSSL may have read, names another address than its path.
_TARGET = re.compile(rb"/?(?!(?i:h?ttps?://))([!-~]{0,2048}) HTTP/1\.[01]\r\n")
_MISTAKE: Final = "This port speaks HTTPS: use https:// in place of http:// in the address."
_TEXT: Final = b"%b\n" % _MISTAKE.encode()
_PROBLEM_FIELDS, _PROBLEM = problem(problems.HTTPS_REQUIRED, _MISTAKE)


def answer_to_plain_http(rest: bytes) -> bytes:
    """Gives an answer, after which the connection ends.

    A request with a path and one well-formed ``Host`` is redirected to the same address with ``https``
    (308, RFC 9110, 15.4.9). The name in ``Host`` is the client's own, so the redirect leads nobody elsewhere.
    Any other request is answered with 400, as a problem (RFC 9457).

    :param rest: the request behind its first five bytes, which OpenSSL has read: a method of three letters with the
        first slash of the target, or one of four letters.
    """
    target = _TARGET.match(rest)
    # With the end of the head, if that has come: a field without its line feed may go on.
    hosts = _HOST_FIELD.findall(b"".join(rest.partition(b"\r\n\r\n")[:2]))
    host = _HOST.match(hosts[0]) if len(hosts) == 1 else None
    if target is None or host is None:
        return _whole(b"400 Bad Request", _PROBLEM_FIELDS, _PROBLEM)
    location = b"Location", b"https://%s/%s" % (host[1], target[1])
    text = (b"Content-Type", b"text/plain; charset=utf-8"), (b"Cache-Control", b"no-store")
    return _whole(b"308 Permanent Redirect", [location, *text], _TEXT)


def _whole(status: bytes, fields: Iterable[tuple[bytes, bytes]], body: bytes) -> bytes:
    """Gives an answer, after which the connection ends."""
    every = (*fields, (b"Content-Length", b"%d" % len(body)), (b"Connection", b"close"))
    return b"".join([b"HTTP/1.1 ", status, b"\r\n", *map(line_of, every), b"\r\n", body])
