"""The parts of a ``mongodb://`` URL: the servers, the user, and the query.

Rule: a URL that can never work is refused here, when livefeed starts, and no message repeats a value.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, unquote

from bson import json_util
from bson.errors import BSONError

from livefeed.exceptions import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from urllib.parse import SplitResult

PORT = 27017
TIMEOUT_S = 0.8
"""Default timeout of a pull in seconds. The puller allows at least one second."""
MIN_TIMEOUT_S = 0.5
MAX_TIMEOUT_S = 9.9
MAX_LIMIT = 100_000

FORM = "mongodb://[user:password@]host[:port][,host2...]/DB/COLLECTION[?OPTIONS]"
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?")
_PATH = re.compile(r"/(?P<database>[^/]+)/(?P<collection>[^/]+)")
# Characters that are not allowed in the name of a database; a zero byte is not allowed in any name.
_NOT_IN_DATABASE = frozenset('/\\. "$*<>:|?\0')
_TRUTH = {"true": True, "1": True, "false": False, "0": False}
_FORMS_OF_JSON = {"plain": False, "relaxed": True}
_READ_PREFERENCES = ("primary", "primaryPreferred", "secondary", "secondaryPreferred", "nearest")
_MECHANISMS = ("SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN")
# Options that are passed on to pymongo, with their possible values, which the message about a wrong value lists.
_OF_CLIENT: dict[str, tuple[str, ...]] = {
    "authMechanism": _MECHANISMS,
    "authSource": (),
    "directConnection": tuple(_TRUTH),
    "readPreference": _READ_PREFERENCES,
    "replicaSet": (),
    "tls": tuple(_TRUTH),
    "tlsCAFile": (),
    "tlsCertificateKeyFile": (),
}
_OPTIONS = (*("filter", "sort", "projection", "limit", "one", "json", "watch", "timeout"), *_OF_CLIENT)


@dataclass(frozen=True, slots=True)
class Query:
    """A query.

    :ivar filter: selects the documents.
    :ivar sort: fields and directions; ``_id`` is among the fields, so that the order is always the same.
    :ivar projection: selects the fields; ``None`` for all.
    :ivar limit: largest number of documents; 0 for all.
    :ivar one: whether the first document is the result, instead of the list of all.
    :ivar relaxed: whether the JSON is MongoDB's relaxed extended JSON.
    """

    database: str
    collection: str
    filter: Mapping[str, Any]
    sort: tuple[tuple[str, int], ...]
    projection: Mapping[str, Any] | None
    limit: int
    one: bool
    relaxed: bool


@dataclass(frozen=True, slots=True)
class Address:
    """The servers, and the user.

    :ivar hosts: each ``host:port``.
    :ivar username: the user; ``None`` for none.
    :ivar password: the user's password; ``None`` without a user.
    :ivar options: further arguments of pymongo's client.
    :ivar timeout_s: seconds that one pull may take.
    :ivar watch: whether the source follows a change stream.
    """

    hosts: tuple[str, ...]
    username: str | None = field(repr=False)
    password: str | None = field(repr=False)
    options: Mapping[str, Any]
    timeout_s: float
    watch: bool


def parse_url(parts: SplitResult) -> tuple[Address, Query]:
    """Reads a URL into its parts.

    :raises ConfigurationError: if a part is missing, unknown or wrong. The message repeats no value.
    """
    if parts.fragment:
        raise _refusal(f"nothing may follow the options in {FORM}; write # as %23")
    path = _PATH.fullmatch(parts.path)
    if path is None:
        raise _refusal(f"the database or the collection is missing, or there is more in {FORM}; write / as %2F")
    database, collection = unquote(path["database"]), unquote(path["collection"])
    if _NOT_IN_DATABASE.intersection(database) or "\0" in collection or "$" in collection:
        raise _refusal(f"no database or collection is called so in {FORM}")
    credentials, _, hosts = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    if credentials and not (username and password):
        raise _refusal(f"the user or the password is missing before @ in {FORM}")
    options = _options(parts.query)
    address = Address(
        hosts=tuple(_host(host) for host in hosts.split(",")),
        username=unquote(username) or None,
        password=unquote(password) or None,
        options=_client_options(options),
        timeout_s=_timeout(options),
        watch=_choice(options, "watch", _TRUTH, default=True),
    )
    return address, _query(database, collection, options)


def _refusal(why: str) -> ConfigurationError:
    return ConfigurationError(why, "source")


def _host(text: str) -> str:
    match = _HOST.fullmatch(text)
    if match is None:
        raise _refusal(f"a host is missing, or is none, in {FORM}")
    port = PORT if match["port"] is None else int(match["port"])
    if not 1 <= port <= 65535:  # noqa: PLR2004 - what a port can be
        raise _refusal(f"a port is not a number from 1 to 65535 in {FORM}")
    return f"{match['host']}:{port}"


def _options(query: str) -> dict[str, str]:
    try:
        # A + stands for itself, since it is rarely percent-encoded by hand.
        pairs = parse_qsl(
            query.replace("+", "%2B"), keep_blank_values=True, strict_parsing=bool(query), errors="strict"
        )
    except ValueError:
        raise _refusal(f"the options are not name=value, joined by &, percent-encoded, in {FORM}") from None
    options = dict(pairs)
    if not options.keys() <= set(_OPTIONS):
        raise _refusal(f"the URL has an option that is not known; there are {', '.join(_OPTIONS)}")
    if len(options) < len(pairs):
        raise _refusal("the URL has an option twice")
    return options


def _client_options(options: Mapping[str, str]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for name, allowed in _OF_CLIENT.items():
        if name not in options:
            continue
        value = options[name]
        if not value or (allowed and value not in allowed):
            raise _refusal(f"{name}= takes {', '.join(allowed) or 'a value'}")
        if name.endswith("File") and not value.startswith("/"):
            # A daemon changes its working directory.
            raise _refusal(f"{name}= takes a path that begins with /")
        arguments[name] = _TRUTH[value] if allowed == tuple(_TRUTH) else value
    if ("tlsCAFile" in arguments or "tlsCertificateKeyFile" in arguments) and not arguments.setdefault("tls", True):
        raise _refusal("tls=false goes with no file for TLS")
    return arguments


def _query(database: str, collection: str, options: Mapping[str, str]) -> Query:
    wanted = _object(options, "filter") or {}
    projection = _object(options, "projection")
    one = _choice(options, "one", _TRUTH, default=_names_one(wanted))
    limit = options.get("limit", "0")
    if "limit" in options and not (re.fullmatch("[1-9][0-9]{0,5}", limit) and int(limit) <= MAX_LIMIT):
        raise _refusal(f"limit= takes a whole number from 1 to {MAX_LIMIT}")
    if one and "limit" in options:
        raise _refusal("limit= is for lists, and what is asked for is one document; see one=")
    return Query(
        database=database,
        collection=collection,
        filter=wanted,
        sort=_sort(options),
        projection=projection,
        limit=1 if one else int(limit),
        one=one,
        relaxed=_choice(options, "json", _FORMS_OF_JSON, default=False),
    )


def _names_one(wanted: Mapping[str, Any]) -> bool:
    """Tells whether a filter can match only one document, since it gives the value of ``_id``."""
    if "_id" not in wanted:
        return False
    value = wanted["_id"]
    return not (isinstance(value, dict) and any(name.startswith("$") for name in value))


def _sort(options: Mapping[str, str]) -> tuple[tuple[str, int], ...]:
    sort = _object(options, "sort") or {}
    for name, direction in sort.items():
        if not name or isinstance(direction, bool) or direction not in (1, -1):
            raise _refusal('sort= takes a JSON object of fields with 1 or -1, as in {"votes": -1}')
    by = [(name, int(direction)) for name, direction in sort.items()]
    return (*by, *(() if "_id" in sort else (("_id", 1),)))


def _object(options: Mapping[str, str], name: str) -> dict[str, Any] | None:
    if name not in options:
        return None
    try:
        value = json_util.loads(options[name])
    # A wrong $oid or $date can raise any of these.
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, BSONError):
        value = None
    if not isinstance(value, dict):
        raise _refusal(f"{name}= takes a JSON object, percent-encoded; extended JSON has forms for MongoDB's types")
    return cast("dict[str, Any]", value)


def _choice(options: Mapping[str, str], name: str, choices: Mapping[str, bool], *, default: bool) -> bool:
    if name not in options:
        return default
    try:
        return choices[options[name]]
    except KeyError:
        raise _refusal(f"{name}= takes {', '.join(choices)}") from None


def _timeout(options: Mapping[str, str]) -> float:
    try:
        timeout_s = float(options.get("timeout", TIMEOUT_S))
    except ValueError:
        timeout_s = math.nan
    if not MIN_TIMEOUT_S <= timeout_s <= MAX_TIMEOUT_S:
        raise _refusal(f"timeout= takes seconds, from {MIN_TIMEOUT_S} to {MAX_TIMEOUT_S}")
    return timeout_s
