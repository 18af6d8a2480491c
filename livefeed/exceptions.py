"""The exceptions of livefeed, one tree.

    LivefeedError
    ├── ConfigurationError      a setting can never work; raised before anything is started
    └── PullError               this pull gave no new version; the last good snapshot stays
        ├── SourceError         the source could not be read
        └── DocumentError       it was read, and the gate refuses what it gave

``PullError`` is decided on in one place, :meth:`livefeed.poller.Poller.tick`.
"""


class LivefeedError(Exception):
    """The root of the tree."""


class ConfigurationError(LivefeedError):
    """A setting can never work. The message names the setting and says what is allowed."""


class PullError(LivefeedError):
    """A pull gave no new version. The message is fit for a log: it holds no credentials."""


class SourceError(PullError):
    """The source could not be read: it is away, too slow, or answers with an error."""


class DocumentError(PullError):
    """The document was read, and is not one that may be served."""
