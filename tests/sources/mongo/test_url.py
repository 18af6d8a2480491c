"""Parts of a mongodb:// URL, and options that it may not have."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from bson.objectid import ObjectId
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from livefeed.exceptions import ConfigurationError
from livefeed.sources import make_source
from livefeed.sources.mongo.source import MongoSource
from livefeed.sources.mongo.url import MAX_LIMIT, Address, Query, parse_url

SECRET = "correct-horse"


def parsed(url: str) -> tuple[Address, Query]:
    return parse_url(urlsplit(url))


def address_of(url: str) -> Address:
    return parsed(url)[0]


def query_of(options: str = "") -> Query:
    return parsed(f"mongodb://h/db/c?{options}" if options else "mongodb://h/db/c")[1]


def source_of(url: str) -> MongoSource:
    source = make_source(url, reactor=MemoryReactorClock(), max_bytes=100)
    assert isinstance(source, MongoSource)
    return source


class AddressTests(SynchronousTestCase):
    """Hosts, credentials, and other options of the client."""

    def test_hosts(self) -> None:
        """There may be several hosts, each with a port or with MongoDB's own, and IPv6 addresses in brackets."""
        for hosts, expected in (
            ("h", ("h:27017",)),
            ("h:1", ("h:1",)),
            ("a,b:2,c-3.example", ("a:27017", "b:2", "c-3.example:27017")),
            ("[::1]", ("[::1]:27017",)),
            ("[::1]:65535", ("[::1]:65535",)),
        ):
            self.assertEqual(address_of(f"mongodb://{hosts}/db/c").hosts, expected)

    def test_impossible_hosts(self) -> None:
        """A host that is missing, and a port that cannot be, are refused."""
        for hosts in ("", ",", "a,", "a,,b", "h:", "h:0", "h:65536", "h:x", "h:999999", "a b", "a%2F", "u:p@", "[::1"):
            self.assertRaises((ConfigurationError, ValueError), parsed, f"mongodb://{hosts}/db/c")

    def test_credentials(self) -> None:
        """User and password are percent-encoded; both or neither."""
        address = address_of("mongodb://us%40er:p%3A%2F%2Bw@h/db/c")
        self.assertEqual((address.username, address.password), ("us@er", "p:/+w"))
        address = address_of("mongodb://h/db/c")
        self.assertEqual((address.username, address.password), (None, None))
        for credentials in ("user", "user:", ":password", ":"):
            self.assertRaises(ConfigurationError, parsed, f"mongodb://{credentials}@h/db/c")

    def test_representation_hides_credentials(self) -> None:
        """The representation that a debugger or a traceback shows has no credentials in it."""
        shown = repr(address_of(f"mongodb://user:{SECRET}@h/db/c"))
        self.assertNotIn(SECRET, shown)
        self.assertNotIn("user'", shown)

    def test_client_options(self) -> None:
        """Options that are pymongo's are handed on, those that are true or false as such."""
        address = address_of("mongodb://h/db/c?tls=true&authSource=x&replicaSet=r%20s&directConnection=0")
        self.assertEqual(
            address.options, {"tls": True, "authSource": "x", "replicaSet": "r s", "directConnection": False}
        )
        for wrong in ("tls=yes", "tls=", "authSource=", "readPreference=first", "authMechanism=MONGODB-AWS"):
            self.assertRaises(ConfigurationError, parsed, f"mongodb://h/db/c?{wrong}")

    def test_files_are_absolute(self) -> None:
        """A daemon changes its directory, so a file's path begins with /; and where there is one, there is TLS."""
        options = address_of("mongodb://h/db/c?tlsCAFile=/ca.pem").options
        self.assertEqual(options, {"tlsCAFile": "/ca.pem", "tls": True})
        for wrong in ("tlsCAFile=ca.pem", "tls=false&tlsCAFile=/ca.pem", "tlsCertificateKeyFile=./x"):
            self.assertRaises(ConfigurationError, parsed, f"mongodb://h/db/c?{wrong}")

    def test_timeout_and_watch(self) -> None:
        """A pull may be given more time or less, within bounds, and change streams may be left alone."""
        self.assertEqual(address_of("mongodb://h/db/c?timeout=2.5").timeout_s, 2.5)
        self.assertTrue(address_of("mongodb://h/db/c").watch)
        self.assertFalse(address_of("mongodb://h/db/c?watch=false").watch)
        for wrong in ("timeout=0", "timeout=0.4", "timeout=10", "timeout=nan", "timeout=x", "timeout=", "watch=maybe"):
            self.assertRaises(ConfigurationError, parsed, f"mongodb://h/db/c?{wrong}")

    def test_default_timeout_is_below_the_pollers(self) -> None:
        """A pull that hangs times out before the next pull."""
        self.assertLess(address_of("mongodb://h/db/c").timeout_s, 1.0)


