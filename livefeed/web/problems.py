"""The types of all problems on the public port, and of those that both ports have.

Rule: this is the only list of them. Answers name a type, ``delivery/problem_pages.py`` serves its page, and the table
in the documentation is made of it. A name never changes, since clients may compare it.
"""

from __future__ import annotations

from livefeed.web.problem_type import ProblemType, types_in

# Any request

NOT_FOUND = ProblemType(
    "not-found",
    404,
    "any request",
    "Not Found",
    "There is nothing at this path, or the document has no such part at the moment. `detail` says which.",
    "Check the path: a feed is at `/NAME`, its WebSocket at `/NAME.ws`, its events at `/NAME.sse`. A part that "
    "is missing may come back; ask again after a minute, not at each tick.",
    "Compare the path with the names of the feeds: `livefeed ctl status` lists them. A proxy in front may have changed "
    "the path.",
)
METHOD_NOT_ALLOWED = ProblemType(
    "method-not-allowed",
    405,
    "any request",
    "Method Not Allowed",
    "The path exists, and does not have this method.",
    "Use one of the methods in the field `Allow`. Feeds are read with `GET` and `HEAD`; documents are published on the "
    "operator's port alone.",
    "Nothing, unless a publisher was given the address of the public port.",
)
UNEXPECTED_CONTENT = ProblemType(
    "unexpected-content",
    413,
    "any request",
    "Unexpected Content",
    "The request has content, and nothing at this path takes any. The content was not read, so the connection ends.",
    "Send the request without content, and without `Content-Length` and `Transfer-Encoding`.",
    "Nothing.",
)
CONTENT_TOO_LARGE = ProblemType(
    "content-too-large",
    413,
    "any request",
    "Content Too Large",
    "The content of the request is larger than its path takes. `detail` has the limit if the client can change that.",
    "Send less. Do not repeat the request as it is.",
    "For a document, raise `max_bytes` if documents of this size are intended.",
)
PRECONDITION_FAILED = ProblemType(
    "precondition-failed",
    412,
    "any request",
    "Precondition Failed",
    "`If-Match` or `If-None-Match` does not hold: there is another version, or none. Nothing was changed.",
    "Read the resource again, repeat the change on what it has now, and send its `ETag` in `If-Match`.",
    "Nothing. Two publishers that write the same feed meet this; it keeps one from overwriting the other.",
)
MALFORMED_REQUEST = ProblemType(
    "malformed-request",
    400,
    "any request",
    "Malformed Request",
    "The request is not HTTP as RFC 9110 and RFC 9112 have it. `detail` names the part. The connection ends, since the "
    "beginning of the next request is not known.",
    "Repair the client. It would be refused in the same way again.",
    "If a proxy in front sends such requests, look at the fields that it adds: `Host` must be there once.",
)
HEAD_TOO_LARGE = ProblemType(
    "head-too-large",
    431,
    "any request",
    "Request Head Too Large",
    "The head of the request is too large, has too many fields, or one with too long a name.",
    "Send fewer or smaller fields; large cookies are the usual cause. The connection ends.",
    "Serve the feed under a host name without cookies, or raise `max_head_bytes`.",
)
TARGET_TOO_LONG = ProblemType(
    "target-too-long",
    414,
    "any request",
    "Target Too Long",
    "The path with its query is longer than a head may be.",
    "Use a shorter path. No part of a document needs one of this length.",
    "Nothing.",
)
HEAD_TIMEOUT = ProblemType(
    "head-timeout",
    408,
    "any request",
    "Request Timeout",
    "The head of the request was not complete in time.",
    "Send the request again, whole, on another connection.",
    "If honest clients meet this on slow lines, raise `head_timeout`.",
)
HTTPS_REQUIRED = ProblemType(
    "https-required",
    400,
    "any request",
    "HTTPS Required",
    "The request came without TLS to a port that speaks TLS, and it cannot be redirected.",
    "Use `https://` in place of `http://` in the address.",
    "Point proxies and health checks at the port with the right scheme.",
)
TOO_MANY_CONNECTIONS = ProblemType(
    "too-many-connections",
    503,
    "any request",
    "Too Many Connections",
    "Livefeed has as many connections as it may have. This one was accepted to say so, and ends.",
    "Come back after `Retry-After`, on another connection.",
    "Compare `livefeed_connections` with `livefeed_max_connections`. Raise the limit of open files and "
    "`max_connections`, add memory, or serve some of the clients by another node.",
)
INTERNAL_ERROR = ProblemType(
    "internal-error",
    500,
    "any request",
    "Internal Error",
    "Livefeed failed to answer, because of a defect of its own. The log has a traceback.",
    "Come back later, with growing pauses.",
    "Look into the log for `broke`, and report the traceback.",
)

