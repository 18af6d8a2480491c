"""pymongo's client: how it is made, and what its errors mean to an operator."""

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
"""One to pull by, one for changes, one to end queries by; and pymongo's own, by which it looks after each server."""


AWAIT_MS = 1000
"""The server answers so often when there are no changes."""


SELECTION_S = 0.45
"""A server is looked for so long, rounded up to a half second."""


def make_client(address: Address) -> pymongo.MongoClient[Any]:
    """Gives a client that connects when it is used.

    :raises pymongo.errors.ConfigurationError: if its options cannot be, or a file is not there.
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
        # It is the bound of looking after servers, too, which the end of the process waits for, a second at most.
        connectTimeoutMS=min(timeout_ms, 900),
        socketTimeoutMS=timeout_ms + AWAIT_MS,
        serverMonitoringMode="poll",
        **address.options,
    )


def told(error: Exception, timeout_s: float) -> str:
    """Gives what is wrong, on a line, for an operator. It may have the password in it."""
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
    """Gives a text with asterisks where the password was, of 200 characters at most."""
    # In this order: half a password is one as well.
    return (text.replace(password, "***") if password else text)[:200]
