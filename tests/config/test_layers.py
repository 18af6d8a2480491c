"""The layers of settings: each value keeps its place, and a file that cannot be read is refused by its name."""

from __future__ import annotations

import contextlib
import re
import tempfile
from datetime import date
from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from livefeed.config.layers import (
    MAX_FILE_BYTES,
    SettingValue,
    from_environment,
    from_file,
    from_options,
    unknown_variables,
)
from livefeed.exceptions import ConfigurationError

NAMES = ("interval", "max_bytes", "allow_origin")


class OptionsTests(SynchronousTestCase):
    """from_options."""

    def test_place_is_the_option(self) -> None:
        """A value is kept as it is, and its place is the option with hyphens."""
        values = from_options({"max_bytes": "9", "allow_origin": ["a", "b"]}, Path.cwd())
        self.assertEqual(
            values,
            {
                "max_bytes": SettingValue("9", "--max-bytes", Path.cwd()),
                "allow_origin": SettingValue(["a", "b"], "--allow-origin", Path.cwd()),
            },
        )

    def test_values_are_texts(self) -> None:
        """A value of the command line has no type yet."""
        self.assertFalse(from_options({"interval": "1"}, Path.cwd())["interval"].typed)


class EnvironmentTests(SynchronousTestCase):
    """from_environment."""

    def test_place_is_the_variable(self) -> None:
        """The variable has the prefix and the name in capitals; settings without a variable have no value."""
        values = from_environment({"LIVEFEED_MAX_BYTES": " 9 "}, NAMES, (), Path.cwd())
        self.assertEqual(values, {"max_bytes": SettingValue(" 9 ", "LIVEFEED_MAX_BYTES", Path.cwd())})
        self.assertFalse(values["max_bytes"].typed)

    def test_only_repeatable_settings_are_split(self) -> None:
        """White space separates the members of a list, and is a part of any other value."""
        environment = {"LIVEFEED_ALLOW_ORIGIN": " a\tb\n c ", "LIVEFEED_INTERVAL": "1 2"}
        values = from_environment(environment, NAMES, ("allow_origin",), Path.cwd())
        self.assertEqual(
            {name: value.value for name, value in values.items()},
            {
                "allow_origin": ["a", "b", "c"],
                "interval": "1 2",
            },
        )

    def test_empty_variable_is_a_value(self) -> None:
        """It is refused later, by its name; for a list it has no members."""
        environment = {"LIVEFEED_ALLOW_ORIGIN": " ", "LIVEFEED_INTERVAL": ""}
        values = from_environment(environment, NAMES, ("allow_origin",), Path.cwd())
        self.assertEqual((values["allow_origin"].value, values["interval"].value), ([], ""))

    def test_other_variables_are_ignored(self) -> None:
        """Neither a variable without the prefix nor one in small letters sets anything."""
        for variable in ("INTERVAL", "livefeed_interval", "LIVEFEED_interval", "XLIVEFEED_INTERVAL"):
            self.assertEqual(from_environment({variable: "1"}, NAMES, (), Path.cwd()), {}, variable)


class UnknownVariablesTests(SynchronousTestCase):
    """unknown_variables."""

    def unknown(self, *variables: str) -> list[tuple[str, str]]:
        return list(unknown_variables(dict.fromkeys(variables, "1"), NAMES))

    def test_in_order_with_the_closest_name(self) -> None:
        """The closest name has the prefix; a variable that resembles none has an empty end."""
        self.assertEqual(
            self.unknown("LIVEFEED_QQQQ", "LIVEFEED_INTERVALL", "LIVEFEED_INTERVAL", "HOME"),
            [("LIVEFEED_INTERVALL", "; did you mean LIVEFEED_INTERVAL?"), ("LIVEFEED_QQQQ", "")],
        )

    def test_prefix_makes_no_names_similar(self) -> None:
        """A variable is compared without it."""
        self.assertEqual(self.unknown("LIVEFEED_X"), [("LIVEFEED_X", "")])

    def test_variables_of_kubernetes_and_of_the_tests(self) -> None:
        """They are not settings; similar names are not theirs."""
        ignored = ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTPS", "PORT", "PORT_8443_TCP_ADDR", "TEST_X")
        self.assertEqual(self.unknown(*(f"LIVEFEED_{name}" for name in ignored)), [])
        told = ("LIVEFEED_PORTS", "LIVEFEED_PORT_", "LIVEFEED_SERVICE", "LIVEFEED_TEST")
        self.assertEqual(sorted(variable for variable, _ in self.unknown(*told)), sorted(told))


class FileTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name) / "livefeed.toml"

    def read(self, data: bytes) -> dict[str, SettingValue]:
        self.path.write_bytes(data)
        return from_file(str(self.path), Path.cwd())

    def refusal(self, data: bytes) -> str:
        """Gives the message about a file, without the name of the file at its start."""
        error = self.assertRaises(ConfigurationError, self.read, data)
        found = re.fullmatch(rf"{re.escape(str(self.path))}(?::[0-9]+)?: (.*)", str(error))
        assert found is not None, error
        return found[1]


class FileTests(FileTestCase):
    """from_file."""

    def test_values_have_types_and_places(self) -> None:
        """The place is the file, the line and the key; relative paths begin at the folder of the file."""
        values = self.read(b"interval = 0.5\nlisten = ['tcp:1']\nsince = 2026-11-29\n")
        self.assertEqual(
            [(each.value, each.place, each.folder, each.typed) for each in values.values()],
            [
                (value, f"{self.path}:{line}: {name}", self.path.parent, True)
                for line, name, value in (
                    (1, "interval", 0.5),
                    (2, "listen", ["tcp:1"]),
                    (3, "since", date(2026, 11, 29)),
                )
            ],
        )

    def test_relative_path_of_the_file(self) -> None:
        """The folder is absolute, since a daemon changes its directory; the place is as the operator wrote it."""
        self.path.write_bytes(b"a = 1")
        with contextlib.chdir(self.path.parent):
            value = from_file("livefeed.toml", Path.cwd())["a"]
        self.assertEqual((value.place, value.folder), ("livefeed.toml:1: a", self.path.parent.resolve()))

    def test_values_below_a_table(self) -> None:
        """They extend the place by their key, and keep the folder and the type."""
        table = self.read(b"[feeds.scores]\ninterval = 1\n")["feeds"]
        value = table.below("scores").below("interval")
        self.assertEqual((value.value, value.folder, value.typed), (1, self.path.parent, True))
        self.assertEqual(value.place, f"{self.path}:2: feeds.scores.interval")
        self.assertEqual(SettingValue({"a": "1"}, "x", Path("/")).below("a").place, "x.a")
        self.assertFalse(SettingValue({"a": "1"}, "x", Path("/")).below("a").typed)

    def test_odd_keys_are_quoted(self) -> None:
        """A place is one line, and no longer than needed to find the key."""
        self.assertEqual(self.read(b'"a b" = 1')["a b"].place, f'{self.path}:1: "a b"')
        self.assertEqual(self.read(b'"a\\nb" = 1')["a\nb"].place, f'{self.path}:1: "a\\nb"')
        self.assertEqual(self.read(b'"" = 1')[""].place, f'{self.path}:1: ""')
        self.assertEqual(self.read(b"a" * 64 + b" = 1")["a" * 64].place, f"{self.path}:1: {'a' * 64}")
        self.assertEqual(self.read(b"a" * 99 + b" = 1")["a" * 99].place, f'{self.path}:1: "{"a" * 64}"')

    def test_byte_order_mark(self) -> None:
        """Some editors write one; it belongs to no key."""
        self.assertEqual([*self.read(b"\xef\xbb\xbfinterval = 1")], ["interval"])

    def test_largest_file(self) -> None:
        """The limit is inclusive."""
        line = b"a = 1\n#"
        self.assertEqual([*self.read(line.ljust(MAX_FILE_BYTES, b"x"))], ["a"])
        self.assertEqual(self.refusal(line.ljust(MAX_FILE_BYTES + 1, b"x")), f"is larger than {MAX_FILE_BYTES} bytes")

    @given(st.dictionaries(st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True), st.integers(-(2**63), 2**63 - 1)))
    def test_every_key_is_found_at_its_place(self, table: dict[str, int]) -> None:
        """Bare keys are written as they are."""
        values = self.read("".join(f"{key} = {value}\n" for key, value in table.items()).encode())
        self.assertEqual(
            [(value.place, value.value) for value in values.values()],
            [(f"{self.path}:{line}: {key}", value) for line, (key, value) in enumerate(table.items(), 1)],
        )