# The document of a feed

NO_VERSION_YET = ProblemType(
    "no-version-yet",
    503,
    "a feed",
    "No Version Yet",
    "The feed exists, and no good document has been pulled since the start.",
    "Come back after `Retry-After`. WebSockets and event streams are told as soon as there is one.",
    "`livefeed ctl status` has the reason: the source is away, or its document is refused. With `state_dir`, a restart "
    "begins with the last good document.",
)
EXPIRED = ProblemType(
    "expired",
    410,
    "a feed",
    "Document Expired",
    "The source has not confirmed the document for longer than `gone_after`, so it must not be shown any more. The "
    "status is 410, since a cache may answer a 503 with the old document.",
    "Remove the document from the screen. Come back after `Retry-After`.",
    "Repair the source: `livefeed ctl status` has the reason why pulls fail. The document is shown again with the next "
    "good pull.",
)
WITHDRAWN = ProblemType(
    "withdrawn",
    410,
    "a feed",
    "Document Withdrawn",
    "An operator has withdrawn the document: it must not be shown.",
    "Remove the document from the screen. Ask again after half a minute to a minute, with a random part.",
    "`livefeed ctl resume` shows the newest document again, and `livefeed ctl pin VERSION` an earlier one. "
    "`livefeed ctl audit` has the command that withdrew it.",
)
TOO_MANY_SUBSCRIBERS = ProblemType(
    "too-many-subscribers",
    503,
    "a feed",
    "Too Many Subscribers",
    "As many clients follow the feed as `max_subscribers` allows.",
    "Poll the document meanwhile: polls are not limited. Try to follow again after `Retry-After`.",
    "Raise `max_subscribers`, which a reload applies, or leave it at 0 for no limit.",
)
TOO_MANY_PARTS = ProblemType(
    "too-many-parts",
    503,
    "a feed",
    "Too Many Parts",
    "As many parts of the document are kept up to date as livefeed keeps, and this is one more.",
    "Follow the whole document, or a larger part of it, and select from it. Or come back after `Retry-After`.",
    "`livefeed_parts` has the number. Clients that ask for many parts can follow one that contains them.",
)
COME_BACK = ProblemType(
    "come-back",
    503,
    "a feed",
    "Come Back Later",
    "Livefeed is being stopped or upgraded, the feed was removed or became protected, or the part had to make room. "
    "Each client is told another time, so that they do not all return in the same instant.",
    "Come back at the time that the answer has: `Retry-After` in seconds, `retry:` of an event stream in milliseconds, "
    "or `come back in N ms` in the reason of a close code. Keep showing the document, and let its age grow.",
    "Nothing during a restart. Otherwise `livefeed ctl status` says whether a drain is under way, and "
    "`livefeed ctl drain --undo` ends one that has not sent anybody away.",
)

# WebSockets

WEBSOCKET_REQUIRED = ProblemType(
    "websocket-required",
    426,
    "a WebSocket",
    "WebSocket Required",
    "This path is for WebSockets, and the request does not ask to become one, or is HTTP/1.0.",
    "Open the path with a WebSocket client, or read the document at the same path without `.ws`.",
    "If clients do send the handshake, a proxy in front removes `Upgrade` and `Connection`: let it pass them on, by "
    "HTTP/1.1.",
)
WEBSOCKET_VERSION = ProblemType(
    "websocket-version",
    426,
    "a WebSocket",
    "WebSocket Version 13 Required",
    "The handshake asks for another version of WebSocket than 13.",
    "Send `Sec-WebSocket-Version: 13` (RFC 6455).",
    "Nothing.",
)
MALFORMED_HANDSHAKE = ProblemType(
    "malformed-handshake",
    400,
    "a WebSocket",
    "Malformed Handshake",
    "The request asks to become a WebSocket, and its handshake is not that of RFC 6455. `detail` names the field.",
    "Repair the client, or use a WebSocket library.",
    "If a well-known client meets this, a proxy in front changes the handshake.",
)
ORIGIN_NOT_ALLOWED = ProblemType(
    "origin-not-allowed",
    403,
    "a WebSocket",
    "Origin Not Allowed",
    "A page of another origin asks for a WebSocket, and `allow_origin` does not list this origin.",
    "Nothing: a page cannot choose its origin. Ask the operator of the feed.",
    "Add the origin of the page, with scheme, host and port as browsers send them, to `allow_origin`.",
)
TOO_MANY_FRAMES = ProblemType(
    "too-many-frames",
    429,
    "a WebSocket",
    "Too Many Frames",
    "The client has sent more frames on its WebSocket than one for each second, and 100 more. The WebSocket was closed "
    "with 3500 or 1008.",
    "Repair the client: a watcher answers pings, and sends next to nothing by itself. Do not come back as it is.",
    '`livefeed_dropped_subscribers_total{reason="flood"}` counts them.',
)

