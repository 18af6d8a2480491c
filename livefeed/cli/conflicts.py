"""The ports and the runtime directory that another process has, which ``livefeed serve`` tells before the start.

twistd would find out later, behind lines of its log, and after the operator's socket was made.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import TYPE_CHECKING

from livefeed.exceptions import ConfigurationError, RuntimeDirError
from livefeed.process.descriptions import split_description
from livefeed.process.runtime_dir import DEFAULT_INSTANCE, claim, default_runtime_dir

if TYPE_CHECKING:
    from collections.abc import Mapping

    from livefeed.config.settings import Settings

_INTERFACE = "interface="


def require_free(settings: Settings, environment: Mapping[str, str]) -> None:
    """Checks that no other process has what these settings need.

    :param environment: all variables.
    :raises ConfigurationError: if one has.
    """
    for description in settings.listen:
        kind, *parts = split_description(description)
        if kind in ("tcp", "tls") and parts and parts[0].isdecimal():
            found = [each.removeprefix(_INTERFACE) for each in parts if each.startswith(_INTERFACE)]
            if _is_taken(found[0] if found else "", int(parts[0])):
                why = "Address already in use; another process listens there: `ss -ltnp` names it"
                raise ConfigurationError(f"{description}: {why}", place=settings.place("listen"))
    is_chosen = settings.runtime_dir is not None
    if not is_chosen and settings.instance == DEFAULT_INSTANCE:
        # livefeed serves without the default one.
        return
    try:
        folder = settings.runtime_dir or default_runtime_dir(environment, os.geteuid(), settings.instance)
        directory = claim(folder)
    except RuntimeDirError:
        # The start tells it.
        return
    directory.release()
    if directory.is_taken:
        place = settings.place("runtime_dir" if is_chosen else "instance")
        raise ConfigurationError(f"{directory.why_not}; set another --instance", place=place)


def _is_taken(address: str, port: int) -> bool:
    try:
        bind(address, port)
    except OSError as error:
        return error.errno == errno.EADDRINUSE
    except OverflowError:
        return False
    return False


def bind(address: str, port: int) -> None:
    """Takes a port of this machine for a moment.

    :raises OSError: if it cannot be taken.
    """
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        # As Twisted does: connections that have ended do not occupy a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((address, port))
