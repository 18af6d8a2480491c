"""The requests that one answer of a document is for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livefeed.delivery.document_variants import DocumentVariants
from livefeed.delivery.feed_resource import Access
from livefeed.document.snapshot import Snapshot
from livefeed.feed.demand import Demand
from livefeed.testing import make_site, publish
from livefeed.web.cors import Origins
from livefeed.web.negotiation import KeyedFields
from tests.helpers.documents import DOCUMENT, NOW, DocumentTestCase

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from livefeed.delivery.document_fields import Form

Variant = dict[str, bytes]


class VariantTestCase(DocumentTestCase):
    def setUp(self) -> None:
        super().setUp()
        publish(self.feed, DOCUMENT)
        assert self.feed.snapshot is not None
        self.snapshot: Snapshot = self.feed.snapshot
        self.tag = b'"%b"' % self.snapshot.version.encode()
        self.old = b'"older"'
        self.resource = self.make()

    def make(self, form: Form = "either", *origins: str) -> DocumentVariants:
        """Makes a resource of the document with the variants alone."""
        delivery = make_site(self.feed).published[0].delivery
        return DocumentVariants(delivery, Access(Origins.parse(origins or ("*",))), form)

    def of(self, variant: Callable[[list[bytes | None]], Hashable], fields: Variant) -> Hashable:
        """Gives the variant of a request with these fields."""
        return variant([fields.get(name) for name in KeyedFields._fields])

    def assert_alike(self, variant: Callable[[list[bytes | None]], Hashable], *alike: Variant) -> None:
        """One answer is for all of these requests."""
        first, *others = (self.of(variant, fields) for fields in alike)
        self.assertIsNotNone(first)
        for fields, other in zip(alike[1:], others, strict=True):
            self.assertEqual((fields, other), (fields, first))

    def assert_different(self, variant: Callable[[list[bytes | None]], Hashable], *fields: Variant) -> None:
        """No answer is for two of these requests."""
        found = [self.of(variant, each) for each in fields]
        self.assertEqual(len(set(found)), len(fields), found)
        self.assertNotIn(None, found)


class VersionTests(VariantTestCase):
    """Answers with a version."""

    def variant(self, values: list[bytes | None]) -> Hashable:
        return self.resource._variant(self.snapshot, values)

    def test_variants_on_demand(self) -> None:
        """Replay answers no request whose coding is still to be made, and takes note of the others."""
        self.feed.demand = Demand(self.clock.seconds())
        snapshot = Snapshot.of(DOCUMENT, self.feed.next_sequence(), codings=("gzip",))
        self.feed.publish(snapshot)
        self.snapshot = snapshot
        self.assertIsNone(self.of(self.variant, {"accept_encoding": b"br"}))
        self.assertIsNotNone(self.of(self.variant, {"accept_encoding": b"gzip"}))
        self.assertEqual({*self.feed.demand.wanted(snapshot, 2 * NOW)}, {"gzip", "br"})

    def test_alike(self) -> None:
        """Of the codings the one that is chosen counts, and of the tags the one that is known."""
        self.assert_alike(
            self.variant,
            {},
            {"accept": b"*/*"},
            {"accept": b"application/json", "accept_encoding": b"identity"},
            {"if_none_match": self.old},
            {"origin": b"https://a.example"},
            {"connection": b"keep-alive"},
            {"a_im": b"vcdiff"},
        )
        known = {"if_none_match": self.tag}
        self.assert_alike(self.variant, known, {**known, "a_im": b"json-patch"}, {"if_none_match": b"*"})
        self.assert_alike(self.variant, {"prefer": b"wait=5"}, {"prefer": b"x, wait=5", "if_none_match": self.old})

    def test_different(self) -> None:
        """The coding, the tag, the wait that is confirmed, the delta and its base, and the end of the connection."""
        delta = {"a_im": b"json-patch", "if_none_match": self.old}
        self.assert_different(
            self.variant,
            {},
            {"accept_encoding": b"gzip"},
            {"if_none_match": self.tag},
            {"if_none_match": self.tag[:-1] + b'-gzip"'},
            {"prefer": b"wait=5"},
            {"connection": b"close"},
            delta,
            {**delta, "a_im": b"livefeed-splices"},
            {**delta, "if_none_match": b'"oldest"'},
        )

    def test_events_and_waits_are_for_nobody_else(self) -> None:
        """They are answered later, or with something else than the document."""
        for fields in ({"accept": b"text/event-stream"}, {"if_none_match": self.tag, "prefer": b"wait=5"}):
            self.assertIsNone(self.of(self.variant, fields), fields)
        self.resource = self.make("document")
        self.assert_alike(self.variant, {}, {"accept": b"text/event-stream"})

    def test_origins_that_are_listed(self) -> None:
        """Each has a permission of its own; all others have none."""
        self.resource = self.make("either", "https://a.example", "https://b.example")
        listed = ({"origin": b"https://a.example"}, {"origin": b"https://b.example"})
        self.assert_different(self.variant, {}, *listed)
        self.assert_alike(self.variant, {}, {"origin": b"https://c.example"})


class NothingTests(VariantTestCase):
    """Answers without a version."""

    def test_origin_and_end_of_the_connection(self) -> None:
        """Nothing else counts, for there is nothing to choose."""
        variant = self.resource._variant_of_nothing
        self.assert_alike(variant, {}, {"accept_encoding": b"gzip"}, {"if_none_match": self.tag}, {"prefer": b"wait=5"})
        self.assert_different(variant, {}, {"connection": b"close"})
        self.assertIsNone(self.of(variant, {"accept": b"text/event-stream"}))


class WaitingTests(VariantTestCase):
    """Requests that wait for the next version."""

    def test_alike(self) -> None:
        """Codings in another spelling, and the same tags."""
        fields = {"prefer": b"wait=5", "if_none_match": self.tag}
        variant = self.resource._variant_of_waiting
        self.assert_alike(
            variant,
            fields,
            {**fields, "accept": b"*/*"},
            {**fields, "prefer": b"wait=5, x"},
            {**fields, "if_none_match": b" , " + self.tag},
            {**fields, "a_im": b"vcdiff"},
        )
        gzip = {**fields, "accept_encoding": b"gzip"}
        self.assert_alike(variant, gzip, {**gzip, "accept_encoding": b"gzip;q=1.0"})

    def test_different(self) -> None:
        """Any coding may be the best of the next version, and any tag the base of a delta."""
        fields = {"prefer": b"wait=5", "if_none_match": self.tag}
        self.assert_different(
            self.resource._variant_of_waiting,
            fields,
            {**fields, "accept_encoding": b"gzip"},
            {**fields, "accept_encoding": b"br"},
            {**fields, "if_none_match": self.tag + b", " + self.old},
            {**fields, "prefer": b"wait=6"},
            {**fields, "a_im": b"json-patch"},
            {**fields, "connection": b"close"},
        )

    def test_others(self) -> None:
        """A request that does not wait, knows nothing, or asks for events has no equals."""
        fields = {"prefer": b"wait=5", "if_none_match": self.tag}
        for other in (
            {"prefer": b"wait=5"},
            {"if_none_match": self.tag},
            {**fields, "prefer": b"wait=0"},
            {**fields, "accept": b"text/event-stream"},
        ):
            self.assertIsNone(self.of(self.resource._variant_of_waiting, other), other)
