"""The server's side of the opening handshake (RFC 6455, 4.2): a request is accepted or refused, and the rest is agreed.

Rule: twisted.web has parsed the request. A refusal is an ordinary HTTP answer. The WebSocket library takes no part.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from twisted.web.server import NOT_DONE_YET

from livefeed.delivery.items import Visit
from livefeed.delivery.websocket.agreement import DEFLATE, FULL_WINDOW, Agreement
from livefeed.document.codings import MAX_PARAMETERS, members_of
from livefeed.document.snapshot import named_version
from livefeed.feed.state import State
from livefeed.web import problems
from livefeed.web.answers import refuse, refuse_expired, refuse_one_more, refuse_withdrawn
from livefeed.web.negotiation import field_of

if TYPE_CHECKING:
    from livefeed.delivery.delivery import Delivery
    from livefeed.feed.feed import Feed
    from livefeed.web.cors import Origins
    from livefeed.web.interfaces import Permit
    from livefeed.web.reconnect_slots import ReconnectSlots
    from livefeed.web.request import Request
    from livefeed.web.upgrades import Begun, Handshake

DELTA, DELTA_2 = "livefeed.delta.v1", "livefeed.delta.v2"
"""The subprotocols of :mod:`livefeed.delivery.messages` and :mod:`livefeed.delivery.item_messages`."""

MAX_OFFERS_BYTES = 2048
"""Limit of ``Sec-WebSocket-Extensions`` in bytes: ten times the longest real offers; 15 KB took 2 ms to parse."""

KEY_BYTES = 16

AGREEMENTS = 64
"""Upper limit of the agreements that are remembered, by offers of 2 KB at most: clients of one kind have the same."""

_SUBPROTOCOLS = (DELTA.encode(), DELTA_2.encode())

# The parameters of an offer that is accepted (RFC 7692, 7.1). A value may be quoted. A window of 15 bits for the server
# is no limit, and some clients ask for it by default.
_DEFLATE_PARAMETER = re.compile(
    rb"(?:client|server)_no_context_takeover"
    rb'|client_max_window_bits(?:[ \t]*=[ \t]*"?(?:[89]|1[0-5])"?)?'
    rb'|server_max_window_bits[ \t]*=[ \t]*"?15"?'
)
# extension-list (RFC 6455, 9.1). Empty members are allowed, and a quoted value is a token as well.
_CHARACTER = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_TOKEN = _CHARACTER + rb"++"
_VALUE = rb'[ \t]*+=[ \t]*+(?:%s|"(?>\\?+%s)++")' % (_TOKEN, _CHARACTER)
# Before 3.11.5, Python loses its place if the body of a possessive repetition fails half-way, unless it is atomic.
_EXTENSION = rb"%s(?>[ \t]*+;[ \t]*+%s(?>%s)?+)*+" % (_TOKEN, _TOKEN, _VALUE)
_EXTENSIONS = re.compile(rb"[ \t,]*+%s(?>[ \t]*+,[ \t,]*+%s)*+[ \t,]*+" % (_EXTENSION, _EXTENSION))


class Subscriber(Protocol):
    """The connection of one client; a protocol of Twisted's."""

    def open(self, answer: bytes, /) -> None:
        """Sends the answer to the handshake, and begins to follow the feed."""


class ConnectionFactory(Protocol):
    """Makes connections, as :class:`livefeed.delivery.websocket.protocol.SubscriberFactory` does.

    :ivar slots: the reconnect slots of clients whose handshakes are refused, since livefeed is being stopped; ``None``
        while handshakes are accepted.
    """

    slots: ReconnectSlots | None

    def build(
        self, delivery: Delivery, agreement: Agreement, have: str | None, visit: Visit | None, permit: Permit | None, /
    ) -> Subscriber:
        """Makes the connection of one client.

        :param delivery: the ways to follow the feed that the client asks for.
        :param agreement: the agreement of the handshake.
        :param have: the version that the client has already; ``None`` if it has none.
        :param visit: the facts about a client that speaks ``livefeed.delta.v2``; ``None`` for others.
        :param permit: the permission to follow the feed; ``None`` for a public one.
        """