class QueryTests(SynchronousTestCase):
    """The query of a URL."""

    def test_defaults(self) -> None:
        """A collection is a list of all its documents, in the order of _id."""
        self.assertEqual(query_of(), Query("db", "c", {}, (("_id", 1),), None, limit=0, one=False, relaxed=False))

    def test_names(self) -> None:
        """Names are percent-encoded; there are two of them; MongoDB's own rules hold."""
        _, query = parsed("mongodb://h/d%C3%BC/a%2Fb.c%20d")
        self.assertEqual((query.database, query.collection), ("dü", "a/b.c d"))
        for path in ("", "/", "/db", "/db/", "//c", "/db/c/", "/db/c/d", "/d.b/c", "/d%24/c", "/d%00/c", "/db/%00"):
            self.assertRaises(ConfigurationError, parsed, f"mongodb://h{path}")
        self.assertRaises(ConfigurationError, parsed, "mongodb://h/db/c#x")

    def test_filter_and_projection_are_extended_json(self) -> None:
        """JSON has no ObjectId; extended JSON has a form for it."""
        wanted = quote('{"of": {"$oid": "5f0000000000000000000001"}, "n": 1}')
        query = query_of(f"filter={wanted}&projection={{}}")
        self.assertEqual(query.filter, {"of": ObjectId("5f0000000000000000000001"), "n": 1})
        self.assertEqual(query.projection, {})

    def test_plus_is_a_plus(self) -> None:
        """A + in a filter is no space."""
        self.assertEqual(query_of('filter={"a":"1+1%201"}').filter, {"a": "1+1 1"})

    def test_order_is_always_the_same(self) -> None:
        """The _id decides between documents that are equal in the sort."""
        self.assertEqual(query_of('sort={"b":-1,"a":1}').sort, (("b", -1), ("a", 1), ("_id", 1)))
        self.assertEqual(query_of('sort={"_id":-1,"a":1}').sort, (("_id", -1), ("a", 1)))
        self.assertEqual(query_of('sort={"a":1.0}').sort, (("a", 1), ("_id", 1)))

    def test_one(self) -> None:
        """A filter by _id names one document; anything else is a list; one= says otherwise."""
        for options, one in (
            ('filter={"_id":"x"}', True),
            ('filter={"_id":{"$oid":"5f0000000000000000000001"},"a":1}', True),
            ('filter={"_id":{"a":1}}', True),
            ('filter={"_id":{"$in":[1,2]}}', False),
            ('filter={"a":1}', False),
            ('filter={"a":1}&one=1', True),
            ('filter={"_id":"x"}&one=false', False),
            ("one=true", True),
        ):
            query = query_of(options)
            self.assertEqual((query.one, query.limit), (one, int(one)), options)

    def test_limit(self) -> None:
        """A limit is a whole number within bounds, and only for lists."""
        self.assertEqual(query_of("limit=7").limit, 7)
        self.assertEqual(query_of(f"limit={MAX_LIMIT}").limit, MAX_LIMIT)
        for wrong in ("limit=0", "limit=-1", f"limit={MAX_LIMIT + 1}", "limit=x", "limit=", "limit=5&one=true"):
            self.assertRaises(ConfigurationError, query_of, wrong)

    def test_json(self) -> None:
        """There are two forms of JSON."""
        self.assertFalse(query_of("json=plain").relaxed)
        self.assertTrue(query_of("json=relaxed").relaxed)
        self.assertRaises(ConfigurationError, query_of, "json=canonical")

    def test_impossible_options(self) -> None:
        """Options that are unknown, repeated or not JSON are refused, and the refusal names the allowed ones."""
        for wrong, said in (
            ("filters={}", "filter, sort, projection"),
            ("a", "name=value"),
            ("&", "name=value"),
            ("json=plain&json=plain", "twice"),
            ("filter=%FF", "percent-encoded"),
            ("filter={", "JSON object"),
            ("filter=[]", "JSON object"),
            ("filter=1", "JSON object"),
            ('filter={"$oid":"5f0000000000000000000001"}', "JSON object"),
            ('filter={"a":{"$oid":"x"}}', "JSON object"),
            ('filter={"a":{"$date":"x"}}', "JSON object"),
            ('filter={"a":{"$numberDecimal":"x"}}', "JSON object"),
            ('filter={"a":{"$binary":5}}', "JSON object"),
            ("filter=" + "[" * 2000, "JSON object"),
            ("projection=x", "projection="),
            ('sort={"a":2}', "1 or -1"),
            ('sort={"a":true}', "1 or -1"),
            ('sort={"a":"asc"}', "1 or -1"),
            ('sort={"a":{"$meta":"textScore"}}', "1 or -1"),
            ('sort={"":1}', "1 or -1"),
        ):
            self.assertIn(said, str(self.assertRaises(ConfigurationError, query_of, wrong)), wrong)


