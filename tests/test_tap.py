"""The command line of twistd livefeed."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import msgspec
from twisted.application.service import IService
from twisted.python.usage import UsageError
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from livefeed import __version__
from livefeed.config import Settings
from livefeed.tap import Options, makeService


def parse(*arguments: str) -> Options:
    options = Options()
    options.parseOptions(list(arguments))
    return options


class OptionsTests(SynchronousTestCase):
    """Options."""

    def refusal(self, *arguments: str) -> str:
        """Gives what is said of a command line that is wrong, or of a value that is not possible."""
        try:
            parse(*arguments)
        except (UsageError, SystemExit) as error:
            return str(error)
        raise self.failureException("nothing was refused")

    def test_impossible_value_is_not_answered_with_all_of_the_help(self) -> None:
        """It ends the program in one line; a UsageError would have twistd print forty."""
        error = self.assertRaises(SystemExit, parse, "--push", "never")
        self.assertEqual(str(error), "livefeed: --push: 'never' is not tick or change")

    def test_defaults_are_those_of_the_settings(self) -> None:
        """An empty command line is Settings(), so that a default stands at one value."""
        self.assertEqual(parse().settings(), Settings())

    def test_every_setting_is_an_option(self) -> None:
        """Each setting has its option, with hyphens, and a line of help."""
        help_text = str(Options())
        for field in msgspec.structs.fields(Settings):
            self.assertTrue(re.search(rf"--{field.name.replace('_', '-')}=\s+\S", help_text), field.name)

    def test_all_options(self) -> None:
        """What is typed arrives in the settings."""
        settings = parse(
            *("--source", "file:/srv/a.json"),
            *("--feed", "results"),
            *("--interval", "0.5"),
            *("--cert", "/c.pem"),
            *("--key", "/k.pem"),
            *("--push", "change"),
            *("--max-bytes", "1000"),
            *("--listen", "tcp:8080"),
            *("--allow-origin", "https://example.org"),
        ).settings()
        expected = Settings(
            source="file:/srv/a.json",
            feed="results",
            interval=0.5,
            cert=Path("/c.pem"),
            key=Path("/k.pem"),
            push="change",
            max_bytes=1000,
            listen=("tcp:8080",),
            allow_origin=("https://example.org",),
        )
        self.assertEqual(settings, expected)

    def test_repeated_options_add_up(self) -> None:
        """--listen and --allow-origin may come several times; their order is kept, and the default is gone."""
        settings = parse(
            "--listen=tls:1", "--allow-origin=https://a.example", "--listen=tcp:2", "--allow-origin=null"
        ).settings()
        self.assertEqual(settings.listen, ("tls:1", "tcp:2"))
        self.assertEqual(settings.allow_origin, ("https://a.example", "null"))

    def test_two_command_lines_are_apart(self) -> None:
        """What one has repeated is not remembered by the next."""
        parse("--listen=tcp:1")
        self.assertEqual(parse("--listen=tcp:2").settings().listen, ("tcp:2",))

    def test_impossible_value(self) -> None:
        """It is refused by the option's name, before anything is started."""
        self.assertTrue(self.refusal("--interval", "0").startswith("livefeed: --interval: "))
        self.assertTrue(self.refusal("--max-bytes", "many").startswith("livefeed: --max-bytes: "))
        self.assertIn("--cert and --key", self.refusal("--cert", "/c.pem"))

    def test_unknown_option(self) -> None:
        """A misspelt option is a usage error."""
        self.assertIn("intervall", self.refusal("--intervall", "1"))

    def test_arguments_without_an_option(self) -> None:
        """A URL without --source in front of it is a usage error, not passed over."""
        self.refusal("file:/srv/a.json")

    def test_usage_error_does_not_repeat_the_source(self) -> None:
        """A wrong option beside the source does not bring the source's password to the terminal."""
        self.assertNotIn("secret", self.refusal("--source", "redis://:secret@h/0/k", "--interval", "0"))

    def test_version(self) -> None:
        """--version is livefeed's, not Twisted's, and ends the process with 0."""
        output = io.StringIO()
        self.patch(sys, "stdout", output)
        self.assertEqual(self.assertRaises(SystemExit, parse, "--version").code, 0)
        self.assertEqual(output.getvalue(), f"livefeed {__version__}\n")


class MakeServiceTests(SynchronousTestCase):
    """makeService."""

    def refusal(self, *arguments: str) -> str:
        return str(self.assertRaises(SystemExit, makeService, parse(*arguments)).code)

    def test_service(self) -> None:
        """What is made is a service that nothing has started yet."""
        service = makeService(parse("--listen", "tcp:0"))
        self.assertTrue(verifyObject(IService, service))
        self.assertFalse(service.running)

    def test_impossible_settings_end_the_process(self) -> None:
        """What only the wiring can find out is one line, without a traceback."""
        self.assertTrue(self.refusal("--listen", "tcp:0", "--source", "bogus:").startswith("livefeed: --source: "))
        self.assertTrue(self.refusal("--listen", "bogus:1").startswith("livefeed: --listen: bogus:1: "))
        self.assertTrue(
            self.refusal("--listen", "tcp:0", "--allow-origin", "example.org").startswith("livefeed: --allow-origin: ")
        )

    def test_refused_source_does_not_show_its_password(self) -> None:
        """A source that cannot be is refused without its credentials."""
        for source in ("redis://u:secret@h/0/", "redis://u:secret@h:x/0/k", "bogus://u:secret@h/"):
            self.assertNotIn("secret", self.refusal("--listen", "tcp:0", "--source", source))
