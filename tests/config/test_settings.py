"""Settings: from text or other values to typed and checked settings."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from livefeed.config import settings as settings_module
from livefeed.config.layers import SettingValue
from livefeed.config.settings import MAX_ERRORS, MAX_FEEDS, OPTIONS, FeedSettings, Layers, Settings, _leave_out
from livefeed.exceptions import ConfigurationError
from tests.helpers.documentation import code_block


def read(options: dict[str, Any] | None = None, /, **environment: str) -> Settings:
    """Gives the settings that a command line and an environment make."""
    return Settings.read(options or {}, environment)


def one(**options: Any) -> FeedSettings:
    """Gives the settings of the one feed that a command line makes."""
    (feed,) = read(options).feeds
    return feed


def scratch(case: SynchronousTestCase) -> Path:
    """Gives a folder that is gone after the test."""
    directory = tempfile.TemporaryDirectory()
    case.addCleanup(directory.cleanup)
    return Path(directory.name)


def without_places(parsed: Settings) -> Settings:
    """Gives settings that have forgotten where they were set."""
    feeds = tuple(msgspec.structs.replace(feed, places={}) for feed in parsed.feeds)
    return msgspec.structs.replace(parsed, places={}, feeds=feeds)


class OptionTests(SynchronousTestCase):
    """The settings that text makes, from the command line or the environment."""

    def refusal(self, **options: Any) -> str:
        return str(self.assertRaises(ConfigurationError, read, options))

    def test_defaults(self) -> None:
        """Nothing needs to be set to try livefeed out."""
        self.assertEqual(read(), Settings())
        defaults = Settings()
        (feed,) = defaults.feeds
        self.assertEqual((feed.feed, feed.source, feed.interval, feed.push), ("feed", "demo:", 1.0, "tick"))
        self.assertEqual((feed.allow_origin, feed.max_bytes, feed.max_subscribers), (("*",), 1048576, 0))
        self.assertEqual(feed.max_delta_bytes, 1048576)
        self.assertEqual(defaults.listen, ("tls:8443",))
        self.assertEqual(defaults.cert, ())
        self.assertEqual(defaults.key, ())

    def test_text_becomes_typed(self) -> None:
        """All of the command line is text; the settings are not."""
        parsed = read(
            {
                "source": "redis://h/0/k",
                "feed": "results-2026",
                "interval": "0.5",
                "listen": ["tcp:1", "tcp:2"],
                "cert": "/etc/cert.pem",
                "key": "/etc/key.pem",
                "push": "change",
                "allow_origin": ["https://example.org"],
                "max_bytes": "4096",
                "max_subscribers": "100",
            }
        )
        expected = Settings(
            feeds=(
                FeedSettings(
                    source="redis://h/0/k",
                    feed="results-2026",
                    interval=0.5,
                    push="change",
                    allow_origin=("https://example.org",),
                    max_bytes=4096,
                    max_subscribers=100,
                ),
            ),
            listen=("tcp:1", "tcp:2"),
            cert=(Path("/etc/cert.pem"),),
            key=(Path("/etc/key.pem"),),
        )
        self.assertEqual(without_places(parsed), expected)

    def test_settings_cannot_be_changed(self) -> None:
        """They are checked once, so they may not change afterwards."""
        with self.assertRaises(AttributeError):
            Settings().idle_timeout = 0.0  # type: ignore[misc]
        with self.assertRaises(AttributeError):
            FeedSettings().interval = 0.0  # type: ignore[misc]

    def test_relative_paths_become_absolute(self) -> None:
        """A daemon changes its directory, and must find its files still."""
        parsed = read({"cert": "certs/cert.pem", "key": "certs/key.pem", "source": "file:a%20b.json"})
        self.assertEqual(parsed.cert, (Path.cwd() / "certs/cert.pem",))
        self.assertEqual(parsed.key, (Path.cwd() / "certs/key.pem",))
        self.assertEqual(parsed.feeds[0].source, f"file:{Path.cwd()}/a%20b.json")
        signed = {"auth_algorithm": ["EdDSA"], "auth_issuer": "i", "auth_audience": "a"}
        for name, expected in (("k.pem", f"{Path.cwd()}/k.pem"), ("https://id.example/keys", None)):
            found = one(auth_keys=name, **signed).auth_keys
            self.assertEqual(found, expected or name)
        parsed = read({"source": "recording:a.recording?speed=10&at=21:00"})
        self.assertEqual(parsed.feeds[0].source, f"recording:{Path.cwd()}/a.recording?speed=10&at=21:00")
        for source in ("file:/srv/a.json", "file:///srv/a.json", "file:", "demo:", "x"):
            self.assertEqual(one(source=source).source, source)

    def test_limits_are_inclusive(self) -> None:
        """The smallest and the largest value of each number pass."""
        for interval in ("0.05", "3600"):
            self.assertEqual(one(interval=interval).interval, float(interval))
        for max_bytes in ("2", str(256 * 1024 * 1024)):
            self.assertEqual(one(max_bytes=max_bytes).max_bytes, int(max_bytes))

    def test_interval_out_of_range(self) -> None:
        """A tick that would be too fast, too slow, or no time at all is refused, and the option named."""
        for interval in ("0", "0.049", "-1", "3600.1", "inf", "nan", "soon", ""):
            self.assertTrue(self.refusal(interval=interval).startswith("--interval: "), interval)

    def test_max_bytes_out_of_range(self) -> None:
        """A size that cannot be is refused under the option's name, with a hyphen."""
        for max_bytes in ("1", "-5", "268435457", "1.5", "many"):
            self.assertTrue(self.refusal(max_bytes=max_bytes).startswith("--max-bytes: "), max_bytes)

    def test_workers_are_a_number_or_auto(self) -> None:
        """They need the fast transport: only that one can serve sockets that another process has bound."""
        self.assertEqual([read({"workers": text}).workers for text in ("0", "4", "auto")], [0, 4, "auto"])
        for text in ("-1", "1.5", "1025", "none", ""):
            self.assertEqual(
                self.refusal(workers=text), f"--workers: {text!r} is not a whole number from 0 to 1024, or auto"
            )
        self.assertIn("--workers: requires the transport fast", self.refusal(workers="2", transport="twisted"))
        self.assertEqual(read({"workers": "0", "transport": "twisted"}).workers, 0)

    def test_accept_rate_is_a_number_or_none(self) -> None:
        """On the command line, in the environment and in the file; 0 leaves the number to livefeed."""
        self.assertEqual([read({"accept_rate": text}).accept_rate for text in ("0", "250", "none")], [0, 250, "none"])
        for text in ("-1", "1.5", "auto", ""):
            why = f"--accept-rate: {text!r} is not a whole number, 0 or more, or none"
            self.assertEqual(self.refusal(accept_rate=text), why)

    def test_push_is_one_of_two(self) -> None:
        """Only tick and change are known; the refusal repeats the given value."""
        self.assertEqual(self.refusal(push="sometimes"), "--push: 'sometimes' is not tick or change")

    def test_feed_names(self) -> None:
        """A name is a plain path segment, without a dot, since /NAME.ws and the like are made of it."""
        for name in ("a", "_", "feed", "Results-2026_final", "x" * 64):
            self.assertEqual(one(feed=name).feed, name)
        for name in ("", "-", "-a", "a.b", "a/b", "..", "a b", "é", "x" * 65, "a\n", "a%20"):
            self.assertTrue(self.refusal(feed=name).startswith("--feed: "), repr(name))

    @settings(deadline=None)
    @given(st.text(max_size=66))
    def test_accepted_feed_names_need_no_quoting(self, name: str) -> None:
        """Any name that is accepted can stand in a URL as it is."""
        try:
            accepted = one(feed=name).feed
        except ConfigurationError:
            return
        self.assertEqual(accepted, name)
        self.assertTrue(name.replace("-", "").replace("_", "").isalnum() or set(name) <= {"-", "_"})
        self.assertTrue(name.isascii())

    def test_certificate_and_key_go_together(self) -> None:
        """One without the other is refused."""
        self.assertEqual(self.refusal(cert="/c.pem"), "--cert: cert and key go together: give both, or none")
        self.assertTrue(self.refusal(key="/k.pem").startswith("--key: "))

    def test_operators_port_on_tcp_requires_a_token(self) -> None:
        """Whoever reaches a port of TCP could otherwise run commands."""
        self.assertTrue(self.refusal(admin=["tcp:9090"]).startswith("--admin: requires admin_token"))
        self.assertEqual(read({"admin": ["tcp:9090"], "admin_token": "/t"}).admin, ("tcp:9090",))
        self.assertTrue(self.refusal(admin=[""], admin_token="/t").startswith("--admin: "))

    def test_instance_is_a_name(self) -> None:
        """It becomes a part of a path."""
        for name in ("../a", "", "a/b", "-a", "a" * 65):
            self.assertTrue(self.refusal(instance=name).startswith("--instance: "), name)

    def test_yes_or_no(self) -> None:
        """Text becomes a truth value."""
        for text, value in (("true", True), ("false", False), ("1", True), ("0", False)):
            self.assertIs(read({"ready_public": text}).ready_public, value)
        self.assertEqual(self.refusal(ready_public="maybe"), "--ready-public: 'maybe' is not true or false")

    def test_empty_path(self) -> None:
        """An unset variable of a shell script gives an empty path, which is not the current directory."""
        self.assertEqual(self.refusal(cert="", key="/k.pem"), "--cert: '' is not a path, or a list of paths")

    def test_forwarded_header(self) -> None:
        """The field of any client must not be believed."""
        refusal = self.refusal(forwarded_header="forwarded")
        self.assertTrue(refusal.startswith("--forwarded-header: the field of any client would be believed"), refusal)
        parsed = read({"forwarded_header": "forwarded", "trusted_proxy": ["unix"]})
        self.assertEqual(parsed.forwarded_header, "forwarded")

    def test_access_log(self) -> None:
        """Its path is made absolute, also that of a socket; standard output has none."""
        for setting, made in (
            ("access.log", f"{Path.cwd()}/access.log"),
            ("/var/log/a:b", "/var/log/a:b"),
            ("unix:/run/log", "unix:/run/log"),
            ("unix:log", f"unix:{Path.cwd()}/log"),
            ("-", "-"),
        ):
            self.assertEqual(read({"access_log": setting}).access_log, made)
        self.assertIn("'' is not a path, unix: and", self.refusal(access_log=""))
        self.assertIn("'w3c' is not common, combined or json", self.refusal(access_log_format="w3c"))

    def test_proxies(self) -> None:
        """Endpoints for proxies need their networks, except with Twisted's transport, which knows none."""
        refusal = self.refusal(listen=["haproxy:tls:8443"])
        self.assertTrue(refusal.startswith("--listen: haproxy: reads the PROXY header of trusted proxies"), refusal)
        parsed = read({"listen": ["haproxy:tls:8443"], "trusted_proxy": ["10.0.0.0/8", "unix"]})
        self.assertEqual(parsed.trusted_proxy, ("10.0.0.0/8", "unix"))
        self.assertEqual(read(LIVEFEED_TRUSTED_PROXY="10.0.0.1  ::1").trusted_proxy, ("10.0.0.1", "::1"))
        self.assertEqual(read({"listen": ["haproxy:tcp:1"], "transport": "twisted"}).trusted_proxy, ())

    def test_repeatable_settings_need_one(self) -> None:
        """A list that was given is not empty."""
        self.assertTrue(self.refusal(listen=[]).startswith("--listen: "))
        self.assertTrue(self.refusal(allow_origin=[]).startswith("--allow-origin: "))

    def test_unknown_setting(self) -> None:
        """A misspelt setting is refused, not passed over."""
        self.assertIn("--intervall", self.refusal(intervall="1"))

    def test_refusal_does_not_repeat_the_source(self) -> None:
        """The source can have a password in it, so no refusal shows it."""
        self.assertNotIn("secret", self.refusal(source=["redis://:secret@h/0/k"]))
        self.assertNotIn("secret", self.refusal(source="redis://:secret@h/0/k", interval="0"))

    def test_every_setting_is_documented(self) -> None:
        """The docstrings name each setting, and each has an option."""
        names = []
        for cls in (Settings, FeedSettings):
            for setting in msgspec.structs.fields(cls):
                if setting.name != "places":
                    self.assertIn(f":ivar {setting.name}:", cls.__doc__ or "")
                    names.append(setting.name)
        self.assertEqual(sorted([*names, "config"]), sorted([*OPTIONS, "feeds", "rules"]))


