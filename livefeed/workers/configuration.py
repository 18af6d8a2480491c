"""The settings on their way from the parent to its workers: without secrets, and with certificates as bytes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import structs

from livefeed import __version__
from livefeed.config.settings import FeedSettings, Settings
from livefeed.exceptions import ConfigurationError, LinkError
from livefeed.process.descriptions import split_description
from livefeed.tls.folder import MAX_FILE_BYTES
from livefeed.workers.messages import PROTOCOL, Welcome, message_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from livefeed.tls.tickets import TicketKeys
    from livefeed.workers.messages import Message

_WITH_FILES = ("tls:", "ssl:", "haproxy:tls:", "haproxy:ssl:")
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


def welcome_of(
    settings: Settings,
    files: Mapping[str, bytes],
    ticket_keys: TicketKeys | None = None,
    *,
    limits: Mapping[str, int] | None = None,
    want: Iterable[str] = (),
) -> Message:
    """Makes the first message to a worker, without sockets. After a reload, its facts are those of ``configuration``.

    :param settings: the settings of the parent, with the paths of a development certificate if that is used.
    :param files: the certificates and keys; see :func:`read_files`.
    :param ticket_keys: the key of TLS tickets.
    :param limits: the worker's own limits, by the names of settings.
    :param want: the feeds whose newest snapshot the parent wants from the worker.
    """
    payloads = [*files.values()]
    certificates = {path: number for number, path in enumerate(files)}
    if ticket_keys is not None:
        payloads.append(ticket_keys.data)
    facts = Welcome(
        PROTOCOL,
        __version__,
        os.getpid(),
        settings_for_workers(settings),
        certificates,
        None if ticket_keys is None else len(files),
        limits=dict(limits or {}),
        want=[*want],
        orphan_after_s=settings.orphan_after,
    )
    return message_of("welcome", facts, payloads)


def read_files(settings: Settings) -> dict[str, bytes]:
    """Reads the certificates and keys that settings name, by their paths. Only root may be able to read them.

    Folders of certificates are not among them: workers read those themselves.

    :raises ConfigurationError: if a file is too large.
    :raises OSError: if a file cannot be read.
    """
    named = [path for path in (settings.cert, settings.key) if path is not None]
    for description in settings.listen:
        if not description.startswith(_WITH_FILES):
            continue
        values = (part.partition("=")[2] or part for part in split_description(description)[1:])
        named += [Path(value) for value in values if "/" in value and Path(value).is_file()]
    files = {}
    for path in named:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ConfigurationError(f"{path}: a file of certificates has {MAX_FILE_BYTES} bytes at most", "cert")
        files[str(path)] = data
    return files


def settings_of(message: Message, welcome: Welcome) -> Settings:
    """Gives the settings of a worker: those of the message, with its own limits, and the files that came with it.

    :raises LinkError: if they cannot be read.
    """
    try:
        settings = msgspec.convert(welcome.settings, Settings, dec_hook=_path)
        settings = structs.replace(settings, **welcome.limits)
    except (msgspec.ValidationError, TypeError) as error:
        raise LinkError(f"the settings cannot be read: {error}") from None
    files = {path: memory_file(path, message.payload(index)) for path, index in welcome.certificates.items()}
    return with_files(settings, files) if files else settings


def with_files(settings: Settings, files: Mapping[str, Path]) -> Settings:
    """Replaces paths of certificates and keys.

    :param files: other paths, by those of the operator.
    """
    return structs.replace(
        settings,
        cert=_replaced(settings.cert, files),
        key=_replaced(settings.key, files),
        listen=tuple(_with_files(description, files) for description in settings.listen),
    )


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


def _replaced(path: Path | None, files: Mapping[str, Path]) -> Path | None:
    return None if path is None else files.get(str(path), path)


def _with_files(description: str, files: Mapping[str, Path]) -> str:
    if not description.startswith(_WITH_FILES):
        return description
    parts = split_description(description)
    changed = []
    for part in parts:
        name, separator, value = part.partition("=")
        file = files.get(value if separator else part)
        changed.append(part if file is None else f"{name}={file}" if separator else str(file))
    if changed == parts:
        return description
    return ":".join(part.replace("\\", "\\\\").replace(":", "\\:") for part in changed)
