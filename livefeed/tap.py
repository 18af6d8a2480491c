"""What ``twistd livefeed`` runs: its options, and the service that they make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.python import usage

from livefeed import __version__
from livefeed.config import Settings
from livefeed.exceptions import ConfigurationError

if TYPE_CHECKING:
    from twisted.application.service import IService


class Options(usage.Options):
    """The command line. Its long names are the settings' names."""

    synopsis = "[options]"
    longdesc = (
        "Pulls one JSON document from where somebody else writes it, and serves it to everybody: at /NAME to those "
        "who poll over HTTPS, at /NAME.ws to those who are sent each version on a WebSocket, and on a page at /."
    )
    optParameters = [  # noqa: RUF012 - as usage.Options wants it
        ["source", None, "demo:", "demo:, file:PATH, or redis://[user:password@]host[:port]/db/key"],
        ["feed", None, "feed", "name of the feed: the document is at /NAME, the WebSocket at /NAME.ws"],
        ["interval", None, "1.0", "seconds from one pull to the next"],
        [
            "cert",
            None,
            None,
            "PEM file of the server's certificate and its chain [default: a development one]",
        ],
        ["key", None, None, "PEM file of its private key"],
        ["push", None, "tick", "when subscribers are sent the document: tick (each good pull) or change"],
        ["transport", None, "fast", "what carries the connections: fast (Linux), or twisted"],
        ["max-connections", None, "0", "connections at a time; 0: the limit of open files less 256 (fast transport)"],
        ["accept-rate", None, "0", "new connections a second; 0: no limit (fast transport)"],
        ["handshake-timeout", None, "10", "seconds that a TLS handshake may take (fast transport)"],
        ["head-timeout", None, "10", "seconds that the head of a request may take"],
        ["idle-timeout", None, "75", "seconds that a connection is kept without a request"],
        ["max-bytes", None, "1048576", "largest document that is served"],
    ]
    compData = usage.Completions(
        optActions={
            "cert": usage.CompleteFiles("*.pem"),
            "key": usage.CompleteFiles("*.pem"),
            "push": usage.CompleteList(["tick", "change"]),
            "transport": usage.CompleteList(["fast", "twisted"]),
        }
    )

    def __init__(self) -> None:
        super().__init__()
        self._repeated: dict[str, list[str]] = {}

    def opt_listen(self, endpoint: str) -> None:
        """Endpoint to serve on, repeatable [default: tls:8443].

        tls:PORT[:interface=ADDRESS] uses --cert and --key; all Twisted endpoints (tcp:, unix:, systemd:, ssl:) work.
        """
        self._repeated.setdefault("listen", []).append(endpoint)

    def opt_allow_origin(self, origin: str) -> None:
        """Origin whose pages may read the feed, such as https://example.org; repeatable [default: *]."""
        self._repeated.setdefault("allow_origin", []).append(origin)

    def opt_version(self) -> None:
        """Show the version and exit."""
        print(f"livefeed {__version__}")  # noqa: T201
        raise SystemExit(0)

    def settings(self) -> Settings:
        """Gives what the command line says as settings.

        :raises ConfigurationError: if a value is not possible.
        """
        given: dict[str, Any] = {name.replace("-", "_"): value for name, value in self.items() if value is not None}
        return Settings.parse(given | self._repeated)

    def postOptions(self) -> None:
        """usage.Options API."""
        try:
            self.settings()
        except ConfigurationError as error:
            # Not a UsageError, for which twistd would print all of the help first.
            raise SystemExit(f"livefeed: {error}") from None


def makeService(options: Options) -> IService:
    """Makes the service; ``twistd`` calls it by this name."""
    # Not earlier: what is imported here installs a reactor, and the command line may name another than the default.
    from twisted.internet import reactor  # noqa: PLC0415

    from livefeed.service import make_service  # noqa: PLC0415

    try:
        service: IService = make_service(options.settings(), reactor)
    except ConfigurationError as error:
        raise SystemExit(f"livefeed: {error}") from None
    return service