class DocumentationTests(SynchronousTestCase):
    """The settings in the documentation."""

    def test_example(self) -> None:
        """It is one."""
        path = scratch(self) / "livefeed.toml"
        path.write_text(code_block("howto/several-feeds.md", "toml"))
        parsed = read({"config": str(path)})
        self.assertEqual([feed.feed for feed in parsed.feeds], ["results", "turnout", "departures"])
        self.assertEqual(parsed.cert, (path.parent / "chain.pem",))


class EnvironmentTests(SynchronousTestCase):
    """Variables."""

    def refusal(self, **environment: str) -> str:
        return str(self.assertRaises(ConfigurationError, read, None, **environment))

    def test_each_option_has_a_variable(self) -> None:
        """Named after it; the lists have white space between their members."""
        parsed = read(
            LIVEFEED_SOURCE="redis://h/0/k",
            LIVEFEED_MAX_BYTES="4096",
            LIVEFEED_ALLOW_ORIGIN="https://a.example  https://b.example\n",
            LIVEFEED_LISTEN="tcp:1",
            LIVEFEED_IDLE_TIMEOUT="5",
        )
        (feed,) = parsed.feeds
        self.assertEqual((feed.source, feed.max_bytes), ("redis://h/0/k", 4096))
        self.assertEqual(feed.allow_origin, ("https://a.example", "https://b.example"))
        self.assertEqual((parsed.listen, parsed.idle_timeout), (("tcp:1",), 5.0))

    def test_command_line_counts_more(self) -> None:
        """A list on the command line replaces the other list: the two are not joined."""
        parsed = read(
            {"interval": "3", "listen": ["tcp:2"]},
            LIVEFEED_INTERVAL="2",
            LIVEFEED_LISTEN="tcp:1",
            LIVEFEED_PUSH="change",
        )
        (feed,) = parsed.feeds
        self.assertEqual((feed.interval, feed.push, parsed.listen), (3.0, "change", ("tcp:2",)))

    def test_refusal_names_the_variable(self) -> None:
        """An empty variable is a value like any other: an unset variable of a script must not allow every origin."""
        self.assertTrue(self.refusal(LIVEFEED_INTERVAL="soon").startswith("LIVEFEED_INTERVAL: 'soon' is not a number"))
        self.assertTrue(self.refusal(LIVEFEED_ALLOW_ORIGIN=" ").startswith("LIVEFEED_ALLOW_ORIGIN: [] is not a list"))
        self.assertEqual(self.refusal(LIVEFEED_CONFIG=""), "LIVEFEED_CONFIG: '' is not a path")
        self.assertTrue(self.refusal(LIVEFEED_CERT="c.pem").startswith("LIVEFEED_CERT: "))

    def test_other_variables_are_not_ours(self) -> None:
        """Some systems set ones that begin alike, such as the address of a service by this name."""
        environment = {
            "LIVEFEED_PORT": "tcp://10.0.0.1:443",
            "LIVEFEED_PORT_443_TCP_ADDR": "10.0.0.1",
            "LIVEFEED_SERVICE_HOST": "10.0.0.1",
            "LIVEFEED_SERVICE_PORT_WEB": "443",
            "LIVEFEED": "1",
            "INTERVAL": "x",
        }
        layers = Layers({}, environment, Path.cwd())
        with capturedLogs() as events:
            layers.warn_of_unknown()
        self.assertEqual((layers.read(), events), (Settings(), []))

    def test_unknown_variables_are_told(self) -> None:
        """The message has the closest name, and no value, as values may be secrets."""
        environment = {
            "LIVEFEED_SORCE": "redis://:hush@h/0/k",
            "LIVEFEED_QQQ": "hush",
            "LIVEFEED_PORTS": "hush",
        }
        with capturedLogs() as events:
            Layers({}, environment, Path.cwd()).warn_of_unknown()
        self.assertEqual(
            [formatEvent(event) for event in events],
            [
                "LIVEFEED_PORTS has no effect: there is no such setting",
                "LIVEFEED_QQQ has no effect: there is no such setting",
                "LIVEFEED_SORCE has no effect: there is no such setting; did you mean LIVEFEED_SOURCE?",
            ],
        )


