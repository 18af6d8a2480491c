"""The settings on their way from the parent to its workers: without secrets, and with certificates as bytes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import structs

from livefeed.config.settings import FeedSettings, Settings
from livefeed.exceptions import LinkError
from livefeed.process.descriptions import PROXIED, split_description
from livefeed.tls.files import GivenFiles

if TYPE_CHECKING:
    from collections.abc import Mapping

    from livefeed.workers.messages import Message, Welcome

_UNPULLED = FeedSettings().source
_OF_THE_PARENT = ("state_dir", "runtime_dir", "admin", "admin_token", "admin_group", "signing_key")
_DEFAULTS = {name: getattr(Settings(), name) for name in _OF_THE_PARENT}


def settings_for_workers(settings: Settings) -> dict[str, Any]:
    """Gives settings as facts of a message, without what only the parent uses: sources have passwords.

    :param settings: the settings of the parent.
    """
    feeds = tuple(structs.replace(feed, source=_UNPULLED, rules=()) for feed in settings.feeds)
    facts: dict[str, Any] = msgspec.to_builtins(structs.replace(settings, feeds=feeds, **_DEFAULTS), enc_hook=os.fspath)
    return facts


def settings_of(welcome: Welcome) -> Settings:
    """Gives the settings of a worker: those of the message, with its own limits.

    :raises LinkError: if they cannot be read.
    """
    try:
        settings = msgspec.convert(welcome.settings, Settings, dec_hook=_path)
        settings = structs.replace(settings, **welcome.limits)
    except (msgspec.ValidationError, TypeError) as error:
        raise LinkError(f"the settings cannot be read: {error}") from None
    return settings


def files_of(message: Message, welcome: Welcome) -> GivenFiles:
    """Gives the certificates and keys that the parent has read, by their absolute paths."""
    return GivenFiles({Path(path).absolute(): message.payload(index) for path, index in welcome.certificates.items()})


def access_of(message: Message, welcome: Welcome) -> dict[str, bytes]:
    """Gives the tokens and keys of protected feeds that the parent has sent, by their names."""
    return {name: message.payload(index) for name, index in welcome.access.items()}


def with_memory_files(description: str, given: GivenFiles) -> str:
    """Gives the description of an endpoint for a worker.

    Twisted itself reads the files of an endpoint ``ssl:``, so the bytes that the parent has read are put into files in
    memory. Those of ``tls:`` are read from *given*.
    """
    if split_description(description.removeprefix(PROXIED))[0] != "ssl":
        return description
    return _with_files(description, {str(path): memory_file(path.name, data) for path, data in given.contents.items()})


def memory_file(name: str, data: bytes) -> Path:
    """Makes a file in memory, which exists as long as the process. No other user can read it, and no disk has it.

    :param name: a name for those who look at the process.
    """
    fd = os.memfd_create(Path(name).name[:200])
    with os.fdopen(fd, "wb", closefd=False) as file:
        file.write(data)
    return Path(f"/proc/self/fd/{fd}")


def _path(wanted: type, value: Any) -> Any:
    if wanted is Path and isinstance(value, str):
        return Path(value)
    raise ValueError("expected a path")


def _with_files(description: str, files: Mapping[str, Path]) -> str:
    """Replaces the paths in a description by others."""
    parts = split_description(description)
    changed = []
    for part in parts:
        name, separator, value = part.partition("=")
        file = files.get(value if separator else part)
        changed.append(part if file is None else f"{name}={file}" if separator else str(file))
    if changed == parts:
        return description
    return ":".join(part.replace("\\", "\\\\").replace(":", "\\:") for part in changed)
