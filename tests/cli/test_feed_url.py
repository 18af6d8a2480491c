"""The URL of a feed on a command line, without a server."""

from __future__ import annotations

import json
import time

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli import feed_url
from livefeed.cli.feed_url import FirstContact, feed_address
from livefeed.client.actions import Failed
from livefeed.client.address import Address
from livefeed.client.answers import Answer
from livefeed.client.http import Requests
from livefeed.client.update import Line, Shown
from livefeed.exceptions import FollowError

LISTED = [{"path": "/results"}, {"path": "/turnout"}]


def listing(feeds: list[dict[str, str]]) -> Answer:
    return Answer(200, {}, json.dumps({"feeds": feeds}).encode())


class FeedAddressTests(SynchronousTestCase):
    """The URL of a server in place of that of a feed."""

    def named(self, *answers: Answer | Failed, url: str = "http://h:8080/", wait_s: float = 0.0) -> str:
        """Gives the URL that is followed, or the error."""
        coming, self.told = iter(answers), list[str]()
        self.patch(Requests, "get", lambda requests, fields: next(coming))
        try:
            return feed_address(url, Address.of(url), wait_s=wait_s, tell=self.told.append).url
        except FollowError as error:
            return str(error)

    def test_feed(self) -> None:
        """A URL with a path stands for itself, and no server is asked."""
        self.assertEqual(self.named(url="http://h:8080/feed#/n"), "http://h:8080/feed/n")

    def test_only_feed(self) -> None:
        """The only feed of a server is followed, or a part of it; of several the user chooses."""
        for feeds, url, found in (
            (LISTED[:1], "http://h:8080/", "http://h:8080/results"),
            (LISTED[:1], "http://h:8080", "http://h:8080/results"),
            (LISTED[:1], "http://h:8080/#/n/0", "http://h:8080/results/n/0"),
            (LISTED[:1], "http://h:8080#/n", "http://h:8080/results/n"),
            (LISTED, "http://h:8080/", "has 2 feeds: http://h:8080/results, http://h:8080/turnout"),
            ([], "http://h:8080/", "has 0 feeds"),
        ):
            self.assertIn(found, self.named(listing(feeds), url=url))

    def test_other_endpoint(self) -> None:
        """The list of feeds is asked for at the place that was named, and the feed, too."""
        endpoints: list[tuple[str, int]] = []

        def get(requests: Requests, fields: dict[str, str]) -> Answer:
            endpoints.append(requests.address.endpoint)
            return listing(LISTED[:1])

        self.patch(Requests, "get", get)
        given = Address.of("https://h/#/n", connect="127.0.0.1:8443")
        found = feed_address("https://h/#/n", given)
        self.assertEqual((found.url, found.endpoint), ("https://h/results/n", ("127.0.0.1", 8443)))
        self.assertEqual(endpoints, [("127.0.0.1", 8443)])

    def test_other_servers(self) -> None:
        """A server without a list, or that cannot be reached, is an error."""
        for answer, why in (
            (Answer(404, {}, b"<html>"), "has no list of feeds"),
            (Answer(200, {}, b'{"feeds": [1]}'), "has no list of feeds"),
            (Failed("nothing listens at h:8080"), "nothing listens at h:8080"),
        ):
            self.assertIn(why, self.named(answer))

    def test_first_contact(self) -> None:
        """A server that cannot be reached at first ends a command; one that is away later, or may be away, does not."""
        away, there = (Shown(line=line, problem="gone") for line in (Line.OFFLINE, Line.POLLING))
        self.assertRaises(FollowError, FirstContact(is_over=False).check, away)
        for contact in (FirstContact(is_over=True), FirstContact(is_over=False)):
            contact.check(there)
            contact.check(away)

    def test_waiting(self) -> None:
        """A server that cannot be reached is asked again for some time."""
        failed, now = Failed("nothing listens at h:8080"), [100.0]
        self.patch(feed_url, "monotonic", lambda: now[0])
        self.patch(time, "sleep", lambda delay_s: now.__setitem__(0, now[0] + delay_s))
        self.assertEqual(self.named(failed, failed, listing(LISTED[:1]), wait_s=9.0), "http://h:8080/results")
        self.assertEqual(self.told, ["nothing listens at h:8080; trying again"])
        self.assertEqual(self.named(failed, failed, failed, wait_s=1.5), "nothing listens at h:8080")
        self.assertEqual(self.named(Failed("too large", was_reached=True), wait_s=9.0), "too large")
