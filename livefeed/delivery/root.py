"""The tree of all paths: pages, files and the resources of each feed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livefeed.delivery.directory import Directory
from livefeed.delivery.figures import FiguresBoard, FiguresResource
from livefeed.delivery.keys import KeysResource
from livefeed.delivery.pages import ASSETS, ListPageResource, ListResource, PageOptions, feed_page, page_files
from livefeed.delivery.problem_pages import SEGMENT, ProblemPages
from livefeed.delivery.scripts import scripts
from livefeed.web.cors import Origins
from livefeed.web.reconnect_slots import ReconnectSlots
from livefeed.web.resources import Node

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from twisted.web.resource import IResource

    from livefeed.delivery.published_feed import PublishedFeed


class Root(Node):
    """The root of the site.

    Feeds can be added and removed at any time. The site then has to forget the answers that it replays
    (:meth:`livefeed.web.site.Site.forget_answers`), because the list of feeds and the 404s have changed.

    :param published: the feeds that are served from the start.
    :ivar board: has the figures, which are served if :meth:`show` allows it.
    """

    def __init__(self, published: Iterable[PublishedFeed] = ()) -> None:
        super().__init__(Origins.common(()))
        self._published = {each.feed.name: each for each in published}
        self._directory = Directory()
        self._options = PageOptions()
        self.board = FiguresBoard()
        self._keys = b""
        for each in self._published.values():
            self._list(each)
        self._assets: dict[str, IResource] = {}
        self.update()

    def add(self, published: PublishedFeed) -> None:
        """Serves one more feed.

        :raises ValueError: if there is a feed of this name already.
        """
        name = published.feed.name
        if name in self._published:
            raise ValueError(f"there is a feed of the name {name!r} already")
        self._published[name] = published
        self._list(published)
        self.update()

    def remove(self, published: PublishedFeed, slots: ReconnectSlots | None = None) -> None:
        """Ends all subscribers of a feed. From then on its paths are answered with 404.

        :param slots: gives the times at which the clients come back; by default, those of this feed alone.
        :raises KeyError: if the feed is not served.
        """
        name = published.feed.name
        if self._published.get(name) is not published:
            raise KeyError(name)
        # The waiting requests are answered from the resources that they have come to.
        del self._directory.feeds[name]
        published.directory = Directory()
        published.close(slots or ReconnectSlots())
        del self._published[name]
        self.update()

    def _list(self, published: PublishedFeed) -> None:
        """Has a feed followed by connections to the other feeds, and these by those to it, and its reasons told."""
        published.feed.tell_reasons(are_public=self._options.reasons)
        self._directory.feeds[published.feed.name] = published
        published.directory = self._directory

    def add_assets(self, resources: Mapping[str, IResource]) -> None:
        """Serves more resources below ``/-/``, whichever feeds there are.

        :param resources: the resources, by their names.
        """
        self._assets.update(resources)
        self.update()

    def show(self, options: PageOptions) -> None:
        """Shows these facts to everybody from now on, and no others."""
        self._options = options
        if not options.figures:
            self.board.clear()
        for published in self._published.values():
            published.feed.tell_reasons(are_public=options.reasons)
        self.update()

    def show_keys(self, content: bytes) -> None:
        """Publishes a set of keys from now on; nothing to publish none. The site then has to forget its answers."""
        if content != self._keys:
            self._keys = content
            self.update()

    def arrange(self, names: Iterable[str]) -> None:
        """Puts the feeds into the order of their names, as lists show them."""
        self._published = {name: self._published[name] for name in names}
        self.update()

    def update(self) -> None:
        """Makes the resources anew, after feeds or their origins have changed.

        Resources have no state of their own, and requests under way keep the old ones.
        """
        published = list(self._published.values())
        self._origins = origins = Origins.common(each.origins for each in published)
        assets = Node(origins)
        assets.putChild(b"page", page_files(origins))
        for name, script in scripts(origins).items():
            assets.putChild(name.encode(), script)
        assets.putChild(SEGMENT, ProblemPages(origins, is_shared=True))
        options = self._options
        assets.putChild(b"feeds.json", ListResource(origins, published, with_reasons=options.reasons))
        if options.figures:
            assets.putChild(b"figures.json", FiguresResource(origins, self.board))
        if self._keys:
            assets.putChild(b"keys", KeysResource(origins, self._keys))
        for name, resource in self._assets.items():
            assets.putChild(name.encode(), resource)
        self.children.clear()
        self.putChild(ASSETS, assets)
        is_only = len(published) == 1
        self.putChild(b"", ListPageResource(origins, published, options))
        for each in published:
            page = feed_page(each.feed, each.origins, options, is_only=is_only)
            self.putChild(f"{each.feed.name}.html".encode(), page)
            if is_only:
                self.putChild(b"", page)
            for path, resource in each.resources().items():
                self.putChild(path.encode(), resource)
