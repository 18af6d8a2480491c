"""All texts about settings: for the help of the options, for the messages about wrong values, and for the reference.

Rule: this is the only list. ``tap`` makes its options of it, ``settings`` its messages, and ``make reference`` the
table in ``docs/reference/configuration.md``. Nothing here decides about a value.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SettingText:
    """The texts about a setting.

    :ivar allowed: the allowed values, with their type, unit and range, for the message about another one.
    :ivar help: the help of the option, with the default value.
    :ivar meaning: the effect, in Markdown; links begin at the folder of the documentation.
    :ivar is_reloaded: whether a reload changes it; otherwise a restart does.
    """

    allowed: str
    help: str
    meaning: str
    is_reloaded: bool = False


_NAME = "a name: letters, digits, _ and - (not at its beginning), at most 64"
_TIME = "a number of seconds from 1 to 3600"
_PAUSE = "a number of seconds from 0 to 3600"
_COUNT = "a whole number, 0 or more"
_AGE = "a number of seconds from 0 to 604800"
_TEXT = "a text of 1 to 1024 characters"

TEXTS: dict[str, SettingText] = {
    "source": SettingText(
        "the text of a URL",
        "source of the document: demo:, store:, file:PATH, mongodb://[user:password@]host[:port]/DB/COLLECTION, "
        "redis://[user:password@]host[:port]/db/key, or https://[user:password@]host[:port]/path [default: demo:]",
        "where the document is pulled from: [sources](howto/sources/index.md)",
        is_reloaded=True,
    ),
    "feed": SettingText(
        _NAME,
        "name of the feed: document at /NAME, WebSocket at /NAME.ws [default: feed]",
        "the name of the feed, in all of its paths",
        is_reloaded=True,
    ),
    "interval": SettingText(
        "a number of seconds from 0.05 to 3600",
        "seconds from one pull to the next [default: 1.0]",
        "seconds from one pull to the next",
        is_reloaded=True,
    ),
    "push": SettingText(
        "tick or change",
        "when subscribers receive the document: at each good pull (tick), or each new version (change), with small "
        "signs of life by delta in between. 10,000 idle subscribers of 4 KB cost 12 % of a core and 338 Mbit/s by "
        "tick, 4 % and 6 Mbit/s by change and delta [default: tick]",
        "when subscribers receive the document: at each good pull, or when it has changed; [the "
        "price](howto/capacity.md#the-price-of-push)",
        is_reloaded=True,
    ),
    "state_dir": SettingText(
        "a path",
        "folder in which the last versions are kept for the next start",
        "a folder that keeps the last versions over [a restart](howto/restarts.md); it is made if it does not exist",
    ),
    "transport": SettingText(
        "fast or twisted",
        "transport of the connections: fast (Linux) or twisted [default: fast]",
        "[the transport](reference/configuration.md#the-transport) of the connections",
    ),
    "max_connections": SettingText(
        _COUNT,
        "connections at a time; 0: as many as open files and memory allow (fast transport) [default: 0]",
        "simultaneous connections, but never more than the limit of open files less 256; 0 is that number, or less "
        "if there is [less memory](howto/capacity.md)",
        is_reloaded=True,
    ),
    "max_delta_bytes": SettingText(
        "a whole number from 0 to 268435456",
        "largest document for which patches are made, in bytes; 0: none [default: 1048576]",
        "the largest document for which patches are made, in bytes; 0 disables patches",
        is_reloaded=True,
    ),
    "max_subscribers": SettingText(
        _COUNT,
        "subscribers of a feed at a time; 0: no limit [default: 0]",
        "simultaneous subscribers of the feed and its parts: by WebSocket, by events, or waiting; of a connection "
        "that follows several items, each item counts. 0 is no limit",
        is_reloaded=True,
    ),
    "stale_after": SettingText(
        _AGE,
        "seconds since the last good pull after which a failing feed is stale [default: 0.0]",
        "while pulls fail, the feed becomes `stale` this many seconds after the last good pull; 0: at the first "
        "failed pull",
        is_reloaded=True,
    ),
    "gone_after": SettingText(
        _AGE,
        "seconds since the last good pull after which the document of a failing feed is no longer shown; 0: never "
        "[default: 0.0]",
        "while pulls fail, the document expires this many seconds after the last good pull, and is not shown any "
        "more: 410, for operators who prefer no data to old data. 0: never. While pulls are good, at least two "
        "intervals count",
        is_reloaded=True,
    ),
    "auth_tokens": SettingText(
        "a path",
        "file of tokens, one of which clients must send to read the feed [default: none]",
        "a file of tokens: the feed is [protected](howto/access.md), and clients must send one of them",
        is_reloaded=True,
    ),
    "auth_keys": SettingText(
        "a path, or the text of a URL",
        "file, or https URL, of the public keys that have signed tokens (JWT) [default: none]",
        "a file, or an `https:` URL, of the public keys that have [signed tokens](howto/access.md#signed-tokens); "
        "requires `auth_algorithm`, `auth_issuer` and `auth_audience`",
        is_reloaded=True,
    ),
    "auth_issuer": SettingText(
        _TEXT,
        "issuer of signed tokens; required with --auth-keys",
        "the issuer of signed tokens (`iss`)",
        is_reloaded=True,
    ),
    "auth_audience": SettingText(
        _TEXT,
        "audience that signed tokens must name; required with --auth-keys",
        "the audience that signed tokens must name (`aud`)",
        is_reloaded=True,
    ),
    "auth_cookie": SettingText(
        "the name of a cookie, of letters, digits, _ and -",
        "name of the cookie in which browsers may send a token, such as __Secure-livefeed; requires --allow-origin "
        "[default: none]",
        "the name of the [cookie](howto/access.md#cookies) in which browsers may send a token, such as "
        "`__Secure-livefeed`; `allow_origin` must list the origins then",
        is_reloaded=True,
    ),
    "accept_rate": SettingText(
        f"{_COUNT}, or none",
        "new connections a second; 0: as many as take 0.6 of a core, measured at the start; none: no limit (fast "
        "transport) [default: 0]",
        'new connections per second, or `"none"` for no limit; 0 is as many as take 0.6 of a processor core '
        "([accept rate](howto/capacity.md#accept-rate))",
        is_reloaded=True,
    ),
    "handshake_timeout": SettingText(
        _TIME,
        "seconds that a TLS handshake may take (fast transport) [default: 10.0]",
        "seconds for a TLS handshake",
        is_reloaded=True,
    ),
    "head_timeout": SettingText(
        _TIME,
        "seconds that the head of a request may take [default: 10.0]",
        "seconds for the head of a request",
        is_reloaded=True,
    ),
    "max_head_bytes": SettingText(
        "a whole number from 16384 to 262144",
        "largest head of a request, in bytes; at least 16384 [default: 16384]",
        "the largest head of a request, in bytes, without its line ends",
        is_reloaded=True,
    ),
    "idle_timeout": SettingText(
        _TIME,
        "seconds after which a connection without a request is closed [default: 75.0]",
        "seconds for a connection without a request",
        is_reloaded=True,
    ),
    "max_bytes": SettingText(
        "a whole number from 2 to 268435456",
        "largest document that is served, in bytes [default: 1048576]",
        "the largest document that is served, in bytes",
        is_reloaded=True,
    ),
    "log_level": SettingText(
        "debug, info, warn or error",
        "least important lines that are logged: debug, info, warn or error [default: info]",
        "the least important lines that are logged",
        is_reloaded=True,
    ),
    "access_log": SettingText(
        "a path, unix: and the path of a socket, or -",
        "file, unix:PATH of a socket, or - (standard output) for a line about each answer [default: none]",
        "where [a line for each answer](howto/access-log.md) is written: the path of a file, `unix:` and the path "
        "of a socket, or `-` for standard output",
    ),
    "access_log_format": SettingText(
        "common, combined or json",
        "format of these lines: common, combined or json [default: combined]",
        "the format of the access log",
    ),
    "forwarded_header": SettingText(
        "none, x-forwarded-for or forwarded",
        "field with which trusted proxies name the address of a client: none, x-forwarded-for or forwarded "
        "[default: none]",
        "the field with which trusted proxies [name the client](howto/client-addresses.md)",
    ),
    "address_rate": SettingText(
        _COUNT,
        "new connections a second for each address (IPv6: /64); 0: no limit (fast transport) [default: 200]",
        "new connections per second for [each address](howto/client-addresses.md); 0 is no limit",
        is_reloaded=True,
    ),
    "network_rate": SettingText(
        _COUNT,
        "new connections a second for each network (IPv4: /24, IPv6: /48); 0: no limit (fast transport) [default: "
        "1000]",
        "new connections per second for each network; 0 is no limit",
        is_reloaded=True,
    ),
    "runtime_dir": SettingText(
        "a path",
        "folder of the operator's socket [default: the instance's folder in $RUNTIME_DIRECTORY, /run/livefeed, "
        "$XDG_RUNTIME_DIR/livefeed or /tmp/livefeed-UID]",
        "the folder of the [operator's socket](reference/operators-port.md); by default that of the instance",
    ),
    "instance": SettingText(
        _NAME,
        "name by which livefeed ctl finds this livefeed [default: default]",
        "the name by which `livefeed ctl` finds this livefeed",
    ),
    "admin_token": SettingText(
        "a path",
        "file with the token that requests to --admin carry; readable by its owner and group alone",
        "the file with the token that requests to the endpoints of `admin` carry",
    ),
    "admin_group": SettingText(
        "the name or the number of a group",
        "group whose members may use the operator's socket",
        "a group whose members may use the operator's socket",
    ),
    "ready_public": SettingText(
        "true or false",
        "true: the endpoints of the feeds also answer /-/live and /-/ready [default: false]",
        "whether the endpoints of `listen` also answer `/-/live` and `/-/ready`, without reasons",
    ),
    "page_figures": SettingText(
        "true or false",
        "true: the page shows everybody the watchers, deliveries and delays of livefeed [default: false]",
        "whether [the page](reference/protocol.md#figures) shows everybody the watchers, deliveries and delays of "
        "livefeed, of all feeds together",
        is_reloaded=True,
    ),
    "public_reasons": SettingText(
        "true or false",
        "true: watchers are told why a feed has no new document; a reason may name hosts, and values that a rule "
        "refuses [default: false]",
        "whether all watchers are told, in [messages and answers](reference/protocol.md#held-back), on the page and "
        "in the list, why a feed has no new document: the reason that the log has, which is without passwords, and "
        "may name hosts, files and databases. The reason of a rule has the value that it refuses, such as `/votes "
        "falls from 1200 to 0`: of a document that must stay secret until it is released, watchers then learn this "
        "value. [`livefeed serve`](howto/running.md) sets it to true if it listens on loopback addresses alone",
        is_reloaded=True,
    ),
    "signing_key": SettingText(
        "a path",
        "file with the keys that sign statements about the newest versions, made by livefeed keys; readable by its "
        "owner and group alone [default: none]",
        "the file with the keys by which livefeed [signs](howto/signatures.md) what it shows, made by `livefeed "
        "keys create`; no other user than its owner and its group may read it",
        is_reloaded=True,
    ),
    "workers": SettingText(
        "a whole number from 0 to 1024, or auto",
        "processes that hold the connections; auto: one for each processor; 0: all in this process (fast transport) "
        "[default: 0]",
        'processes that hold the connections; `"auto"` is one for each processor that livefeed may use; 0 runs '
        "everything in one process ([workers](howto/workers.md))",
    ),
    "orphan_after": SettingText(
        _AGE,
        "seconds after which a worker without its parent ends; 0: never [default: 300.0]",
        "seconds without a parent after which a worker ends; 0 is never",
    ),
    "drain_delay": SettingText(
        _PAUSE,
        "seconds for which livefeed goes on serving after SIGTERM, not ready [default: 0.0]",
        "seconds for which livefeed goes on serving after it was told to [stop](howto/stopping.md), not ready",
        is_reloaded=True,
    ),
    "drain": SettingText(
        _PAUSE,
        "seconds over which watchers are sent away if a successor serves them [default: 30.0]",
        "seconds over which watchers are sent away if a successor serves them",
        is_reloaded=True,
    ),
    "return_after": SettingText(
        _PAUSE,
        "seconds that a restart takes: the first watchers then come back [default: 6.0]",
        "seconds that a restart takes: the first watchers come back then",
        is_reloaded=True,
    ),
    "allow_origin": SettingText(
        "a list of one origin or more",
        "origin whose pages may read the feed, such as https://example.org; repeatable [default: *]",
        "the origins whose pages may read the feed; `*` is every origin",
        is_reloaded=True,
    ),
    "auth_algorithm": SettingText(
        "a list of EdDSA, ES256 and RS256",
        "algorithm of signed tokens: EdDSA, ES256 or RS256; repeatable; required with --auth-keys",
        "the algorithms of signed tokens",
        is_reloaded=True,
    ),
    "listen": SettingText(
        "a list of one endpoint or more",
        "endpoint to serve on [default: tls:8443]; repeatable. tls:PORT[:interface=ADDRESS] serves with --cert and "
        "--key, tls:PORT:cert=FILE:key=FILE with files of its own; all endpoints of Twisted work, too: "
        "tcp:PORT[:interface=ADDRESS] (plain HTTP), unix:PATH, systemd:domain=INET6:index=0",
        "[where to listen](reference/configuration.md#listening)",
    ),
    "cert": SettingText(
        "a path, or a list of paths",
        "PEM file of the server's certificate and its chain [default: a development one]; repeatable: clients get "
        "the one with the name that they ask for",
        "PEM files of certificates, [one or several](howto/certificates.md); a development certificate without "
        "them; requires `key`",
        is_reloaded=True,
    ),
    "key": SettingText(
        "a path, or a list of paths",
        "PEM file of the private key of --cert; repeatable, in the same order",
        "PEM files of the private keys of `cert`, in the same order",
        is_reloaded=True,
    ),
    "trusted_proxy": SettingText(
        "a list of networks such as 10.0.0.0/8, or unix",
        "network of proxies that may name the address of a client, such as 10.0.0.0/8, 2001:db8::/32 or unix; "
        "repeatable [default: none]",
        "the networks of the proxies that may name [the address of a client](howto/client-addresses.md), or `unix`",
    ),
    "admin": SettingText(
        "a list of endpoints",
        "endpoint to serve the operator's port on, besides its Unix socket, such as tcp:9090:interface=127.0.0.1; "
        "requires --admin-token; repeatable",
        "endpoints that also serve [the operator's port](reference/operators-port.md), described like those of "
        "`listen`; requires `admin_token`",
    ),
}
"""The texts by the names of the settings, in the order in which lists show them."""

CONFIG_HELP = "TOML file with settings, or with several feeds"
"""The help of the option that names the file."""