class FileRefusalTests(FileTestCase):
    """Files that from_file refuses."""

    def test_file_that_cannot_be_opened(self) -> None:
        """The reason is that of the system."""
        for path, why in ((self.path, "No such file or directory"), (self.path.parent, "Is a directory")):
            error = self.assertRaises(ConfigurationError, from_file, str(path), Path.cwd())
            self.assertEqual(str(error), f"{path}: cannot be read: {why}")

    def test_name_that_cannot_be(self) -> None:
        """Python refuses it with another kind of error."""
        error = self.assertRaises(ConfigurationError, from_file, "a\0b", Path.cwd())
        self.assertIn("cannot be read: embedded null byte", str(error))

    def test_not_utf_8(self) -> None:
        """The message has the position, and a hint for UTF-16 of both byte orders."""
        self.assertEqual(self.refusal(b"a = '\xff'"), "is not UTF-8, at byte 5")
        hint = "; it seems to be UTF-16: save it as UTF-8"
        for mark, coding in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
            self.assertEqual(self.refusal(mark + "a = 1".encode(coding)), f"is not UTF-8, at byte 0{hint}")

    def test_text_without_quotes(self) -> None:
        """The message says that text is in quotes, whether or not the text begins like a number."""
        hint = "; text is in quotes, and numbers are not"
        for text in (b"source = demo:", b"interval = 1s"):
            refusal = self.refusal(text)
            self.assertTrue(refusal.startswith("is not TOML: ") and refusal.endswith(hint), refusal)

    def test_other_errors_of_toml(self) -> None:
        """They have the line and the column, and no hint about quotes."""
        self.assertIn(f"{self.path}:2: ", str(self.assertRaises(ConfigurationError, self.read, b"[a]\n[a]")))
        self.assertIn(f"{self.path}:3: ", str(self.assertRaises(ConfigurationError, self.read, b"a = 1\n\nb\n\n")))
        refusal = self.refusal(b"[feeds.a]\n[feeds.a]")
        self.assertTrue(refusal.startswith("is not TOML: ") and "line 2" in refusal, refusal)
        self.assertNotIn("quotes", refusal)

    def test_document(self) -> None:
        """A file that is JSON was named in the place of the settings."""
        for data in (b'{"votes": 1}\n', b' {"votes": ', b'[{"votes": 1}]', b"5"):
            self.assertEqual(self.refusal(data), "is JSON, as documents are; settings are a file of TOML")

    def test_errors_that_are_about_python(self) -> None:
        """A number with too many digits, or too many levels, is not TOML; Python's own words would not help."""
        for text in (b"a = " + b"9" * 5000, b"a = " + b"[" * 100_000):
            self.assertEqual(self.refusal(text), "is not TOML")

    @given(st.binary(max_size=60))
    @example(b"\xef\xbb\xbf\xef\xbb\xbf")
    def test_any_file_is_read_or_refused(self, data: bytes) -> None:
        """No other error gets out, and each message begins with the name of the file."""
        try:
            values = self.read(data)
        except ConfigurationError as error:
            self.assertRegex(str(error), rf"^{re.escape(str(self.path))}(:[0-9]+)?: is (?:not|JSON)")
        else:
            self.assertTrue(all(value.place.startswith(f"{self.path}:") for value in values.values()), values)
