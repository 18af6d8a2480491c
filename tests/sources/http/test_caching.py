"""The lifetime of answers, and the conditions of the next request."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from livefeed.sources.http.caching import MAX_FRESH_S, Validators, fresh_s

OLD = "Mon, 23 Nov 2026 07:00:00 GMT"
NEXT = "Mon, 23 Nov 2026 07:00:01 GMT"
LATER = "Mon, 23 Nov 2026 07:00:02 GMT"


def fields_of(*lines: tuple[str, str]) -> Headers:
    fields = Headers()
    for name, value in lines:
        fields.addRawHeader(name, value)
    return fields


class FreshTests(SynchronousTestCase):
    """fresh_s."""

    def fresh(self, *values: str, age: str | None = None) -> float:
        lines = [("Cache-Control", value) for value in values]
        return fresh_s(fields_of(*lines, *([("Age", age)] if age is not None else [])))

    def test_lifetimes(self) -> None:
        """The lifetime is max-age, less the age; s-maxage takes precedence, and the maximum is a minute."""
        for seconds, values in (
            (0, ()),
            (0, ("",)),
            (0, ("public",)),
            (5, ("max-age=5",)),
            (5, ("public, MAX-AGE=5 , must-revalidate",)),
            (5, ("public", "max-age=5")),
            (5, ('max-age="5"',)),
            (5, ('x="a, max-age=9", max-age=5',)),
            (7, ("max-age=5, s-maxage=7",)),
            (0, ("max-age=5, s-maxage=0",)),
            (5, ("max-age=5, max-age=5",)),
            (MAX_FRESH_S, ("max-age=86400",)),
            (MAX_FRESH_S, ("max-age=99999999999999999999",)),
        ):
            self.assertEqual(self.fresh(*values), seconds, values)

    def test_age(self) -> None:
        """The age that caches on the way report is subtracted before the limit is applied."""
        self.assertEqual(self.fresh("max-age=5", age="2"), 3)
        self.assertEqual(self.fresh("max-age=5", age="9"), 0)
        self.assertEqual(self.fresh("max-age=600", age="500"), MAX_FRESH_S)

    def test_nothing_is_taken_for_granted(self) -> None:
        """An answer is not fresh if the origin forbids it, or if its fields are malformed or contradictory."""
        for value in (
            *("no-cache, max-age=5", "no-store, max-age=5", 'max-age=5, private="x"', "max-age=5, no-cache=Set-Cookie"),
            *("max-age=5, max-age=6", "max-age", "max-age=", "max-age=-1", "max-age=1.5", "max-age=5 5", "max-age=x"),
            *('max-age="5', "max-age=5; public", "=5", "max-age = 5"),
        ):
            self.assertEqual(self.fresh(value), 0, value)
        for age in ("x", "-1", "1.5"):
            self.assertEqual(self.fresh("max-age=5", age=age), 0)

    @given(st.text(alphabet='max-age=0159, "\\no-store\t;', max_size=40), st.text(alphabet="0159 -", max_size=5))
    def test_any_value_has_a_lifetime(self, value: str, age: str) -> None:
        """Nothing raises, or is out of its range."""
        self.assertTrue(0 <= self.fresh(value.replace("\n", ""), age=age) <= MAX_FRESH_S)


class ValidatorTests(SynchronousTestCase):
    """Validators."""

    def conditions(self, **fields: str) -> list[tuple[bytes, bytes]]:
        names = {"etag": "ETag", "modified": "Last-Modified", "date": "Date"}
        return Validators.of(fields_of(*((names[name], value) for name, value in fields.items()))).conditions()

    def test_tags_go_before_times(self) -> None:
        """A time is for origins without tags."""
        tag, time = [(b"If-None-Match", b'"1"')], [(b"If-Modified-Since", OLD.encode())]
        self.assertEqual(self.conditions(etag='"1"'), tag)
        self.assertEqual(self.conditions(etag='"1"', modified=OLD, date=LATER), tag)
        self.assertEqual(self.conditions(modified=OLD, date=LATER), time)
        self.assertEqual(self.conditions(etag='W/"1"'), [(b"If-None-Match", b'W/"1"')])
        self.assertEqual(self.conditions(), [])

    def test_what_has_not_settled_is_not_relied_upon(self) -> None:
        """Another version may follow in the same second with the same time, and the same tag made of it."""
        for date in (OLD, NEXT):
            self.assertEqual(self.conditions(modified=OLD, date=date), [])
            self.assertEqual(self.conditions(modified=OLD, date=date, etag='"1"'), [])
        self.assertEqual(self.conditions(modified=LATER, date=OLD, etag='"1"'), [])

    def test_malformed(self) -> None:
        """No times without a date, no tags without quotes, and no times that are none."""
        for fields in ({"etag": "1"}, {"etag": '"a b"'}, {"modified": OLD}, {"modified": "x", "date": LATER}):
            self.assertEqual(self.conditions(**fields), [])
        twice = fields_of(("ETag", '"1"'), ("ETag", '"2"'))
        self.assertEqual(Validators.of(twice).conditions(), [])
        for time in ("Mon, 99 Nov 2026 07:00:00 GMT", "\xff", "Mon, 23 Nov 99999999999999999999 07:00:00 GMT"):
            self.assertEqual(self.conditions(modified=time, date=LATER, etag='"1"'), [(b"If-None-Match", b'"1"')])
