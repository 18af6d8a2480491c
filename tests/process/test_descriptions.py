"""Descriptions of endpoints, and the mistakes that are made in them."""

from __future__ import annotations

import tempfile

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.endpoints import quoteStringArgument
from twisted.trial.unittest import SynchronousTestCase

from livefeed.process.descriptions import mistake_in, mistake_in_tls, port_of, split_description


class MistakeTests(SynchronousTestCase):
    """Strings that operators are likely to write instead of an endpoint."""

    def test_address_without_backslashes(self) -> None:
        """The refusal shows how its colons are written."""
        for description in (
            "tls:8443:interface=::1",
            "tls:8443:interface=::",
            "tls:8443:interface=[::1]",
            "tcp6:80:interface=fe80::1",
            "tcp:80:interface=2001:db8::1",
        ):
            self.assertEqual(
                mistake_in(description),
                r"the colons of an address have a backslash before them, as in interface=\:\:1",
            )
        for description in (r"tls:8443:interface=\:\:1", r"tcp6:80:interface=\:\:", "tcp:80:interface=:backlog=9"):
            self.assertEqual(mistake_in(description), "")

    def test_port_or_url_alone(self) -> None:
        """The refusal has the endpoint that was probably meant."""
        for description, why in (
            ("8443", "there is no kind in front; did you mean tls:8443, or tcp:8443 for plain HTTP?"),
            (":8443", "there is no kind in front; did you mean tls:8443, or tcp:8443 for plain HTTP?"),
            (
                "127.0.0.1:80",
                "there is no kind in front; did you mean tls:80:interface=127.0.0.1, or tcp:80:interface=",
            ),
            ("localhost:80", "there is no kind in front; did you mean tls:80:interface=127.0.0.1, or"),
            ("https://example.org:8443/", "this is a URL; did you mean tls:8443?"),
            ("http:8080", "this is a URL; did you mean tcp:8080?"),
        ):
            mistake = mistake_in(description)
            self.assertTrue(mistake.startswith(why), mistake)

    def test_parts_of_twisteds_endpoints(self) -> None:
        """The part that is wrong is named, and no function of Twisted's."""
        port = "tcp: is followed by a port, a number from 0 to 65535, as in tcp:8080:interface=127.0.0.1"
        for description, why in (
            ("tcp:0:interfce=127.0.0.1", "tcp: has no part interfce=; did you mean interface=?"),
            ("unix:/x:mod=600", "unix: has no part mod=; did you mean mode=?"),
            ("ssl:0:colour=red", "ssl: has no part colour="),
            ("tcp:8080x", port),
            ("tcp:-1", port),
            ("tcp:port=-1", port),
            ("tcp", port),
            ("tcp:8080:127.0.0.1:7:8", "tcp: has 3 parts at most, as in tcp:8080:interface=127.0.0.1"),
            (
                "haproxy:tls:8443",
                "the PROXY header comes before TLS, where only --listen of the fast transport reads it",
            ),
            ("haproxy:haproxy:tcp:8080", "haproxy: is there twice"),
        ):
            mistake = mistake_in(description)
            self.assertTrue(mistake.startswith(why), mistake)
        for description in ("tcp:port=8080", r"unix:/a\=b/x", "unix:/x:mode=600", "haproxy:tcp:8080"):
            self.assertEqual(mistake_in(description), "")

    def test_several_in_one(self) -> None:
        """A list is not written with commas."""
        for description in ("tcp:1,tcp:2", "tls:1, tls:2", "tcp:1 tcp:2", "tls:1;tcp:2"):
            self.assertTrue(mistake_in(description).startswith("this is more than one endpoint: repeat"), description)

    def test_a_port_alone_and_what_stands_in_urls(self) -> None:
        """The refusal has the endpoint that was probably meant."""
        for description, meant in (
            ("8443", "tls:8443"),
            ("https:443", "tls:443"),
            ("http:80", "tcp:80"),
            ("127.0.0.1:8443", "tls:8443:interface=127.0.0.1"),
        ):
            self.assertIn(f"; did you mean {meant}", mistake_in(description))

    def test_folder_in_the_place_of_a_socket(self) -> None:
        """It would only be found out when the socket is made, behind the start of all else."""
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        description = f"unix:{quoteStringArgument(directory.name)}"
        mistake = mistake_in(description)
        self.assertTrue(mistake.startswith("this is a folder; unix: is followed by the path of the socket"), mistake)
        self.assertEqual(mistake_in(f"{description}/socket"), "")

    def test_ports_out_of_range(self) -> None:
        """65535 is the last one; a text of thousands of digits is not made a number."""
        for description in ("tls:65536", "tcp:99999", "tcp6:70000", "ssl:99999", "tcp:" + "9" * 5000):
            self.assertEqual(mistake_in(description), "a port is a number from 0 to 65535")
        self.assertEqual(mistake_in("tls:65535"), "")

    def test_parts_of_tls(self) -> None:
        """The part that is unknown, empty, alone or there twice is named."""
        pair = [("cert", "c"), ("key", "k")]
        options: list[tuple[str, str]]
        for options, why in (
            ([], ""),
            ([("interface", "::1"), *pair], ""),
            ([*pair, *pair], ""),
            ([("interfce", "x")], ": there is no part interfce=; did you mean interface=?"),
            ([("interface", "")], ": interface= has no value"),
            ([("cert", "c")], ": cert= takes key= as well"),
            ([("key", "k")], ": key= takes cert= as well"),
            ([*pair, ("cert", "c")], ": each cert= takes key= as well"),
            ([("interface", "::1")] * 2, ": interface= is there twice"),
        ):
            self.assertEqual(mistake_in_tls(options), why)


class PortOfTests(SynchronousTestCase):
    """port_of."""

    def test_ports_to_show(self) -> None:
        """The scheme and port under which a browser can reach an endpoint."""
        for description, shown in (
            ("tls:8443", ("https", "8443")),
            ("tls:8443:interface=127.0.0.1", ("https", "8443")),
            ("ssl:443:privateKey=x", ("https", "443")),
            ("tcp:8080", ("http", "8080")),
            (r"tcp6:8080:interface=\:\:", ("http", "8080")),
            ("tls:/etc/certs:443", ("https", "443")),
        ):
            self.assertEqual(port_of(description), shown)

    def test_nothing_to_show(self) -> None:
        """There is no port in a socket file, a directory, or an inherited socket."""
        for description in ("unix:/x", "tls:/etc/certs", "systemd:domain=INET:index=0", "tcp", "tls:", ""):
            self.assertIsNone(port_of(description), description)


class SplitTests(SynchronousTestCase):
    """How descriptions are taken apart."""

    @settings(deadline=None)
    @given(st.lists(st.text(alphabet=st.sampled_from("ab:\\=é /"), max_size=8), min_size=1, max_size=5))
    def test_round_trip_with_twisted(self, parts: list[str]) -> None:
        """Text that Twisted quotes comes back unchanged."""
        description = ":".join(quoteStringArgument(part) for part in parts)
        self.assertEqual(split_description(description), parts)

    def test_backslash_at_the_end(self) -> None:
        """A backslash that escapes nothing is no error here; the endpoint that is made of it is one."""
        self.assertEqual(split_description("tcp:8080\\"), ["tcp", "8080"])