class FileTests(SynchronousTestCase):
    """The TOML file."""

    def setUp(self) -> None:
        self.folder = scratch(self)
        self.path = self.folder / "livefeed.toml"

    def read(self, text: str | bytes, options: dict[str, Any] | None = None, **environment: str) -> Settings:
        self.path.write_bytes(text.encode() if isinstance(text, str) else text)
        return read({"config": str(self.path), **(options or {})}, **environment)

    def refusal(self, text: str | bytes, options: dict[str, Any] | None = None, **environment: str) -> str:
        """Gives the message for a file, without the file's name at its beginning."""
        error = str(self.assertRaises(ConfigurationError, self.read, text, options, **environment))
        self.assertNotIn("hush", error)
        self.assertEqual(len(error.splitlines()), 1, error)
        self.assertLess(len(error), len(str(self.path)) + 300)
        # Other tests are about the line.
        return re.sub(rf"{re.escape(str(self.path))}(?::[0-9]+)?: ", "", error)

    def test_one_feed(self) -> None:
        """The keys at the top are the options'."""
        parsed = self.read(
            """
            source = "redis://h/0/k"
            feed = "results"
            interval = 2
            max_bytes = 4096
            allow_origin = ["https://a.example"]
            listen = ["tcp:1", "tcp:2"]
            idle_timeout = 5.5
            cert = "certs/c.pem"
            key = "/etc/k.pem"
            """
        )
        expected = Settings(
            feeds=(
                FeedSettings(
                    feed="results",
                    source="redis://h/0/k",
                    interval=2.0,
                    max_bytes=4096,
                    allow_origin=("https://a.example",),
                ),
            ),
            listen=("tcp:1", "tcp:2"),
            idle_timeout=5.5,
            cert=(self.folder / "certs/c.pem",),
            key=(Path("/etc/k.pem"),),
        )
        self.assertEqual(without_places(parsed), expected)

    def test_an_empty_file_says_nothing(self) -> None:
        """It leaves all at its default, and so does one of comments; the largest that is read is one of these."""
        for text in ("", "# nothing", "#" + "x" * (1024 * 1024 - 1)):
            self.assertEqual(self.read(text), Settings())

    def test_the_file_counts_least(self) -> None:
        """The environment counts more, and the command line most."""
        text = "interval = 1\npush = 'change'\nmax_bytes = 10\nallow_origin = ['https://a.example']"
        parsed = self.read(text, {"interval": "3"}, LIVEFEED_INTERVAL="2", LIVEFEED_MAX_BYTES="20")
        (feed,) = parsed.feeds
        self.assertEqual((feed.interval, feed.max_bytes, feed.push), (3.0, 20, "change"))
        self.assertEqual(feed.allow_origin, ("https://a.example",))

    def test_the_environment_can_name_it(self) -> None:
        """The command line's name counts more."""
        self.path.write_text("interval = 7")
        self.assertEqual(read(LIVEFEED_CONFIG=str(self.path)).feeds[0].interval, 7.0)
        other = self.folder / "other.toml"
        other.write_text("interval = 8")
        self.assertEqual(read({"config": str(other)}, LIVEFEED_CONFIG=str(self.path)).feeds[0].interval, 8.0)

    def test_several_feeds(self) -> None:
        """Feeds keep their order; a key that a table leaves out has the value at the top, wherever the key stands."""
        parsed = self.read(
            """
            interval = 5
            push = "change"
            [feeds.results]
            source = "file:results.json"
            interval = 0.5
            allow_origin = ["https://a.example"]
            [feeds.board]
            source = "file:/srv/board.json"
            push = "tick"
            max_subscribers = 10
            [feeds.2026_night]
            source = "demo:"
            max_bytes = 99
            """,
            {"max_subscribers": "7"},
            LIVEFEED_MAX_BYTES="100",
        )
        results, board, night = without_places(parsed).feeds
        self.assertEqual(
            results,
            FeedSettings(
                feed="results",
                source=f"file:{self.folder}/results.json",
                interval=0.5,
                push="change",
                allow_origin=("https://a.example",),
                max_bytes=100,
                max_subscribers=7,
            ),
        )
        self.assertEqual((board.feed, board.interval, board.push, board.max_subscribers), ("board", 5.0, "tick", 10))
        self.assertEqual((night.feed, night.max_bytes), ("2026_night", 99))

    def test_places_are_remembered(self) -> None:
        """Errors that are found later name the place of the value."""
        parsed = self.read("push = 'tick'\nlisten = ['x:']\n[feeds.a]\nsource = 'bogus:'", {"interval": "2"})
        (feed,) = parsed.feeds
        self.assertEqual(feed.place("source"), f"{self.path}:4: feeds.a.source")
        self.assertEqual(feed.place("push"), f"{self.path}:1: push")
        self.assertEqual(feed.place("interval"), "--interval")
        self.assertEqual(parsed.place("listen"), f"{self.path}:2: listen")
        self.assertEqual(parsed.place("max_connections"), "--max-connections")
        with self.assertRaises(ConfigurationError) as caught, feed.named():
            raise ConfigurationError("is no source", "source")
        self.assertEqual(str(caught.exception), f"{self.path}:4: feeds.a.source: is no source")

    def test_rules(self) -> None:
        """They are in the table of a feed in a file, and nowhere else."""
        parsed = self.read(
            "[feeds.a]\nsource = 'demo:'\n[feeds.a.rules.r]\nrequired = '/x'\n[feeds.b]\nsource = 'demo:'"
        )
        self.assertEqual([[rule.name for rule in feed.rules] for feed in parsed.feeds], [["r"], []])
        self.assertNotIn("rules", OPTIONS)
        error = self.assertRaises(ConfigurationError, self.read, "[rules.r]\nrequired = '/x'")
        self.assertIn("rules: each feed has its own, in tables such as [feeds", str(error))

    def test_errors_of_rules_at_once(self) -> None:
        """A rule with an error is left out, and the others are checked."""
        self.path.write_text(
            "[feeds.a]\nsource = 'demo:'\npush = 'x'\n[feeds.a.rules.r]\nrequired = 5\n[feeds.a.rules.s]\n"
            "required = '/x'\n[feeds.a.rules.t]\nmax_step = {pointers = '/x', by = 0}\n[feeds.b]\nsource = 'demo:'\n"
            "rules = 5\n"
        )
        settings, errors = Layers({"config": str(self.path)}, {}, self.folder).read_all()
        assert settings is not None
        self.assertEqual([[rule.name for rule in feed.rules] for feed in settings.feeds], [["s"], []])
        places = [re.sub(r"^.*toml:", "", error.place) for error in errors]
        self.assertEqual(
            sorted(places),
            ["12: feeds.b.rules", "3: feeds.a.push", "5: feeds.a.rules.r.required", "9: feeds.a.rules.t.max_step.by"],
        )

    def test_all_errors_at_once(self) -> None:
        """After each, reading goes on as if the value had not been set; a feed with a wrong source is left out."""
        self.path.write_text(
            "interval = 'x'\nlisten = []\n[feeds.a]\nsource = 1\npush = 'x'\n[feeds.b]\nsource = 'demo:'\npush = 'y'\n"
            "colour = 1\n[feeds.c]\n"
        )
        settings, errors = Layers({"config": str(self.path)}, {"LIVEFEED_PUSH": "z"}, self.folder).read_all()
        assert settings is not None
        self.assertEqual([feed.feed for feed in settings.feeds], ["b"])
        places = [re.sub(r"^.*toml:", "", error.place) for error in errors]
        self.assertEqual(
            sorted(places),
            [
                "10: feeds.c",
                "1: interval",
                "2: listen",
                "4: feeds.a.source",
                "8: feeds.b.push",
                "9: feeds.b.colour",
                "LIVEFEED_PUSH",
            ],
        )
        for text in ("x", "feeds = 3", "[feeds]", "[feeds.a]"):
            self.path.write_text(text)
            settings, errors = Layers({"config": str(self.path)}, {}, self.folder).read_all()
            self.assertEqual(len(errors), 1, text)
        self.path.write_text("stale_after = 9\ngone_after = 5\n")
        settings, errors = Layers({"config": str(self.path)}, {}, self.folder).read_all()
        self.assertEqual(([error.place[-13:] for error in errors], settings is None), (["2: gone_after"], False))

    def test_most_errors_at_once(self) -> None:
        """Their number is limited, and an error that belongs to no value ends them."""
        self.path.write_text("".join(f"x{number} = 1\n" for number in range(MAX_ERRORS + 5)))
        settings, errors = Layers({"config": str(self.path)}, {}, self.folder).read_all()
        self.assertEqual((settings, len(errors)), (None, MAX_ERRORS))
        self.path.write_text("admin = ['tcp:1']\n[feeds.a]\nsource = 'demo:'\n")
        settings, errors = Layers({"config": str(self.path)}, {"LIVEFEED_CERT": "c"}, self.folder).read_all()
        self.assertEqual((len(errors), settings is None), (2, False))
        self.assertFalse(_leave_out({}, "elsewhere"))
        feeds = SettingValue({"a": {"source": "demo:"}}, "feeds", self.folder)
        self.assertFalse(_leave_out({"feeds": feeds}, "elsewhere"))
        self.patch(settings_module, "_leave_out", lambda *_: False)
        settings, errors = Layers({"interval": "x"}, {}, self.folder).read_all()
        self.assertEqual((settings, len(errors)), (None, 1))

    def test_several_certificates(self) -> None:
        """A list in the file, options that are repeated, and a variable with colons, as PATH has."""
        one, two = self.folder / "a b.pem", Path("/c.pem")
        for parsed in (
            self.read("cert = ['a b.pem', '/c.pem']\nkey = ['k', 'l']"),
            self.read("", {"cert": [str(one), "/c.pem"], "key": ["k", "l"]}),
            self.read("", LIVEFEED_CERT=f"{one}:/c.pem", LIVEFEED_KEY="k:l"),
        ):
            self.assertEqual((parsed.cert, len(parsed.key)), ((one, two), 2))

    def test_values_that_cannot_be(self) -> None:
        """The message names the key and the allowed values."""
        for text, begin in (
            ("interval = 'x'", "interval: 'x' is not a number of seconds from 0.05 to 3600"),
            ("interval = '1'", "interval: '1' is not a number of seconds from 0.05 to 3600; leave out the quotes"),
            ("max_bytes = '9'", "max_bytes: '9' is not a whole number from 2 to 268435456; leave out the quotes"),
            ("interval = true", "interval: True is not a number"),
            ("interval = nan", "interval: nan is not a number"),
            ("interval = inf", "interval: inf is not a number"),
            ("interval = 3601", "interval: 3601 is not a number"),
            ("interval = 1" + "0" * 400, "interval: 1000"),
            ("interval = 0x" + "f" * 9000, "interval: a number that is far too large is not a number"),
            ("interval = 2026-11-23", "interval: datetime.date(2026, 11, 23) is not a number"),
            ("max_bytes = 1.5", "max_bytes: 1.5 is not a whole number"),
            ("max_bytes = true", "max_bytes: True is not a whole number"),
            ("max_subscribers = -1", "max_subscribers: -1 is not a whole number"),
            ("push = 1", "push: 1 is not tick or change"),
            ("cert = 1", "cert: 1 is not a path"),
            ("cert = ''", "cert: '' is not a path"),
            ("cert = 'c.pem'", "cert: cert and key go together"),
            (
                "cert = ['c', 'd']\nkey = 'k'",
                "cert: there are 2 certificates and 1 keys: each certificate takes its key, in the same order",
            ),
            ("cert = 'c'\nkey = ['k', 'l']", "key: there are 1 certificates and 2 keys"),
            ("cert = ['']\nkey = 'k'", "cert: [''] is not a path"),
            ("listen = 'tcp:1'", "listen: 'tcp:1' is not a list of one endpoint or more; write ['tcp:1']"),
            (
                "[server]\nlisten = ['tcp:1']",
                "server: there is no such setting; those for all stand at the top of the file",
            ),
            ("[feedz.a]\nsource = 'demo:'", "feedz: there is no such setting; did you mean feeds?"),
            ("[[feeds]]\nname = 'a'", "feeds: is not a table with a table for each feed, such as [feeds.results]"),
            ("listen = []", "listen: [] is not a list"),
            ("listen = ['tcp:1', 2]", "listen: ['tcp:1', 2] is not a list"),
            ("allow_origin = 'https://a.example'", "allow_origin: 'https://a.example' is not a list"),
            ("allow_origin = 'https://u:hush@a.example'", "allow_origin: ***@a.example' is not a list"),
            ("source = ['redis://:hush@h/0/k']", "source: it is not the text of a URL"),
            ("feed = 'a.b'", "feed: 'a.b' is not a name"),
            ("push = '" + "x" * 10000 + "'", "push: 'xxx"),
            ('push = "a\\nb"', "push: 'a\\nb' is not"),
            ("intervall = 1", "intervall: there is no such setting"),
            ("config = 'x'", "config: there is no such setting"),
            ("places = {}", "places: there is no such setting"),
            ("max-bytes = 1", "max-bytes: there is no such setting; did you mean max_bytes?"),
            ("[fields.results]\nsource = 'demo:'", "fields: there is no such setting; did you mean feeds?"),
            ("[feed.results]\nsource = 'hush'", "feed: is not a name; the table of a feed is [feeds.NAME], with an s"),
            (
                "[feeds.a]\nsource = 'demo:'\nmax-bytes = 1",
                "feeds.a.max-bytes: there is no such setting of a feed; did ",
            ),
            ("stale_after = 9\ngone_after = 8", "gone_after: 8.0 is less than 9.0, after which a feed is stale"),
            (
                "stale_after = 9\n[feeds.a]\nsource = 'demo:'\ngone_after = 8",
                "feeds.a.gone_after: 8.0 is less than 9.0, after which a feed is stale",
            ),
            ('"a\\nb.c" = 1', '"a\\nb.c": there is no such setting'),
            ("feeds = 1", "feeds: is not a table"),
            ("feeds = {}", "feeds: is not a table"),
            ("[[feeds]]\nsource = 'demo:'", "feeds: is not a table"),
            ("[feeds]\nresults = 'redis://:hush@h/0/k'", "feeds.results: is not a table"),
            ("[feeds.results]", "feeds.results: the source is missing"),
            ("[feeds.results]\nsource = 1", "feeds.results.source: it is not"),
            ("[feeds.results]\nsource = 'demo:'\ninterval = 'x'", "feeds.results.interval: 'x' is not a number of sec"),
            ("[feeds.results]\nsource = 'demo:'\nlisten = ['tcp:1']", "feeds.results.listen: there is no such setting"),
            ("[feeds.results]\nsource = 'demo:'\nfeed = 'x'", "feeds.results.feed: there is no such setting of a feed"),
            ("[feeds.results]\nsource = 'demo:'\nplaces = {}", "feeds.results.places: there is no such setting"),
            ("[feeds.results]\nsource = 'demo:'\n'a.b' = 1", 'feeds.results."a.b": there is no such setting'),
            ("[feeds.'a.b']\nsource = 'demo:'", "feeds.\"a.b\": 'a.b' is not a name: letters"),
            ("[feeds.'']\nsource = 'demo:'", "feeds.\"\": '' is not a name"),
            ("interval = 0\n[feeds.results]\nsource = 'demo:'\ninterval = 1", "interval: 0 is not a number"),
        ):
            refusal = self.refusal(text)
            self.assertTrue(refusal.startswith(begin), (text[:50], refusal))

    def test_feeds_are_limited(self) -> None:
        """One more than there may be is refused."""
        tables = [f"[feeds.f{number}]\nsource = 'demo:'\n" for number in range(MAX_FEEDS + 1)]
        self.assertEqual(len(self.read("".join(tables[:-1])).feeds), MAX_FEEDS)
        self.assertEqual(self.refusal("".join(tables)), "feeds: there are 65 feeds, and 64 at most")

    def test_one_feed_and_several_exclude_each_other(self) -> None:
        """A name or a source for all of them is refused, by the place where it was given."""
        text = "[feeds.a]\nsource = 'demo:'"
        why = "each feed has its own, in feeds; leave it out here"
        self.assertEqual(self.refusal(text, {"source": "redis://:hush@h/0/k"}), f"--source: {why}")
        self.assertEqual(self.refusal(text, {"feed": "b"}), f"--feed: {why}")
        self.assertEqual(self.refusal(text, LIVEFEED_SOURCE="demo:"), f"LIVEFEED_SOURCE: {why}")
        self.assertEqual(self.refusal(f"feed = 'b'\n{text}"), f"feed: {why}")

    def test_files_that_cannot_be(self) -> None:
        """The error names a file that is missing, unreadable, not TOML, not UTF-8 or too large."""
        for text, begin in (
            ("interval = ", "is not TOML: "),
            ('source = "redis://:hush@h/0/k', "is not TOML: "),
            (
                "source = demo:",
                "is not TOML: Invalid value (at line 1, column 10); text is in quotes, and numbers are no",
            ),
            (
                "feed = 2b",
                "is not TOML: Expected newline or end of document after a statement (at line 1, column 9); t",
            ),
            ("source = redis://:hush@h/0/k", "is not TOML: "),
            ("[feeds.a]\n[feeds.a]", "is not TOML: "),
            ("a = " + "[" * 100_000, "is not TOML"),
            ("a = " + "1" * 5000, "is not TOML"),
            (b"# \xff", "is not UTF-8, at byte 2"),
            ("#" + "x" * (1024 * 1024), "is larger than 1048576 bytes"),
        ):
            refusal = self.refusal(text)
            self.assertTrue(refusal.startswith(begin), refusal)
        missing = self.folder / "missing.toml"
        for path, why in (
            (str(missing), "cannot be read: No such file or directory"),
            (str(self.folder), "cannot be read: Is a directory"),
            ("a\0b", "cannot be read: embedded null byte"),
        ):
            error = self.assertRaises(ConfigurationError, read, {"config": path})
            self.assertEqual(str(error), f"{path}: {why}")

    @settings(deadline=None, max_examples=200)
    @given(st.binary(max_size=200))
    def test_whatever_is_in_a_file(self, data: bytes) -> None:
        """It makes settings, or one error of the one kind."""
        try:
            self.read(data)
        except ConfigurationError as error:
            self.assertRegex(str(error), rf"^{re.escape(str(self.path))}(:[0-9]+)?: ")

    @settings(deadline=None, max_examples=300)
    @given(
        st.dictionaries(
            st.sampled_from([*OPTIONS, "feeds", "x"]),
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                lambda inner: (
                    st.lists(inner, max_size=3)
                    | st.dictionaries(st.sampled_from([*OPTIONS, "a", "b.c", ""]), inner, max_size=4)
                ),
                max_leaves=8,
            ),
            max_size=4,
        )
    )
    def test_whatever_types_there_are(self, table: dict[str, Any]) -> None:
        """It makes settings, or one error of the one kind."""
        values = {key: SettingValue(value, f"file: {key}", self.folder, typed=True) for key, value in table.items()}
        try:
            Settings.of(values)
        except ConfigurationError as error:
            self.assertTrue(str(error).startswith("file: "))