# Protected feeds

TOKEN_MISSING = ProblemType(
    "token-missing",
    401,
    "a protected feed",
    "Token Required",
    "The feed is protected, and the request has no token.",
    "Send `Authorization: Bearer TOKEN`. In a browser, offer the subprotocol `livefeed.bearer.` and the token in "
    "base64url for a WebSocket, or use the cookie that the operator names.",
    "Give the client a token of `auth_tokens`, or one that a key of `auth_keys` has signed. If clients do send it, a "
    "proxy in front removes `Authorization`.",
)
TOKEN_MALFORMED = ProblemType(
    "token-malformed",
    401,
    "a protected feed",
    "Token Malformed",
    "The request has a token that cannot be read, or several tokens.",
    "Send one token, in one place.",
    "Look at the programs that make the tokens: a line end or a quote at the end is the usual cause.",
)
TOKEN_UNKNOWN = ProblemType(
    "token-unknown",
    401,
    "a protected feed",
    "Token Unknown",
    "The token is not one of the feed, or no key of the feed has signed it.",
    "Fetch another token. Do not send this one again.",
    "Compare the tokens of the client with `auth_tokens`, and the key with `auth_keys`; `livefeed ctl reload` reads "
    "both again.",
)
TOKEN_EXPIRED = ProblemType(
    "token-expired",
    401,
    "a protected feed",
    "Token Expired",
    "The time of the token is over, or has not come yet; or it was revoked while the client followed the feed.",
    "Fetch another token, and come back with it.",
    "Compare the clocks of livefeed and of the issuer if tokens end too early.",
)
TOKEN_SCOPE = ProblemType(
    "token-scope",
    403,
    "a protected feed",
    "Token for Something Else",
    "The token is good, but for other feeds, for another audience, or of another issuer.",
    "Fetch a token for this feed. Do not send this one again.",
    "Compare the claims of the token with `auth_issuer` and `auth_audience`, and its feeds with the name of this one.",
)
COOKIE_ORIGIN = ProblemType(
    "cookie-origin",
    403,
    "a protected feed",
    "Cookie of a Foreign Page",
    "A page of an origin that may not use the cookie has caused the request.",
    "Send the token as `Authorization: Bearer TOKEN`.",
    "Add the origin of the page to `allow_origin` of the feed if the page is yours.",
)
TOKEN_IN_URL = ProblemType(
    "token-in-url",
    400,
    "a protected feed",
    "Token in the URL",
    "The URL has a token in it. Logs and histories keep URLs, so the token counts as known to others.",
    "Send the token as `Authorization: Bearer TOKEN`, and replace this one.",
    "Revoke the token. livefeed's access log does not show it; those of proxies may.",
)
TOO_MANY_WRONG_TOKENS = ProblemType(
    "too-many-wrong-tokens",
    429,
    "a protected feed",
    "Too Many Wrong Tokens",
    "Too many wrong tokens have come from this address within a second. A right one is still served.",
    "Come back after `Retry-After`, with a right token.",
    "Somebody may try out tokens: `livefeed_denied_total` has the reasons. Behind a proxy, set `trusted_proxy`, so "
    "that clients do not share its address.",
)
KEYS_UNAVAILABLE = ProblemType(
    "keys-unavailable",
    503,
    "a protected feed",
    "Keys Unavailable",
    "The key that has signed the token is being fetched.",
    "Come back after `Retry-After`, with the same token.",
    "If this lasts, the URL of `auth_keys` cannot be reached, or lacks the key: the log has the reason.",
)

TYPES = types_in(globals())
"""All types, in the order in which lists show them."""