@dataclass(slots=True, eq=False)
class Handshakes:
    """Judges handshakes, and hands an accepted connection over to its subscriber.

    :ivar factory: makes the connections.
    :ivar origins: the origins whose pages may subscribe. They can be replaced at any time.
    """

    factory: ConnectionFactory
    origins: Origins

    def answer(self, request: Request, delivery: Delivery) -> int:
        """Answers a handshake (RFC 6455, 4.2): the connection becomes a WebSocket, or the request is refused.

        :param delivery: the ways to follow the feed that the client asks for.
        """
        if request.method != b"GET" or request.clientproto != b"HTTP/1.1":
            return refuse(request, problems.MALFORMED_HANDSHAKE, "A WebSocket handshake is a GET request of HTTP/1.1.")
        if b"upgrade" not in request.fields.connection_options:
            return refuse(request, problems.MALFORMED_HANDSHAKE, "The Connection field lacks the option Upgrade.")
        if field_of(request.requestHeaders, b"Sec-WebSocket-Version") != b"13":
            headers = [
                (b"Sec-WebSocket-Version", b"13"),
                (b"Upgrade", b"websocket"),
                (b"Connection", b"Upgrade"),
            ]
            return refuse(request, problems.WEBSOCKET_VERSION, "The server speaks version 13 of WebSocket.", headers)
        keys = request.requestHeaders.getRawHeaders(b"Sec-WebSocket-Key", [])
        if len(keys) != 1 or not _is_key(keys[0]):
            return refuse(
                request, problems.MALFORMED_HANDSHAKE, "The Sec-WebSocket-Key field is not 16 bytes in Base64."
            )
        extensions = field_of(request.requestHeaders, b"Sec-WebSocket-Extensions")
        # The grammar has no empty field, but a widespread client sends one if it offers nothing.
        if extensions and (len(extensions) > MAX_OFFERS_BYTES or not _EXTENSIONS.fullmatch(extensions)):
            return refuse(
                request, problems.MALFORMED_HANDSHAKE, "The Sec-WebSocket-Extensions field is malformed or too long."
            )
        if not self.origins.allows_handshake(request.fields.keyed.origin, request.getHeader(b"Host") or b""):
            delivery.feed.tally.refused["origin"] += 1
            return refuse(request, problems.ORIGIN_NOT_ALLOWED, "Pages of this origin may not subscribe.")
        slots = self.factory.slots
        if slots is not None:
            delivery.feed.tally.refused["stopping"] += 1
            retry = b"%d" % slots.retry_after_s()
            slots.add()
            return refuse(request, problems.COME_BACK, "The server is being stopped.", [(b"Retry-After", retry)])
        subprotocol = accepted_subprotocol(field_of(request.requestHeaders, b"Sec-WebSocket-Protocol"))
        if delivery.feed.is_gone() and subprotocol is None:
            # A client that speaks a subprotocol is accepted: its messages carry the state of the feed.
            return _refuse_hidden(request, delivery.feed)
        if delivery.full():
            delivery.feed.tally.refused["limit"] += 1
            return refuse_one_more(request)
        self._accept(request, delivery, keys[0], Agreement(subprotocol, accepted_extension(extensions)))
        return NOT_DONE_YET

    def _accept(self, request: Request, delivery: Delivery, key: bytes, agreement: Agreement) -> None:
        upgrades = request.channel.site.upgrades
        is_public = request.permit is None and not request.access_fields
        if upgrades is not None and is_public and delivery.whole is None:
            upgrades.learn(request.uri.partition(b"?")[0], PublicPath(self, delivery))
        have = named_version(request.args.get(b"have"))
        is_visit = agreement.subprotocol == DELTA_2
        visit = Visit.of(request, delivery.directory().cookie_names()) if is_visit else None
        connection: Any = self.factory.build(delivery, agreement, have, visit, request.permit)
        request.setResponseCode(101)
        request.channel.hand_over(connection)
        connection.open(agreement.answer(key))


