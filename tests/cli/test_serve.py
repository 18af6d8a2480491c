"""The subcommand that serves a document in the foreground."""

from __future__ import annotations

import argparse
import io
import os
import socket
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from twisted.trial.unittest import SynchronousTestCase

from livefeed.cli import serve
from livefeed.cli.main import main
from livefeed.document.recording import encode_beginning
from livefeed.exceptions import CommandError, ConfigurationError, MissingExtraError
from livefeed.tap import Options


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    serve.add_arguments(parser)
    return parser.parse_args(arguments)


class ServeTestCase(SynchronousTestCase):
    """Arguments, without a process."""

    def setUp(self) -> None:
        self.patch(serve, "_free_port", lambda: 8085)
        self.file = Path(self.enterContext(TemporaryDirectory())) / "results.json"
        self.file.write_text("{}")

    def arguments(self, *given: str, **environment: str) -> list[str]:
        return serve.arguments_of(parsed(*given), environment)


class ArgumentTests(ServeTestCase):
    """The arguments that twistd livefeed receives."""

    def test_source(self) -> None:
        """A file is a path, and anything with a scheme is a source."""
        odd = self.file.with_name("a b#?%.json")
        odd.write_text("{}")
        for given, source in (
            (str(self.file), f"file:{self.file}"),
            (str(odd), f"file:{odd.parent}/a%20b%23%3F%25.json"),
            ("redis://127.0.0.1/0/results", "redis://127.0.0.1/0/results"),
            ("file:later.json", "file:later.json"),
            ("demo:", "demo:"),
        ):
            self.assertEqual(self.arguments(given)[:2], ["--source", source])
        self.assertNotIn("--source", self.arguments())

    def test_settings(self) -> None:
        """A file of settings is no document; the message has the option for it."""
        self.file.write_text('source = "demo:"\n')
        error = self.assertRaises(CommandError, self.arguments, str(self.file))
        self.assertIn(f"serve --config {self.file}", str(error))

    def test_missing_file(self) -> None:
        """A path with a typing error is told at once."""
        folder = str(self.file.parent)
        for given, why in (("no.json", "no such file; to wait for one, write file:PATH"), (folder, "is a folder")):
            error = self.assertRaises(ConfigurationError, self.arguments, given)
            self.assertIn(why, str(error))

    def test_files_that_are_not_served(self) -> None:
        """A file that cannot be read, and a recording, are told at once; a file that may come later is not."""
        secret = self.file.with_name("secret.json")
        secret.touch()
        self.patch(os, "access", lambda path, mode: Path(path) != secret)
        recording = self.file.with_name("ten.rec")
        recording.write_bytes(encode_beginning(0.0)[0])
        for given, why in (
            (str(secret), "cannot be read: Permission denied"),
            (str(recording), f"this is a recording: livefeed serve recording:{recording}"),
            ("recording:none.rec?speed=2", "'none.rec': there is no such file"),
            (f"recording:{self.file.parent}", "is a folder"),
        ):
            error = self.assertRaises(ConfigurationError, self.arguments, given)
            self.assertIn(why, str(error))
        for given in (f"recording:{recording}", "file:none.json"):
            self.assertEqual(self.arguments(given)[:2], ["--source", given])

    def test_endpoint(self) -> None:
        """Plain HTTP on this machine is the default, and gives way to what the user says."""
        ours = ["--listen", "tcp:8085:interface=127.0.0.1"]
        self.assertEqual(self.arguments()[:2], ours)
        self.assertEqual(self.arguments("--port", "9")[:2], ["--listen", "tcp:9:interface=127.0.0.1"])
        for given in (["--listen", "tls:8443"], ["--cert", "c"], ["--config", "f"]):
            self.assertEqual(self.arguments(*given), given)
        self.assertEqual(
            self.arguments("--config", "f", "--port", "9"),
            ["--config", "f", "--listen", "tcp:9:interface=127.0.0.1"],
        )
        for name in ("LISTEN", "CERT", "CONFIG"):
            self.assertEqual(self.arguments(**{f"LIVEFEED_{name}": "x"}), [])

    def test_reasons(self) -> None:
        """Watchers are told reasons if all of them are on this machine, unless the user decides."""
        told = ["--public-reasons", "true"]
        here = (
            "tcp:1:interface=127.0.0.1",
            "tcp:1:interface=127.9.9.9",
            "tls:1:interface=localhost",
            r"tcp:1:interface=\:\:1",
        )
        for given in ([], ["--port=9"], *(["--listen", each] for each in here)):
            self.assertEqual(self.arguments(*given)[-2:], told, given)
        self.assertEqual(self.arguments(LIVEFEED_LISTEN=" ".join(here)), told)
        everywhere = ("tcp:1", "tcp:1:interface=0.0.0.0", "tcp:1:interface=127.example.org", "unix:a.sock")
        for given in (
            ["--public-reasons", "false"],
            ["--config", "f", "--port=9"],
            ["--cert", "c"],
            ["--trusted-proxy", "127.0.0.1"],
            *(["--port=9", "--listen", each] for each in everywhere),
        ):
            self.assertNotIn("true", self.arguments(*given), given)
        self.assertNotIn("true", self.arguments(LIVEFEED_PUBLIC_REASONS="false"))
        self.assertEqual(self.arguments(LIVEFEED_LISTEN=f"{here[0]} tcp:1"), [])

    def test_options_are_passed_on(self) -> None:
        """Each option of twistd livefeed is known, also those that are repeated."""
        given = ["--allow-origin", "https://a", "--allow-origin", "https://b", "--interval", "2"]
        self.assertEqual(self.arguments(*given)[:6], given)
        for option in Options().longOpt:
            name = option.rstrip("=")
            if option.endswith("=") and name != "source":
                self.assertEqual(self.arguments(f"--{name}=v", "--port=9")[:2], [f"--{name}", "v"], name)

    def test_wrong_port(self) -> None:
        """A port that is none is an error of the command line."""
        self.patch(sys, "stderr", io.StringIO())
        for text in ("x", "-1", "65536", "٣"):
            self.assertEqual(self.assertRaises(SystemExit, parsed, f"--port={text}").code, 2)

    def test_addresses(self) -> None:
        """The addresses are told if they are known before the start."""
        text = "\n".join(serve.addresses(self.arguments("--feed", "results"), {}))
        for part in ("http://localhost:8085/\n", "curl http://localhost:8085/results", "livefeed watch"):
            self.assertIn(part, text)
        self.assertIn("/other", "\n".join(serve.addresses(self.arguments(), {"LIVEFEED_FEED": "other"})))
        for given in (["--config", "f", "--port", "9"], ["--listen", "tls:8443"], ["--port", "0"]):
            self.assertEqual(serve.addresses(self.arguments(*given), {}), [])

    def test_name_of_the_command(self) -> None:
        """A program that the shell does not find is named with its folder, as the user has written it."""
        program = self.file.with_name("livefeed")
        program.touch(mode=0o755)
        self.patch(os, "environ", {"PATH": ""})
        for path, argument, expected in (
            ("", "env/bin/livefeed", "env/bin/livefeed"),
            ("", "/srv/my env/livefeed", "'/srv/my env/livefeed'"),
            (str(program.parent), str(program), "livefeed"),
            (str(program.parent), "/usr/lib/cli/__main__.py", "livefeed"),
            (str(program.parent), "env/bin/livefeed", "env/bin/livefeed"),
        ):
            os.environ["PATH"] = path
            self.patch(sys, "argv", [argument, "serve"])
            self.assertEqual(serve.command(), expected)


