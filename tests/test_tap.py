"""The command line of twistd livefeed."""

from __future__ import annotations

import io
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
from twisted.application.service import IService
from twisted.internet import reactor
from twisted.logger import formatEvent, globalLogPublisher
from twisted.scripts._twistd_unix import ServerOptions
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from livefeed import __version__, serving, tap
from livefeed.clocks import monotonic
from livefeed.config.settings import OPTIONS, FeedSettings, Settings
from livefeed.process import journald
from livefeed.process.journald import print_traceback
from livefeed.process.program import CHANNEL
from livefeed.tap import Options, makeService
from livefeed.tls.development import development_certificate
from livefeed.workers.channel import Inheritance


def parse(*arguments: str) -> Options:
    options = Options()
    options.parseOptions(list(arguments))
    return options


def scratch(case: SynchronousTestCase) -> Path:
    """Gives a folder that is gone after the test."""
    directory = tempfile.TemporaryDirectory()
    case.addCleanup(directory.cleanup)
    return Path(directory.name)


class OptionsTests(SynchronousTestCase):
    """Options."""

    def refusal(self, *arguments: str) -> str:
        """Gives the message for a wrong command line or an impossible value, in one line."""
        try:
            parse(*arguments)
        except SystemExit as error:
            return str(error)
        raise self.failureException("nothing was refused")

    def test_impossible_value_is_not_answered_with_all_of_the_help(self) -> None:
        """It ends the program in one line; a UsageError would have twistd print forty."""
        error = self.assertRaises(SystemExit, parse, "--push", "never")
        self.assertEqual(str(error), "livefeed: --push: 'never' is not tick or change")

    def test_defaults_are_those_of_the_settings(self) -> None:
        """An empty command line is Settings(), so that a default stands at one value."""
        self.assertEqual(parse().settings, Settings())

    def test_every_setting_is_an_option(self) -> None:
        """Each setting has its option, with hyphens, and a line of help."""
        help_text = str(Options())
        for name in OPTIONS:
            self.assertTrue(re.search(rf"--{name.replace('_', '-')}=\s+\S", help_text), name)

    def test_help_tells_the_defaults(self) -> None:
        """The help has the defaults of the settings."""
        told = " ".join(str(Options()).split())
        for cls in (Settings, FeedSettings):
            for setting in msgspec.structs.fields(cls):
                if setting.default not in (None, ()) and setting.name not in ("feeds", "places"):
                    default = setting.default[0] if isinstance(setting.default, tuple) else setting.default
                    default = str(default).lower() if isinstance(default, bool) else default
                    option = setting.name.replace("_", "-")
                    self.assertTrue(
                        re.search(rf"--{option}= (?:(?! --).)*\[default: {re.escape(str(default))}\]", told), told
                    )

    def test_all_options(self) -> None:
        """Each option on the command line arrives in the settings."""
        settings = parse(
            *("--source", "file:/srv/a.json"),
            *("--feed", "results"),
            *("--interval", "0.5"),
            *("--cert", "/c.pem"),
            *("--key", "/k.pem"),
            *("--push", "change"),
            *("--max-bytes", "1000"),
            *("--max-subscribers", "5"),
            *("--listen", "tcp:8080"),
            *("--allow-origin", "https://example.org"),
            *("--admin", "tcp:9090"),
            *("--admin-token", "/t"),
            *("--instance", "green"),
            *("--ready-public", "true"),
            *("--page-figures", "true"),
            *("--public-reasons", "true"),
        ).settings
        (feed,) = settings.feeds
        self.assertEqual((feed.source, feed.feed, feed.interval), ("file:/srv/a.json", "results", 0.5))
        self.assertEqual((feed.push, feed.max_bytes, feed.max_subscribers), ("change", 1000, 5))
        self.assertEqual(feed.allow_origin, ("https://example.org",))
        self.assertEqual((settings.cert, settings.key), ((Path("/c.pem"),), (Path("/k.pem"),)))
        self.assertEqual((settings.listen, settings.admin), (("tcp:8080",), ("tcp:9090",)))
        self.assertEqual((settings.admin_token, settings.instance), (Path("/t"), "green"))
        self.assertIs(settings.ready_public, True)
        self.assertEqual((settings.page_figures, settings.public_reasons), (True, True))

    def test_environment_and_file(self) -> None:
        """Options that are missing on the command line come from the environment and the file."""
        path = scratch(self) / "livefeed.toml"
        path.write_text("push = 'change'\ninterval = 3\nmax_bytes = 9")
        self.patch(os, "environ", {"LIVEFEED_INTERVAL": "2", "LIVEFEED_CONFIG": str(path), "LIVEFEED_MAX_BYTES": "8"})
        (feed,) = parse("--max-bytes", "7").settings.feeds
        self.assertEqual((feed.push, feed.interval, feed.max_bytes), ("change", 2.0, 7))

    def test_what_is_wrong_with_a_file_is_one_line(self) -> None:
        """The refusal is one line, even if the file's name has two."""
        path = scratch(self) / "a\nb"
        path.write_text("interval = 0")
        refusal = self.refusal("--config", str(path))
        self.assertTrue(refusal.endswith("a b:1: interval: 0 is not a number of seconds from 0.05 to 3600"), refusal)
        self.assertEqual(len(refusal.splitlines()), 1)

    def test_repeated_options_add_up(self) -> None:
        """--listen and --allow-origin may come several times; their order is kept, and the default is gone."""
        settings = parse(
            *("--listen=tls:1", "--allow-origin=https://a.example", "--listen=tcp:2", "--allow-origin=null"),
            *("--trusted-proxy=10.0.0.0/8", "--trusted-proxy", "unix"),
        ).settings
        self.assertEqual(settings.listen, ("tls:1", "tcp:2"))
        self.assertEqual(settings.feeds[0].allow_origin, ("https://a.example", "null"))
        self.assertEqual(settings.trusted_proxy, ("10.0.0.0/8", "unix"))

    def test_algorithms_add_up(self) -> None:
        """As the others do."""
        settings = parse(
            *("--auth-keys=k", "--auth-issuer=https://a.example", "--auth-audience=b"),
            *("--auth-algorithm=ES256", "--auth-algorithm", "EdDSA"),
        ).settings
        self.assertEqual(settings.feeds[0].auth_algorithm, ("ES256", "EdDSA"))

    def test_two_command_lines_are_apart(self) -> None:
        """A repeated option of one command line does not appear in the next."""
        parse("--listen=tcp:1")
        self.assertEqual(parse("--listen=tcp:2").settings.listen, ("tcp:2",))

    def test_impossible_value(self) -> None:
        """It is refused by the option's name, before anything is started."""
        self.assertTrue(self.refusal("--interval", "0").startswith("livefeed: --interval: "))
        self.assertTrue(self.refusal("--max-bytes", "many").startswith("livefeed: --max-bytes: "))
        self.assertIn("--cert: ", self.refusal("--cert", "/c.pem"))

    def test_wrong_command_line_is_one_line(self) -> None:
        """The line has the error, the closest option and a hint at the help; a UsageError would print all of it."""
        hint = " (twistd livefeed --help lists the options)"
        for arguments, wrong in (
            (("--intervall", "1"), "--intervall: there is no such option; did you mean --interval?"),
            (("--max_byte=1",), "--max_byte: there is no such option; did you mean --max-bytes?"),
            (("--alow-origin=x",), "--alow-origin: there is no such option; did you mean --allow-origin?"),
            (("--qqqqqq",), "--qqqqqq: there is no such option"),
            (("--" + "q" * 1000,), f"--{'q' * 64}...: there is no such option"),
            (("-q",), "-q: there is no such option"),
            (("--interval",), "--interval: a value is missing"),
            (("--version=1",), "--version: takes no value"),
            (
                ("--ma=1",),
                "--ma: may be --max-bytes, --max-connections, --max-delta-bytes, --max-head-bytes, --max-subscribers",
            ),
            (
                ("--source", "demo:", "--sourc=file:/x"),
                "--source: was given 2 times, and can only be once; a file (--config) can have several feeds",
            ),
            (
                ("--instance=a", "--instance=b", "--instance=c"),
                "--instance: was given 3 times, and can only be once",
            ),
            (("file:/srv/a.json",), "an argument stands without an option, such as --source, before it"),
        ):
            error = self.assertRaises(SystemExit, parse, *arguments)
            self.assertEqual(error.code, f"livefeed: {wrong}{hint}")

    def test_of_others_the_last_counts(self) -> None:
        """A script may add options to those that it is given."""
        self.assertEqual(parse("--interval=2", "--interval=3").settings.feeds[0].interval, 3)

    def test_options_of_twistd_behind_the_word(self) -> None:
        """The refusal says that the option must stand before the word, with one hyphen or two."""
        for arguments in (("--nodaemon",), ("-n",), ("--logfile", "x"), ("--pidfile=",), ("-y", "x")):
            twistd = ServerOptions()
            error = self.assertRaises(SystemExit, twistd.parseOptions, ["livefeed", *arguments])
            name = arguments[0].partition("=")[0]
            why = f"livefeed: {name}: must stand before the word livefeed (twistd livefeed --help lists the options)"
            self.assertEqual(error.code, why)

    def test_help_is_one_text_for_each_option(self) -> None:
        """The help has no line ends and no indentation of a docstring, and one style."""
        for name, text in Options().docs.items():
            self.assertFalse("  " in text or "\n" in text, name)
            self.assertTrue(text[0].islower() or text.startswith(("PEM", "TOML")), name)

    def test_wrong_command_line_does_not_show_values(self) -> None:
        """One may be a source with a password."""
        for arguments in (("redis://:secret@h/0/k",), ("--sorce=redis://:secret@h/0/k",), ("--version=secret",)):
            self.assertNotIn("secret", self.refusal(*arguments))

    def test_usage_error_does_not_repeat_the_source(self) -> None:
        """A wrong option beside the source does not bring the source's password to the terminal."""
        self.assertNotIn("secret", self.refusal("--source", "redis://:secret@h/0/k", "--interval", "0"))

    def test_channel_that_is_none(self) -> None:
        """The variable of an upgrade is refused where no livefeed has set it, and goes to no other program."""
        self.patch(os, "environ", {CHANNEL: "x"})
        self.assertIn(f"{CHANNEL}: is set by a running livefeed", self.refusal())
        self.assertEqual(os.environ, {})

    def test_parent_is_told_of_a_wrong_command_line(self) -> None:
        """It goes on, and says in its log why it was not replaced."""
        told: list[str] = []
        self.patch(os, "environ", {CHANNEL: "3"})
        self.patch(Inheritance, "take", lambda environment: SimpleNamespace(fail=told.append))
        refusals = [self.refusal(*arguments) for arguments in (("--bogus",), ("--push", "never"))]
        self.assertEqual(refusals, [f"livefeed: {each}" for each in told])

    def test_version(self) -> None:
        """--version is livefeed's, not Twisted's, and ends the process with 0."""
        output = io.StringIO()
        self.patch(sys, "stdout", output)
        self.assertEqual(self.assertRaises(SystemExit, parse, "--version").code, 0)
        self.assertEqual(output.getvalue(), f"livefeed {__version__}\n")