class SourceUrlTests(SynchronousTestCase):
    """The source that make_source gives."""

    def refusal(self, url: str) -> str:
        return str(self.assertRaises(ConfigurationError, source_of, url))

    def test_name_has_no_credentials(self) -> None:
        """A log line names hosts, database and collection."""
        source = source_of(f"mongodb://user:{SECRET}@a,b:2/db/c?filter={{}}")
        self.assertEqual(str(source), "mongodb://a:27017,b:2/db/c")
        self.assertNotIn(SECRET, repr(source))

    def test_what_does_not_go_together_is_refused_at_once(self) -> None:
        """Options that pymongo would refuse at the first pull are refused at the start, without the password."""
        for options in ("directConnection=true", "tls=true&tlsCAFile=/nowhere/ca.pem"):
            refusal = self.refusal(f"mongodb://user:{SECRET}@a,b/db/c?{options}")
            self.assertTrue(refusal.startswith("--source: "), refusal)
            self.assertNotIn(SECRET, refusal)

    def test_what_goes_together_is_taken(self) -> None:
        """pymongo knows each option by its name, and has nothing against any of its values."""
        for options in (
            "replicaSet=r&readPreference=secondaryPreferred",
            "authMechanism=SCRAM-SHA-256&authSource=x",
            "authMechanism=SCRAM-SHA-1",
            "authMechanism=PLAIN&tls=true",
            "readPreference=nearest&tls=false",
        ):
            source_of(f"mongodb://user:{SECRET}@a,b/db/c?{options}")
        source_of("mongodb://[::1]:1/db/c?directConnection=true")

    def test_names_of_services_are_refused(self) -> None:
        """The refusal of mongodb+srv names the alternative."""
        self.assertIn("write the hosts out", self.refusal(f"mongodb+srv://user:{SECRET}@h/db/c"))

    def test_refusals_hold_no_credentials(self) -> None:
        """No refusal repeats the password, wherever it stands in the URL."""
        for url in (
            f"mongodb+srv://user:{SECRET}@h/db/c",
            f"mongodb://user:{SECRET}@h:99999/db/c",
            f"mongodb://user:{SECRET}@/db/c",
            f"mongodb://user:{SECRET}@h",
            f"mongodb://user:{SECRET}@h/db/c?x=1",
            f"mongodb://user:{SECRET}@h/db/c?{SECRET}=1",
            f"mongodb://user:{SECRET}@h/db/c?sort={SECRET}",
            f"mongodb://user:{SECRET}@h/db/c#{SECRET}",
            f"mongodb://user:{SECRET}/@h/db/c",
            f"mongodb://user:{SECRET}#@h/db/c",
            f"mongodb://user:{SECRET}?@h/db/c",
            f"mongodb://user:{SECRET}]@h/db/c",
            f"mongodb://{SECRET}@h/db/c",
            f"mongodb://u:p@h,{SECRET}!/db/c",
        ):
            self.assertNotIn(SECRET, self.refusal(url), url)

    @settings(deadline=None)
    @given(
        st.text(alphabet="abz09:/@?#[]%.,& \u2100\n", max_size=20),
        st.sampled_from(("filter", "sort", "projection", "limit", "one", "json", "timeout", "tls", "authSource")),
        st.text(max_size=30) | st.text(alphabet='{}[]":$-1oidate,', max_size=30),
    )
    def test_any_text_is_a_source_or_refused(self, rest: str, name: str, value: str) -> None:
        """No URL raises anything but ConfigurationError, and none shows the password."""
        for url in (f"mongodb://u:{SECRET}{rest}@h/db/c", f"mongodb://u:{SECRET}@h/db/c?{name}={quote(value)}"):
            try:
                self.assertNotIn(SECRET, str(source_of(url)))
            except ConfigurationError as error:
                self.assertNotIn(SECRET, str(error))
