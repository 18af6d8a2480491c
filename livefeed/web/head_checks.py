"""The checks of heads: twisted.web reads line by line, and accepts some that it should refuse.

Rule: every refusal of a head is decided here, except that of one that takes too long (``closing``). Resources answer
the requests that pass.
"""

from __future__ import annotations

import re

from livefeed.web import problems
from livefeed.web.answers import retry_after
from livefeed.web.closing import Closing
from livefeed.web.negotiation import RequestFields, asks_for_events, field_of
from livefeed.web.replay import MAX_FIELDS

MAX_HEAD_BYTES = 16 * 1024

MAX_FIELD_NAME_BYTES = 128
"""Limit of the name of a field in bytes. Twisted remembers the names that it has seen, at any length."""

OVER_CAPACITY_RETRY_S = 5
"""``Retry-After`` in seconds on a connection beyond the limit: ten sweeps of the fast transport, which close idle
connections. Each attempt takes one of the few places for refusals, so a shorter time would refuse others abruptly."""

# CTL except HTAB, which may separate values (RFC 9110, 5.5).
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
# uri-host [ ":" port ] (RFC 9110, 7.2). The kinds of host are not distinguished.
_AUTHORITY = rb"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._~%!$&'()*+,;=-]+)(?::[0-9]{0,5})?"
_HOST = re.compile(_AUTHORITY)
_MAX_LENGTH_DIGITS = 19  # of Content-Length: a 64-bit number. Python refuses to convert more than 4,300 digits.
# origin-form, absolute-form or asterisk-form (RFC 9112, 3.2), in ASCII.
_TARGET = re.compile(rb"(?:/|(?i:https?)://%s(?=[/?]|\Z)|\*\Z)[\x21-\x7e]*+\Z" % _AUTHORITY)