class RunTests(ServeTestCase):
    """The command."""

    def test_process_becomes_twistd(self) -> None:
        """The addresses are printed, and the process is replaced, so that its command line can be repeated."""
        calls: list[list[str]] = []
        self.patch(os, "execv", lambda program, arguments: calls.append(arguments))
        self.patch(sys, "stdout", output := io.StringIO())
        main(["serve", str(self.file), "--interval", "2"])
        self.assertIn("http://localhost:8085/", output.getvalue())
        ((program, *arguments),) = calls
        self.assertEqual(program, sys.executable)
        where = arguments.index("livefeed")
        self.assertEqual(arguments[where + 1 : where + 5], ["--source", f"file:{self.file}", "--interval", "2"])

    def output(self, *arguments: str) -> str:
        """Gives the text that is printed before the process becomes twistd."""
        self.patch(os, "execv", lambda program, arguments: None)
        self.patch(sys, "stdout", output := io.StringIO())
        main(["serve", *arguments])
        return output.getvalue()

    def test_contents(self) -> None:
        """A document that the gate refuses is told below the addresses: watchers get nothing until it is mended."""
        self.file.write_text('{"a": 1')
        self.assertIn(
            f"  watchers see nothing yet: {self.file}: the document is not JSON: ",
            self.output(str(self.file)).partition("Ctrl-C")[2],
        )
        for text in ("{}", "[1]"):
            self.file.write_text(text)
            self.assertNotIn("nothing yet", self.output(str(self.file)))

    def test_first_port_in_use(self) -> None:
        """It is said, unless the user names the port."""
        self.assertIn("8080 is in use: serving on 8085\n", self.output("demo:"))
        self.patch(serve, "_free_port", lambda: 8080)
        self.assertNotIn("in use", self.output("demo:"))
        self.patch(serve, "require_port", lambda _: None)
        for given in (["--port", "8085"], ["--listen", "tcp:8085:interface=127.0.0.1"]):
            self.assertNotIn("in use", self.output("demo:", *given))

    def test_errors(self) -> None:
        """An error is one line, and exits with 1."""
        self.patch(sys, "stderr", errors := io.StringIO())
        self.assertEqual(main(["serve", "no.json"]), 1)
        self.assertIn("no.json", errors.getvalue())

    def test_no_address_before_an_error(self) -> None:
        """An address is printed only if the source, the settings and the port can work."""
        self.patch(os, "execv", lambda *arguments: self.fail(arguments))
        self.patch(sys, "stdout", output := io.StringIO())
        self.patch(sys, "stderr", errors := io.StringIO())
        with socket.create_server((serve.INTERFACE, 0)) as taken:
            port = str(taken.getsockname()[1])
            self.assertEqual(main(["serve", "demo:", "--port", port]), 1)
            self.assertIn(f"--port: {port} is in use", errors.getvalue())
            # The command line is not wrong: it works once the other process has ended.
            self.assertEqual(main(["serve", "demo:", "--listen", f"tcp:{port}:interface={serve.INTERFACE}"]), 1)
            self.assertIn(f"{serve.INTERFACE}: Address already in use", errors.getvalue())
        for given, why in (
            (["redis://127.0.0.1/0"], "the key is missing"),
            (["ftp://example.org/x"], "unknown scheme"),
            (["--interval", "x"], "error: --interval: 'x' is not"),
        ):
            end = self.assertRaises(SystemExit, main, ["serve", *given])
            self.assertEqual(end.code, 2)
            self.assertIn(why, errors.getvalue())
        # A variable is no part of the command line.
        self.patch(os, "environ", {**os.environ, "LIVEFEED_INTERVAL": "x"})
        end = self.assertRaises(SystemExit, main, ["serve"])
        self.assertIn("livefeed: LIVEFEED_INTERVAL: ", str(end.code))
        self.assertEqual(output.getvalue(), "")

    def test_missing_package(self) -> None:
        """The command line is not to blame for a package that is not installed."""

        def check(_: object) -> None:
            error = ConfigurationError("mongodb:// needs pymongo", "source")
            error.__context__ = MissingExtraError("mongodb:// needs pymongo")
            raise error

        self.patch(serve, "check", check)
        self.patch(sys, "stderr", errors := io.StringIO())
        self.assertEqual(main(["serve", "mongodb://h/db/c"]), 1)
        self.assertEqual(errors.getvalue(), "livefeed: --source: mongodb:// needs pymongo\n")


class PortTests(SynchronousTestCase):
    """The search for a port, with the kernel."""

    def test_occupied_ports_are_skipped(self) -> None:
        """The first free port is found, and without one the message names the option."""
        with socket.create_server((serve.INTERFACE, 0)) as taken:
            port = taken.getsockname()[1]
            self.patch(serve, "PORTS", range(port, port + 1))
            error = self.assertRaises(ConfigurationError, serve._free_port)
            self.assertIn("--port", str(error))
        self.assertEqual(serve._free_port(), port)

    def test_port_that_cannot_be_taken(self) -> None:
        """The message says why."""

        def refuse(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        self.patch(serve, "bind", refuse)
        error = self.assertRaises(ConfigurationError, serve.require_port, 80)
        self.assertEqual(str(error), "--port: 80 cannot be taken: Permission denied")
