"""Samples: the values of metrics, in a form that processes can send to each other and add up.

A sample is a name, labels and a number. The table of families says what a name means, and how the samples of several
processes become one. The format of Prometheus is made in ``metrics``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

Labels = tuple[tuple[str, str], ...]
"""The names and values of labels, always in the same order within a family."""

Combine = Literal["sum", "max", "min", "parent"]
"""How the samples of several processes become one; with ``parent``, only those of the parent count."""


class Sample(NamedTuple):
    """One value of a metric. A list with the same three members is a sample as processes send it.

    :ivar name: the name of a family, without the prefix of all names.
    :ivar labels: the labels.
    :ivar value: the number.
    """

    name: str
    labels: Labels
    value: float


@dataclass(frozen=True, slots=True)
class Family:
    """All samples of one name.

    :ivar name: the name; that of a counter ends with ``_total``.
    :ivar labels: the names of the labels, in their order.
    :ivar text: the description, with the unit, and the values of the labels.
    :ivar combine: how the samples of several processes become one.
    """

    name: str
    labels: tuple[str, ...]
    text: str
    combine: Combine = "parent"

    @property
    def is_counter(self) -> bool:
        """Whether the value never decreases while a process runs."""
        return self.name.endswith("_total")


def _families(combine: Combine, texts: dict[str, str]) -> list[Family]:
    """Makes families of their names, with the labels in braces, and their descriptions."""
    families = []
    for key, text in texts.items():
        name, _, labels = key.removesuffix("}").partition("{")
        families.append(Family(name, tuple(labels.split(",")) if labels else (), text, combine))
    return families


_OF_PARENT = _families(
    "parent",
    {
        "build_info{version,python,openssl}": "1; the labels are the versions of livefeed, Python and OpenSSL.",
        "start_time_seconds": "Time at which livefeed was started.",
        "state{feed,state}": "1 for the current state of the feed, 0 for the others.",
        "confirmed_timestamp_seconds{feed}": (
            "Time of the last good pull, by the machine's clock; missing before the first."
        ),
        "age_seconds{feed}": (
            "Seconds since the last good pull, as measured; missing before the first, since 0 would look fresh."
        ),
        "document_bytes{feed}": "Size of the newest version; 0 before the first.",
        "versions_total{feed}": "Number of versions since the start.",
        "good_pulls_total{feed}": "Number of pulls that gave the document.",
        "failed_pulls_total{feed}": "Number of pulls that failed, or gave a document that was refused.",
        "source_failing_seconds{feed}": (
            "Seconds for which pulls have failed, or none has ended, whatever was decided; 0 if the last one was good, "
            "or if the feed has ended."
        ),
        "not_due_pulls_total{feed}": (
            "Number of ticks at which the source was not asked, since its last answer still held."
        ),
        "pull_seconds_total{feed}": (
            "Total seconds of all pulls that were good or failed, with the check of the document."
        ),
        "pull_longest_seconds{feed}": "Seconds of the longest of these pulls since the start.",
        "ticks_total{feed}": "Number of ticks since the start.",
        "tick_lateness_seconds_total{feed}": "Total seconds that ticks began later than they were due.",
        "tick_lateness_longest_seconds{feed}": "Seconds of the largest lateness of a tick since the start.",
        "overlay_entries{feed}": "Number of entries of the overlay.",
        "overlay_entries_unfit{feed}": (
            "Number of those that do not fit the last document of the source, so that its value is shown."
        ),
        "waiting_seconds{feed}": "Seconds for which a newer document has been held back; 0 if none is.",
        "rule_violations_total{feed,rule,action}": (
            "Number of documents that violated a rule which holds them back (hold), or only raises an alarm (alarm)."
        ),
        "certificates_refused": (
            "Number of reasons why changed files of certificates cannot be used, so that those of before are served."
        ),
        "max_subscribers{feed}": "Largest number of subscribers; 0 for no limit.",
        "workers{state}": "Number of workers, by state.",
        "generation": "Number of upgrades that have led to this process since the first start; with workers alone.",
        "upgrades_total{result}": (
            "Number of upgrades: done, failed or refused. That of done begins with the first parent that took over."
        ),
        "worker_restarts_total{index}": "Number of times that a worker process took the place of another one.",
        "canary_seconds{index}": "Seconds that the last canary of a worker took; missing if it was not served.",
    },
)
_SUMS = _families(
    "sum",
    {
        "codings_made_total{feed}": (
            "Number of times that a version was compressed, counted for each coding. Without workers, only codings "
            "that clients asked for in the last minute are made."
        ),
        "hashes_made_total{feed}": "Number of hashes that were computed for versions and their codings.",
        "patches_made_total{feed}": "Number of patches and splices of the whole document that were made.",
        "messages_made_total{feed}": "Number of messages of livefeed.delta.v1 about the whole document that were made.",
        "dropped_subscribers_total{feed,reason}": (
            "Number of subscribers that were disconnected: error, a message for them could not be made or written; "
            "silent, without a sign of life; flood, they sent too much."
        ),
        "parts{feed}": "Number of parts of the document that are kept up to date.",
        "subscribers{feed,by}": (
            "Number of subscribers of a feed and its parts: websocket, events or waiting. Of a connection that "
            "follows several items, each counts."
        ),
        "pushes_total{feed}": "Number of pushes of the whole document to all its subscribers that have ended.",
        "push_seconds_total{feed}": "Total seconds from the first to the last subscriber of these pushes.",
        "push_work_seconds_total{feed}": (
            "Total seconds of the work of these pushes, without the turns of other clients."
        ),
        "deliveries_total{feed}": (
            "Number of deliveries: the subscribers of each push of a feed or a part, added up. Polls are not in it."
        ),
        "skipped_versions_total{feed}": (
            "Number of versions that slow subscribers of the whole document were not sent, since a newer one came "
            "first."
        ),
        "answers_total{status,scheme,coding}": (
            "Number of requests that were answered, with refusals. WebSockets and event streams count when they "
            "begin; a refused event stream counts as 503, though 200 is sent."
        ),
        "refusals_total{feed,reason}": (
            "Number of requests to follow a feed that were refused: origin, from a page that may not; limit, at "
            "max_subscribers; expired and withdrawn, for a document that must not be shown; stopping, while livefeed "
            "or the feed ends."
        ),
        "denied_total{feed,why}": (
            "Number of requests for a protected feed, and for items of it, that were denied: missing, without a "
            "token; malformed, with one that cannot be read; unknown, with a wrong one; expired; scope, with one for "
            "other feeds, another audience, or of another issuer; origin, with the cookie, from a page of another "
            "site; query, with a token in the URL; rate, after too many wrong ones of the address; keys, while keys "
            "are being fetched."
        ),
        "address_refusals_total{reason}": (
            "Number of connections that were refused before TLS for their address, by reason."
        ),
        "access_log_dropped_lines_total": "Number of lines of the access log that could not be written.",
        "connections": "Number of open connections.",
        "max_connections": "Largest number of open connections.",
        "connections_accepted_total": "Number of accepted connections since the start.",
        "connections_refused_total": (
            "Number of connections that were refused since there were too many, since the start."
        ),
        "sent_bytes_total": (
            "Number of bytes that were sent to clients over TCP, with those of TLS and without those sent again, as "
            "the kernel counts them at the end of a connection and each 15 s before."
        ),
        "received_bytes_total": (
            "Number of bytes that were received from clients over TCP, with those of TLS, counted in the same way."
        ),
        "handshakes_total": "Number of TLS handshakes that succeeded.",
        "failed_handshakes_total": "Number of connections that ended before their TLS handshake did.",
        "full_collections_total": "Number of full collections of the garbage collector.",
        "full_collection_seconds_total": "Total seconds of these collections, during which nothing else was done.",
        "loop_lag_seconds_total": (
            "Total seconds by which a timer that runs twice a second was late. All clients wait for as long."
        ),
        "loop_lag_measurements_total": "Number of times that this timer ran.",
    },
)
_MAXIMA = _families(
    "max",
    {
        "push_longest_seconds{feed}": (
            "Seconds from the first to the last subscriber of the longest push since the start."
        ),
        "full_collection_longest_seconds": "Seconds of the longest of these collections since the start.",
        "loop_lag_longest_seconds": "Seconds of the largest lateness of this timer since the start.",
    },
)
_MINIMA = _families(
    "min",
    {
        "certificate_not_after_timestamp_seconds{file}": "Time at which a certificate expires.",
        "session_tickets_shared": (
            "1 if sessions are resumed on every endpoint and worker; 0 if OpenSSL does not allow it."
        ),
    },
)

FAMILIES: dict[str, Family] = {family.name: family for family in (*_OF_PARENT, *_SUMS, *_MAXIMA, *_MINIMA)}
"""All families, in the order in which they are shown."""


def total_of(samples: Iterable[Sample], name: str, **labels: str) -> float | None:
    """Gives the sum of the samples of a family that have some labels; ``None`` if there are none.

    :param labels: the values of some of the labels.
    """
    wanted = set(labels.items())
    values = [sample.value for sample in samples if sample.name == name and wanted <= set(sample.labels)]
    return sum(values) if values else None