class MakeServiceTests(SynchronousTestCase):
    """makeService."""

    def setUp(self) -> None:
        # It measures by another clock once a service was made for it.
        self.patch(reactor, "seconds", time.time)
        # The same is true of the last words of the process.
        self.patch(sys, "excepthook", sys.__excepthook__)

    def refusal(self, *arguments: str) -> str:
        return str(self.assertRaises(SystemExit, makeService, parse(*arguments)).code)

    def test_service(self) -> None:
        """The result is a service that has not been started."""
        service = makeService(parse("--listen", "tcp:0"))
        self.assertTrue(verifyObject(IService, service))
        self.assertFalse(service.running)

    def test_reactor_measures_by_the_monotonic_clock(self) -> None:
        """From then on, and not when livefeed is imported or its options are read, which other programs do, too."""
        installed: Any = reactor
        options = parse("--listen", "tcp:0")
        self.assertIs(installed.seconds, time.time)
        makeService(options)
        self.assertIs(installed.seconds, monotonic)

    def test_tracebacks_have_priorities(self) -> None:
        """One that ends the process is an error in the journal."""
        makeService(parse("--listen", "tcp:0"))
        self.assertIs(sys.excepthook, print_traceback)

    def logged(self, *arguments: str) -> str:
        """Gives the log of making a service."""
        events: list[dict[str, Any]] = []
        observer: Any = events.append
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        makeService(parse("--listen", "tcp:0", *arguments))
        return "\n".join(map(str, map(formatEvent, events)))

    def test_journal(self) -> None:
        """The service writes to the journal itself where twistd would log to standard output, and there alone."""
        self.patch(journald, "is_journal", lambda environment, stream: True)
        found = []
        parents: tuple[Any, ...] = (
            None,
            {"logfile": None},
            {"nodaemon": True, "logfile": None},
            {"nodaemon": False, "logfile": "-"},
            {"nodaemon": False, "logfile": None},
            {"nodaemon": True, "logfile": "x.log"},
            {"nodaemon": True, "logfile": None, "syslog": True},
            {"nodaemon": True, "logfile": None, "logger": "a.b"},
        )
        for parent in parents:
            options = parse("--listen", "tcp:0")
            options.parent = parent
            found.append(isinstance(makeService(options), journald.JournaledService))
        self.assertEqual(found, [False, False, True, True, False, False, False, False])

    def test_modules_of_later_are_imported_before_the_root_changes(self) -> None:
        """Behind chroot they are not found any more; any other start saves the time."""
        imported: list[str] = []
        self.patch(tap, "import_module", imported.append)
        for root, names in ((None, []), ("/srv/root", [*tap.LATER])):
            imported.clear()
            options: Any = parse("--listen", "tcp:0")
            options.parent = {"chroot": root}
            makeService(options)
            self.assertEqual(imported, names)

    def test_options_without_effect_are_told(self) -> None:
        """Options of the fast transport have no effect on Twisted's: the log names those that were set."""
        logged = self.logged("--transport=twisted", "--handshake-timeout=5", "--accept-rate=0")
        self.assertEqual(logged, "--handshake-timeout has no effect: only the fast transport has this limit")

    def test_certificate_without_effect_is_told(self) -> None:
        """Where no endpoint takes it, by the place where it was set; and a file that is not there is refused."""
        made = development_certificate(scratch(self))
        files = (f"--cert={made.cert}", f"--key={made.key}")
        self.assertEqual(
            self.logged(*files), "--cert has no effect: no endpoint uses it; only endpoints of the kind tls: do"
        )
        token = scratch(self) / "token"
        token.write_text("0123456789abcdef")
        token.chmod(0o600)
        self.assertEqual(self.logged(*files, f"--admin-token={token}", "--admin=tls:0"), "")
        missing = made.cert.with_name("missing.pem")
        for options in ((f"--cert={missing}", files[1]), (files[0], f"--key={missing}")):
            refusal = self.refusal("--listen", "tcp:0", *options)
            self.assertIn(f"{missing}: there is no such file", refusal)

    def test_state_dir_that_is_a_file(self) -> None:
        """The refusal has a message with the place of the setting."""
        path = scratch(self) / "state"
        path.touch()
        refusal = self.refusal("--listen", "tcp:0", f"--state-dir={path}")
        self.assertEqual(refusal, f"livefeed: --state-dir: {path}: there is a file where a folder should be")

    def test_without_epoll(self) -> None:
        """Twisted's transport is there for other systems, and the log says that it is taken."""
        self.patch(serving, "select", SimpleNamespace())
        self.assertIn("there is no epoll on this system", self.logged())

    def test_impossible_settings_end_the_process(self) -> None:
        """A setting that only the construction of the service finds wrong is one line, without a traceback."""
        self.assertTrue(self.refusal("--listen", "tcp:0", "--source", "bogus:").startswith("livefeed: --source: "))
        self.assertTrue(self.refusal("--listen", "bogus:1").startswith("livefeed: --listen: bogus:1: "))
        self.assertTrue(
            self.refusal("--listen", "tcp:0", "--allow-origin", "example.org").startswith("livefeed: --allow-origin: ")
        )

    def test_what_the_wiring_finds_out_names_its_place(self) -> None:
        """The file, the line and the key, where it was set in a file."""
        path = scratch(self) / "livefeed.toml"
        for text, key in (
            ("source = 'bogus://:hush@h'", "1: source"),
            ("allow_origin = ['https://u:hush@h/']", "1: allow_origin"),
            ("listen = ['bogus:1']", "1: listen"),
            ("listen = ['tls:0']\ncert = '/no/such.pem'\nkey = '/no/such.key'", "2: cert"),
            ("[feeds.a]\nsource = 'demo:'\n[feeds.b]\nsource = 'redis://:hush@h'", "4: feeds.b.source"),
            ("[feeds.a]\nsource = 'demo:'\nallow_origin = ['x']", "3: feeds.a.allow_origin"),
            ("allow_origin = ['x']\n[feeds.a]\nsource = 'demo:'", "1: allow_origin"),
        ):
            path.write_text(text)
            listen = () if "listen" in text else ("--listen", "tcp:0")
            refusal = self.refusal("--config", str(path), *listen)
            self.assertTrue(refusal.startswith(f"livefeed: {path}:{key}: "), refusal)
            self.assertNotIn("hush", refusal)

    def test_refused_source_does_not_show_its_password(self) -> None:
        """A source that cannot be is refused without its credentials."""
        for source in ("redis://u:secret@h/0/", "redis://u:secret@h:x/0/k", "bogus://u:secret@h/"):
            self.assertNotIn("secret", self.refusal("--listen", "tcp:0", "--source", source))