class HeadChecks(Closing):
    """The part of a channel that refuses a head.

    It refuses a missing, repeated or malformed ``Host``, control characters anywhere in a head, folded lines, malformed
    targets, and a head that is too large. A request with content is answered at once, the content is not read, and the
    connection is closed, unless a subclass takes content.
    """

    # HTTPChannel API. Apache, HAProxy and gunicorn accept as many fields by default; browsers behind proxies send 40.
    # Each field takes twisted.web 7 µs.
    maxHeaders = MAX_FIELDS

    @property
    def totalHeadersSize(self) -> int:  # type: ignore[override]
        """HTTPChannel API."""
        return self.site.max_head_bytes

    MAX_LENGTH = totalHeadersSize  # the same limit under the name of LineReceiver

    @property
    def request_line(self) -> tuple[bytes, bytes, bytes] | None:
        """The method, the target and the version of the request that is read; ``None`` if none is known."""
        return None if self._command is None else (self._command, self._path, self._version)

    def lineReceived(self, line: bytes) -> bool | None:
        """LineReceiver API."""
        self._note_method(line)
        if not self._closing and _CONTROL.search(line):
            self.refuse_control_character()
        elif not self._closing and line[:1] in (b" ", b"\t"):
            # obs-fold: a server either refuses or unfolds it (RFC 9112, 5.2).
            self.refuse(problems.MALFORMED_REQUEST, "The head of the request has a folded line in it.")
        # HTTPChannel accepts one empty line in front of a request, and remembers it.
        self._ate_line = not line and not self.requests
        if not self._closing:
            super().lineReceived(line)
        return self._closing

    def refuse_control_character(self) -> None:
        """Refuses a head with a character that none may have."""
        self.refuse(problems.MALFORMED_REQUEST, "The head of the request has a control character in it.")

    def lineLengthExceeded(self, line: bytes) -> bool:
        """LineReceiver API."""
        self._note_method(line)
        if self._command is None and b" " in line[: self.MAX_LENGTH]:
            self.refuse(
                problems.TARGET_TOO_LONG, f"The target of the request is longer than {self.totalHeadersSize} bytes."
            )
        else:
            self.refuse(
                problems.HEAD_TOO_LARGE, f"The head of the request is larger than {self.totalHeadersSize} bytes."
            )
        return True

    def _note_method(self, line: bytes) -> None:
        """Remembers the method, also of a malformed request line: the refusal of HEAD has no content."""
        if self._command is None:
            self._method = line.partition(b" ")[0]

    def headerReceived(self, line: bytes) -> bool:
        """HTTPChannel API."""
        name, _, value = line.partition(b":")
        length = value.strip(b" \t")
        if len(name) > MAX_FIELD_NAME_BYTES:
            self.refuse(
                problems.HEAD_TOO_LARGE,
                f"The request has a field with a name of more than {MAX_FIELD_NAME_BYTES} bytes.",
            )
            return False
        if name.lower() == b"content-length" and length.isdigit() and len(length) > _MAX_LENGTH_DIGITS:
            self.refuse(problems.CONTENT_TOO_LARGE, "The content of the request is too large.")
            return False
        accepted: bool = super().headerReceived(line)
        return accepted

    def allHeadersReceived(self) -> None:
        """HTTPChannel API."""
        self._in_head = False
        request = self.requests[-1]
        headers, command = request.requestHeaders, self._command or b""
        hosts = headers.getRawHeaders(b"Host", [])
        # twisted.web asks for the persistence of the connection before it tells the request its method and version.
        request.fields = RequestFields.of(headers, command, self._version)
        if len(hosts) > 1 or (not hosts and self._version != b"HTTP/1.0"):
            self.refuse(problems.MALFORMED_REQUEST, "The request must have one Host field.")
        elif hosts and not _HOST.fullmatch(hosts[0]):
            self.refuse(problems.MALFORMED_REQUEST, "The Host field of the request is malformed.")
        elif not _TARGET.match(self._path):
            self.refuse(problems.MALFORMED_REQUEST, "The target of the request is malformed.")
        elif (field_of(headers, b"Transfer-Encoding") or b"chunked").lower() != b"chunked":
            # The end of the content cannot be found (RFC 9112, 6.3). HTTPChannel refuses the other cases.
            self.refuse(problems.MALFORMED_REQUEST, "The Transfer-Encoding field of the request is not 'chunked'.")
        elif self._timed is not None and self._timed.over_capacity:
            if asks_for_events(request.fields, command, self._path):
                # An EventSource would not come back after a 503. The resource refuses it, because the resource knows
                # the pages that may read the answer.
                request.over_capacity = True
                # Few connections beyond the limit are accepted, to be refused: it must not keep its place.
                self._last_request = True
            else:
                retry = [retry_after(OVER_CAPACITY_RETRY_S)]
                self.refuse(problems.TOO_MANY_CONNECTIONS, "There are too many connections. Come back later.", retry)
        if self._closing:
            return
        if (self.length != 0 or headers.hasHeader(b"Transfer-Encoding")) and not self.takes_content():
            # Answered now. Content that still arrives is discarded.
            request.has_content = True
            self._last_request = True
            self.length = 0
            self._transferDecoder = None
        # twisted.web would answer 100, which asks the client to send its content.
        headers.removeHeader(b"Expect")
        super().allHeadersReceived()

    def takes_content(self) -> bool:
        """Tells whether the content of the present request is read. No resource of a feed takes content."""
        return False

    def allContentReceived(self) -> None:
        """HTTPChannel API."""
        if not self._closing:
            self._method = b""
            super().allContentReceived()

    def _respondToBadRequestAndDisconnect(self) -> None:
        """HTTPChannel calls this wherever it finds a request malformed."""
        if self._closing:
            return
        if self._receivedHeaderSize > self.totalHeadersSize or self._receivedHeaderCount > self.maxHeaders:
            self.refuse(problems.HEAD_TOO_LARGE, "The head of the request is too large.")
        else:
            self.refuse(problems.MALFORMED_REQUEST, "The request is malformed.")
