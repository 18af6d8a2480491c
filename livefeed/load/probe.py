"""The first request, before there is any load: a mistake in the command line must not become a million errors."""

from __future__ import annotations

import re
import socket
import ssl
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from livefeed.client.failures import reason_of
from livefeed.client.feed_list import PATH, paths_in
from livefeed.exceptions import FollowError
from livefeed.load.answers import AnswerError, Head, read_head
from livefeed.load.bodies import Body
from livefeed.load.kinds import Kind
from livefeed.load.line import READ_BYTES, context_of
from livefeed.load.requests import Requests

if TYPE_CHECKING:
    from livefeed.client.address import Address
    from livefeed.load.plan import Plan

_REFUSED = 400
_PATH = re.compile(r"/[\x21-\x7e]{1,255}")


@dataclass(frozen=True, slots=True)
class Probed:
    """The answer to the first request.

    :ivar head: its head.
    :ivar content: its content.
    :ivar sent_ns: when the request was sent, in nanoseconds since 1970.
    :ivar received_ns: when the head had come.
    """

    head: Head
    content: bytes
    sent_ns: int
    received_ns: int

    @property
    def is_livefeed(self) -> bool:
        """Whether the document is a feed of livefeed."""
        return self.head.field(b"livefeed-version") is not None

    @property
    def server(self) -> str:
        """The name that the server gives itself; empty if it gives none."""
        return self.head.text(b"server") or ""

    @property
    def is_page(self) -> bool:
        """Whether the answer is a page, and not a document."""
        return (self.head.text(b"content-type") or "").lower().startswith("text/html")


def ask_once(plan: Plan, address: Address) -> Probed:
    """Sends one request, and gives the answer. Blocks for up to three times the limit of time.

    :param address: the document, as messages name it.
    :raises FollowError: if there is no answer, or it is a refusal. The message has the reason.
    """
    target = plan.target
    context = context_of(target, plan.cacert, checks_certificate=plan.checks_certificate)
    deadline_s = time.monotonic() + 3 * plan.timeout_s
    try:
        with socket.create_connection((target.ip, target.port), plan.timeout_s) as plain:
            if context is None:
                probed = _asked(plain, plan, deadline_s)
            else:
                with context.wrap_socket(plain, server_hostname=target.name) as sock:
                    probed = _asked(sock, plan, deadline_s)
    except AnswerError as error:
        raise FollowError(f"{target.url} gives {error}") from None
    except ssl.SSLCertVerificationError as error:
        hint = "--cacert names a file of authorities to trust, --insecure checks nothing"
        raise FollowError(
            f"the certificate of {target.authority} is not trusted: {error.verify_message}; {hint}"
        ) from None
    except OSError as error:
        raise FollowError(reason_of(error, address)) from None
    if probed.head.status >= _REFUSED:
        raise FollowError(_refusal(probed, plan))
    return probed


def listed_feeds(plan: Plan, address: Address) -> list[str]:
    """Gives the paths of the feeds that a livefeed lists; none if the server is another one.

    Blocks as :func:`ask_once` does.

    :param address: any URL of the server.
    """
    try:
        listed = ask_once(replace(plan, target=replace(plan.target, path=PATH)), replace(address, target=PATH))
        paths = paths_in(listed.content)
    except (FollowError, ValueError):
        return []
    return [path for path in paths if _PATH.fullmatch(path)]


def _asked(sock: socket.socket, plan: Plan, deadline_s: float) -> Probed:
    sent_ns = time.time_ns()
    sock.sendall(Requests(plan, 0).of(Kind.POLL))
    data, head, body, pieces = bytearray(), None, None, []
    received_ns = 0
    while body is None or not body.is_done:
        piece = sock.recv(READ_BYTES)
        if time.monotonic() > deadline_s:
            raise TimeoutError
        if not piece:
            if body is None:
                raise ConnectionResetError
            body.end()
            break
        if body is None:
            data += piece
            head = read_head(data)
            if head is None:
                continue
            received_ns = time.time_ns()
            body = Body(head, plan.max_bytes)
            piece = bytes(data)
        pieces.append(body.take(piece))
    assert head is not None
    return Probed(head, b"".join(pieces), sent_ns, received_ns)


def _refusal(probed: Probed, plan: Plan) -> str:
    """Gives the message about a refusal, with what may help."""
    status = probed.head.status
    helps = {
        401: "--token-file names a file with a token",
        403: "--token-file names a file with a token, --origin the page that asks",
        404: "name the document, such as http://localhost:8080/feed",
        405: "the server does not answer GET here",
        429: "the server limits the rate of this address",
        503: "the server has no document yet, or has too many clients",
    }
    hint = f": {helps[status]}" if status in helps else ""
    return f"{plan.target.url} answers {status}{hint}"
