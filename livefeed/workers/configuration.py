"""The settings on their way from the parent to its workers: without secrets, and with certificates as bytes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import structs

from livefeed.config.settings import FeedSettings, Settings
from livefeed.exceptions import LinkError
from livefeed.process.descriptions import split_description
from livefeed.tls.files import GivenFiles

if TYPE_CHECKING:
    from livefeed.workers.messages import Message, Welcome

_OF_TWISTED = ("ssl:", "haproxy:ssl:")
_UNPULLED = FeedSettings().source
_OF_THE_PARENT = ("state_dir", "runtime_dir", "admin", "admin_token", "admin_group")
_DEFAULTS = {name: getattr(Settings(), name) for name in _OF_THE_PARENT}


def settings_for_workers(settings: Settings) -> dict[str, Any]:
    """Gives settings as facts of a message, without what only the parent uses: sources have passwords.

    :param settings: the settings of the parent.
    """
    feeds = tuple(structs.replace(feed, source=_UNPULLED) for feed in settings.feeds)
    facts: dict[str, Any] = msgspec.to_builtins(structs.replace(settings, feeds=feeds, **_DEFAULTS), enc_hook=os.fspath)
    return facts


def settings_of(welcome: Welcome) -> Settings:
    """Gives the settings of a worker: those of its parent, with its own limits.

    :raises LinkError: if they cannot be read.
    """
    try:
        settings = msgspec.convert(welcome.settings, Settings, dec_hook=_path)
        return structs.replace(settings, **welcome.limits)
    except (msgspec.ValidationError, TypeError) as error:
        raise LinkError(f"the settings cannot be read: {error}") from None


def files_of(message: Message, welcome: Welcome) -> GivenFiles:
    """Gives the certificates and keys that came with a message.

    :raises LinkError: if their bytes are missing.
    """
    return GivenFiles({Path(path): message.payload(index) for path, index in welcome.certificates.items()})


def with_memory_files(description: str, files: GivenFiles) -> str:
    """Replaces the files in the description of an endpoint that Twisted makes, which reads them by itself.

    :returns: the description; the same for endpoints of other kinds.
    """
    if not description.startswith(_OF_TWISTED):
        return description
    changed = []
    for part in split_description(description):
        name, separator, value = part.rpartition("=")
        data = files.contents.get(Path(value))
        changed.append(part if data is None else f"{name}{separator}{memory_file(value, data)}")
    return ":".join(part.replace("\\", "\\\\").replace(":", "\\:") for part in changed)


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
