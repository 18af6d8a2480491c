"""The wiring that all processes which pull have in common: one without workers, and the parent of workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred

from livefeed import clocks
from livefeed.admin.access import read_token
from livefeed.admin.auditing import Auditing
from livefeed.auth.material import Content
from livefeed.exceptions import ConfigurationError, JournalError
from livefeed.feed.demand import Demand
from livefeed.feed.feed import Feed
from livefeed.feed_service import PulledFeedService, Shared
from livefeed.feed_set import FeedsService, ReloadedFeeds, spread_s
from livefeed.process.certificates import CertificateChoice
from livefeed.process.drain_command import DrainCommand
from livefeed.process.endpoints import make_endpoint
from livefeed.process.instance import group_number
from livefeed.process.reload import SimplePart
from livefeed.process.signing import ReloadedSigning, Signing, read_signing_keys
from livefeed.serving import trusted_networks
from livefeed.storage.audit import AuditLog
from livefeed.storage.journal import check_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from livefeed.config.settings import Settings
    from livefeed.feed.signer import Signer
    from livefeed.operating import Operating
    from livefeed.process.certificates import ReloadedCertificates
    from livefeed.process.drain import Drain
    from livefeed.process.listener import Listener
    from livefeed.process.log_level import LogLevels
    from livefeed.process.reload import Reloadable
    from livefeed.serving import Serving

AUDIT = "audit.log"
"""The name of the audit in the state directory. No feed has files of this name: their names have no dot."""


def make_signing(serving: Serving) -> ReloadedSigning:
    """Makes the signer of statements, with the keys of the settings, and publishes these. It may block.

    :raises ConfigurationError: if the keys cannot be used.
    """
    signing = Signing(read_signing_keys(serving.settings))
    signing.log_key()
    serving.publish_keys(signing.key_set())
    return ReloadedSigning(signing, serving.publish_keys)


def feed_on_demand(*arguments: Any, **named: Any) -> Feed:
    """Makes a feed whose new versions are made in the content codings that clients ask for.

    It is for a process that answers all clients itself: the parent of workers does not see their requests.
    """
    feed = Feed(*arguments, **named)
    feed.demand = Demand(feed.clock.seconds())
    return feed


def make_feeds(
    serving: Serving, make_feed: Callable[..., Feed] = Feed, signer: Signer | None = None
) -> FeedsService[PulledFeedService]:
    """Makes the feeds of the settings. Their first pulls are spread over an interval.

    :param make_feed: makes a feed, with the arguments of ``Feed``.
    :param signer: signs statements about the newest versions.
    :raises ConfigurationError: if a setting of a feed is impossible.
    """
    settings = serving.settings
    serving.material.take(Content.read(settings.feeds))
    shared = Shared(
        serving.reactor,
        serving.in_thread,
        serving.subscribers,
        settings.state_dir,
        settings.place("state_dir"),
        clocks.Boot.current(),
        audit=None if settings.state_dir is None else AuditLog(settings.state_dir / AUDIT),
        make_feed=make_feed,
        signer=signer,
        material=serving.material,
        failures=serving.failures,
    )
    feeds = FeedsService(serving.root, serving.site, lambda feed: PulledFeedService(feed, shared))
    for feed, delay_s in zip(settings.feeds, spread_s(settings.feeds), strict=True):
        feeds.add_feed(feed).start_later(delay_s)
    return feeds


def reloaded_parts(
    serving: Serving,
    drain: Drain,
    certificates: ReloadedCertificates,
    log_levels: LogLevels,
    feeds: FeedsService[PulledFeedService],
) -> tuple[Reloadable, ...]:
    """Gives the parts of the process that a reload changes."""
    return (
        serving.reloaded(),
        serving.reloaded_drain(drain),
        certificates,
        SimplePart(frozenset({"log_level"}), lambda changed: log_levels.set(changed.log_level)),
        ReloadedFeeds(feeds),
    )


def offer_drain(operating: Operating, drain: Drain) -> None:
    """Offers the drain to the operator, and shows it on the operator's port."""
    operating.commands.register("drain", DrainCommand(drain))
    operating.status.is_draining = lambda: drain.is_draining
    operating.health.obstacles.append(drain.obstacle)


def offer_audit(operating: Operating, serving: Serving) -> None:
    """Offers the audit to the operator."""
    folder = serving.settings.state_dir
    auditing = Auditing(None if folder is None else folder / AUDIT, serving.in_thread)
    operating.commands.register("audit", auditing.run)


def stop_all(listeners: Sequence[Listener]) -> Deferred[Any]:
    """Closes the sockets of listeners, which are stopped again at the end."""
    return gatherResults([maybeDeferred(each.stopService) for each in listeners])


def check_state_dir(settings: Settings) -> None:
    """Checks that no file is in the place of the state directory.

    :raises ConfigurationError: if there is one.
    """
    if settings.state_dir is not None:
        try:
            check_folder(settings.state_dir)
        except JournalError as error:
            raise ConfigurationError(str(error), place=settings.place("state_dir")) from None


def check_fixed(serving: Serving, read: Settings) -> None:
    """Checks the settings that need a restart, so that the restart will work. It may block.

    :param serving: has the settings of the start. Settings that have not changed were checked then.
    :param read: the settings that were read.
    :raises LivefeedError: if one of them cannot work.
    """
    check_state_dir(read)
    trusted_networks(read)
    certificate = CertificateChoice(read.cert, read.key, read.place("cert"))
    with read.named():
        for each in read.listen:
            if each not in serving.settings.listen:
                make_endpoint(*serving.listens_on(each), certificate)
        for each in read.admin:
            if each not in serving.settings.admin:
                make_endpoint(serving.reactor, each, certificate, "admin")
        if read.admin_group is not None:
            group_number(read.admin_group)
        if read.admin_token is not None:
            read_token(read.admin_token)
