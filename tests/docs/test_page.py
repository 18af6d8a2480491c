"""The state of a page: its shell, its files, and what it needs, in a real machine."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.machine import ROOT, obstacle
from tests.docs.page import MissingError, Page, PageError, hosts_in, require, time_zone
from tests.helpers.peers import missing_peer


class HostsTests(SynchronousTestCase):
    def test_names(self) -> None:
        """The names that nobody can own are those of the machine; others stay what they are."""
        text = (
            "https://feed.example.org/x?y=desk.example redis.test 192.0.2.7 counterexample.org twisted.org a.example.de"
        )
        self.assertEqual(
            hosts_in(text), ("desk.example", "example.org", "feed.example.org", "redis.test", "www.example.org")
        )


class TimeZoneTests(SynchronousTestCase):
    def test_it_is_evening(self) -> None:
        """Wherever and whenever the test runs, it is four minutes past nine in the evening."""
        for minute in range(0, 24 * 60, 7):
            zone = time_zone(minute * 60)
            sign, hours, minutes = zone[3], int(zone[4:6]), int(zone[7:])
            self.assertLessEqual(hours, 12)
            west = (1 if sign == "+" else -1) * (60 * hours + minutes)
            self.assertEqual((minute - west) % (24 * 60), 21 * 60 + 4, zone)


class PageTests(SynchronousTestCase):
    def setUp(self) -> None:
        if obstacle():
            missing_peer(obstacle())
        self.page = Page("https://desk.example:9443")
        self.addCleanup(self.page.close)

    def output(self, text: str) -> str:
        return self.page.must(text).output

    def test_nothing_is_started_for_nothing(self) -> None:
        """A page without commands has no machine."""
        self.page.close()
        self.assertEqual(self.page._shell, None)

    def test_evening(self) -> None:
        """The commands of the page see the time of the time zone."""
        self.assertRegex(self.output("date +%H:%M"), "^21:0[4-9]$")

    def test_files(self) -> None:
        """A file is written into the folder of the shell or to a path, with its folders; a script can be started."""
        self.page.write("a/b.sh", "#!/bin/sh\necho c\n")
        self.page.write("/etc/livefeed/livefeed.toml", "x = 1\n")
        self.assertEqual(self.output("a/b.sh; cat /etc/livefeed/livefeed.toml"), "c\nx = 1\n")

    def test_failures(self) -> None:
        """What the runner itself needs must succeed."""
        error = self.assertRaises(PageError, self.page.must, "echo a; false")
        self.assertEqual(str(error), "this fails with 1:\necho a; false\na\n")

    def test_redis(self) -> None:
        """A Redis is at the port that examples have, and is started once."""
        for _ in range(2):
            self.page.provide("redis")
        self.assertEqual(self.output("redis-cli -p 6379 set a 1; redis-cli get a"), "OK\n1\n")

    def test_certificates(self) -> None:
        """The files are where examples have them, for the hosts that the page mentions, and clients trust them."""
        self.page.provide("certificates")
        server = "openssl s_server -accept 9443 -cert chain.pem -key key.pem -www -naccept 1"
        self.page.shell.start(server, "ACCEPT")
        self.assertIn("Ciphers supported", self.output("curl -s https://desk.example:9443/"))
        self.output("cmp chain.pem /etc/livefeed/chain.pem && cmp key.pem /etc/livefeed/key.pem && test -s ca.pem")

    def test_clone(self) -> None:
        """The files of the repository are there, and make finds nothing to install."""
        self.page.provide("clone")
        self.assertEqual(self.output("basename $PWD; cat README.md"), "livefeed\n" + (ROOT / "README.md").read_text())
        self.assertEqual(
            self.output("make --question .venv/.ready && .venv/bin/livefeed --version | cut -d' ' -f1"), "livefeed\n"
        )

    def test_pip(self) -> None:
        """pip installs livefeed into an environment, without a network."""
        self.page.provide("pip")
        self.output("python3 -m venv env\nenv/bin/pip install --quiet 'livefeed[cli]'")
        self.output("env/bin/livefeed --version\nenv/bin/twistd --version")
        where = "env/bin/python -c 'import livefeed; print(livefeed.__file__)'"
        self.assertTrue(self.output(where).startswith("/home/anna/env/"))

    def test_interpreter(self) -> None:
        """Files are run in one namespace, and what they print is the output."""
        for _ in range(2):
            self.page.start_interpreter()
        first, second = self.page.file(".py", "x = 1"), self.page.file(".py", "print(x)\n1 / 0")
        self.assertEqual(self.page.shell.run(f"interpret {first}").output, "")
        outcome = self.page.shell.run(f"interpret {second}")
        self.assertEqual(outcome.status, 1)
        self.assertTrue(outcome.output.startswith("1\nTraceback"), outcome.output)
        self.assertIn("ZeroDivisionError", outcome.output)

    def test_mongodb(self) -> None:
        """A server with MongoDB's protocol has a user that may read and write."""
        try:
            self.page.provide("mongodb")
        except MissingError as error:
            missing_peer(str(error))
        client = (
            'import pymongo; print(pymongo.MongoClient("mongodb://livefeed:secret@127.0.0.1/").a.b.count_documents({}))'
        )
        self.assertEqual(self.output(f"python -c '{client}'"), "0\n")

    def test_missing_programs(self) -> None:
        """The package that has a program is named."""
        self.assertTrue(require("bash", "Debian: bash").endswith("/bash"))
        error = self.assertRaises(MissingError, require, "no-such-program", "Debian: none")
        self.assertEqual(str(error), "there is no no-such-program (Debian: none)")

    def test_visit(self) -> None:
        """The browser is a command of the machine."""
        self.assertIn("usage: visit", self.output("visit --help"))

    def test_end(self) -> None:
        """The files of the page are gone with it."""
        self.output("true")
        self.page.close()
        self.assertFalse(self.page.folder.exists())
