"""pymongo's client: making it, and putting its errors in an operator's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pymongo
from pymongo.errors import (
    ConnectionFailure,
    ExecutionTimeout,
    NetworkTimeout,
    OperationFailure,
    ServerSelectionTimeoutError,
)

from livefeed.exceptions import first_line

if TYPE_CHECKING:
    from livefeed.sources.mongo.url import Address

MAX_CONNECTIONS = 3
"""Number of connections to a server: for pulls, for changes, and for ending queries. pymongo adds its own, by which it
monitors each server."""


AWAIT_MS = 1000
"""Milliseconds after which the server answers if there are no changes."""


SELECTION_S = 0.45
"""Seconds that the selection of a server may take. pymongo rounds them up to half a second."""


def make_client(address: Address) -> pymongo.MongoClient[Any]:
    """Makes a client that connects when it is first used.

    :raises pymongo.errors.ConfigurationError: if options contradict each other, or a file is missing.
    """
    timeout_ms = int(address.timeout_s * 1000)
    return pymongo.MongoClient(
        list(address.hosts),
        username=address.username,
        password=address.password,
        appname="livefeed",
        connect=False,
        maxPoolSize=MAX_CONNECTIONS,
        serverSelectionTimeoutMS=int(SELECTION_S * 1000),
        # It also limits the monitoring of servers, for which the process waits at its end, at most a second.
        connectTimeoutMS=min(timeout_ms, 900),
        socketTimeoutMS=timeout_ms + AWAIT_MS,
        serverMonitoringMode="poll",
        **address.options,
    )


def describe_error(error: Exception, timeout_s: float) -> str:
    """Describes an error in one line for an operator. The line may contain the password."""
    if isinstance(error, OperationFailure) and not isinstance(error, ExecutionTimeout):
        details = error.details or {}
        return f"MongoDB says: {first_line(details.get('errmsg') or error)}"
    if isinstance(error, ServerSelectionTimeoutError):
        return f"cannot connect: {first_line(error).partition(' (configured timeouts')[0].partition(', Timeout')[0]}"
    if isinstance(error, NetworkTimeout | ExecutionTimeout):
        return f"no answer within {timeout_s:g} s"
    if isinstance(error, ConnectionFailure):
        return f"the connection was lost: {first_line(error).partition(' (configured timeouts')[0]}"
    return f"the answer is none of MongoDB's: {type(error).__name__}: {first_line(error)}"


def fit_for_log(text: str, password: str | None) -> str:
    """Replaces the password in a text by asterisks, and limits the text to 200 characters."""
    # In this order, since half a password would remain otherwise.
    return (text.replace(password, "***") if password else text)[:200]