@dataclass(frozen=True, slots=True)
class PublicPath:
    """The path of a public feed: accepts what :meth:`Handshakes.answer` would accept, and leaves all else to it."""

    _handshakes: Handshakes
    _delivery: Delivery

    def accept(self, handshake: Handshake) -> Begun | None:
        """KnownPath API."""
        delivery, factory = self._delivery, self._handshakes.factory
        agreement = _agreement(handshake.subprotocols, handshake.extensions)
        if agreement is None or factory.slots is not None or delivery.full():
            return None
        if agreement.subprotocol is None and delivery.feed.is_gone():
            return None
        if not self._handshakes.origins.allows_handshake(handshake.origin, handshake.host):
            return None
        connection: Any = factory.build(delivery, agreement, handshake.have, None, None)
        answer = agreement.answer(handshake.key)
        return connection, lambda _: connection.open(answer)


def _agreement(subprotocols: bytes | None, extensions: bytes | None) -> Agreement | None:
    """Gives the agreement with a client that offers these; ``None`` if its request has to be looked at."""
    if len(subprotocols or b"") + len(extensions or b"") > MAX_OFFERS_BYTES:
        return None
    return _remembered_agreement(subprotocols, extensions)


@lru_cache(AGREEMENTS)
def _remembered_agreement(subprotocols: bytes | None, extensions: bytes | None) -> Agreement | None:
    if extensions and not _EXTENSIONS.fullmatch(extensions):
        return None
    subprotocol = accepted_subprotocol(subprotocols)
    return None if subprotocol == DELTA_2 else Agreement(subprotocol, accepted_extension(extensions))


def _refuse_hidden(request: Request, feed: Feed) -> int:
    """Refuses a client that cannot be told that the document must not be shown."""
    state = (b"Livefeed-State", feed.state.value.encode())
    if feed.state is State.WITHDRAWN:
        feed.tally.refused["withdrawn"] += 1
        return refuse_withdrawn(request, [state])
    feed.tally.refused["expired"] += 1
    return refuse_expired(request, feed.next_tick_s(), [state])


def accepted_subprotocol(offered: bytes | None) -> str | None:
    """Gives the subprotocol that the server speaks with a client (RFC 6455, 4.2.2); ``None`` for none.

    It is the first known one of those that the client offers, in its order of preference (RFC 6455, 11.3.4).

    :param offered: the value of ``Sec-WebSocket-Protocol``; ``None`` if it was not sent.
    """
    names = [name.strip() for name in members_of(offered or b"")]
    return next((name.decode() for name in names if name in _SUBPROTOCOLS), None)


def accepted_extension(offered: bytes | None) -> bytes:
    """Gives the extension that the server uses with a client: permessage-deflate (RFC 7692, 7.1), written as an offer.

    It is used without context takeover (7.1.1), so each message is compressed by itself.

    An offer that limits the server's window is passed over, since one frame is made for all clients. An offer with more
    than :data:`livefeed.document.codings.MAX_PARAMETERS` parameters is passed over as well.

    :param offered: the value of ``Sec-WebSocket-Extensions``, well-formed; ``None`` if it was not sent.
    :returns: ``b""`` if no offer can be accepted. A window of 15 bits is granted by name if the offer asks for it
        (7.1.2.1).
    """
    for offer in members_of((offered or b"").lower().replace(b"\\", b"")):
        name, *parameters = (part.strip() for part in offer.split(b";", MAX_PARAMETERS))
        names = [parameter.partition(b"=")[0].strip() for parameter in parameters]
        known = all(map(_DEFLATE_PARAMETER.fullmatch, parameters))
        if name == b"permessage-deflate" and known and len(set(names)) == len(names):
            return DEFLATE + (FULL_WINDOW if b"server_max_window_bits" in names else b"")
    return b""


def _is_key(value: bytes) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) == KEY_BYTES
    except binascii.Error:
        return False
