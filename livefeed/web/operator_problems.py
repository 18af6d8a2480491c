"""The types of the problems that only the operator's port has: access, commands, and documents that are published.

Rule: as in ``problems``. They are here and not in ``admin/``, because the public port serves their pages as well, with
one list of all names.
"""

from __future__ import annotations

from livefeed.web import problems
from livefeed.web.problem_type import ProblemType, types_in

# Access

WRONG_HOST = ProblemType(
    "wrong-host",
    403,
    "the operator's port",
    "Wrong Host",
    "The `Host` of the request is neither `localhost`, nor an IP address, nor the name of the machine, nor the "
    "`interface=` of the endpoint. It may come from a page whose name leads to this machine.",
    "Ask for the port by `localhost`, by its address, or by the name of the machine.",
    "Name the host in `interface=` of the endpoint in `admin`, or have the proxy send one of these.",
)
FOREIGN_PAGE = ProblemType(
    "foreign-page",
    403,
    "the operator's port",
    "Page of Another Origin",
    "The request comes from a web page of another origin. Only the page of the desk has access.",
    "Use the page at `/-/desk/`, `livefeed ctl`, or a client that is not a browser.",
    "Nothing. Do not pass the port on to pages.",
)
OPERATOR_TOKEN_REQUIRED = ProblemType(
    "operator-token-required",
    401,
    "the operator's port",
    "Operator's Token Required",
    "The request lacks the token of the operator's port, or has another one.",
    "Send `Authorization: Bearer TOKEN`, with the token in the file of `admin_token`.",
    "On the machine itself, `livefeed ctl` uses the Unix socket, and needs no token.",
)

# Commands

MALFORMED_COMMAND = ProblemType(
    "malformed-command",
    400,
    "a command",
    "Malformed Command",
    "The arguments of the command cannot be read: its content is a JSON object, and a path has a short argument.",
    "Send the arguments as the reference of the operator's port has them.",
    "Use `livefeed ctl`, which sends them in the right form.",
)
WRONG_MEDIA_TYPE = ProblemType(
    "wrong-media-type",
    415,
    "a command",
    "Wrong Media Type",
    "The `Content-Type` or the `Content-Encoding` of the request is not one that the path takes. `detail` names those "
    "that it does.",
    "Send the content as `application/json`, or a patch as one of those in `Accept-Patch`, without a content coding.",
    "Nothing.",
)
COMMAND_FAILED = ProblemType(
    "command-failed",
    409,
    "a command",
    "Command Failed",
    "The command was understood, and cannot be carried out now. Nothing has changed, unless `detail` says so.",
    "Read `detail`: it says what is wrong, and often which command helps.",
    "`livefeed ctl status` and `livefeed ctl desk` show the present state.",
)
COMMAND_NOT_OFFERED = ProblemType(
    "command-not-offered",
    501,
    "a command",
    "Command Not Offered",
    "This livefeed does not have the command: it belongs to workers, a store or another part that is not in use.",
    "Nothing.",
    "Look at the settings: `workers` for `upgrade` and `workers`, a feed with the source `recording:` for `playback`.",
)
COMMAND_REFUSED_NOW = ProblemType(
    "command-refused-now",
    503,
    "a command",
    "Command Refused Now",
    "Commands that change something are refused while an upgrade is under way.",
    "Give the command again in a few seconds.",
    "`livefeed ctl status` shows the process that has taken over.",
)

# Published documents

NOT_PUBLISHED_HERE = ProblemType(
    "not-published-here",
    404,
    "a published document",
    "Not Published Here",
    "The feed exists, but its document comes from another source: only a feed with `store:` takes documents.",
    "Write to the source of the feed.",
    'Give the feed `source = "store:"` if it is to be published by `PUT`.',
)
NO_DOCUMENT = ProblemType(
    "no-document",
    404,
    "a published document",
    "No Document",
    "There is no such document: none is stored, none was shown yet, or none waits. `detail` says which.",
    "`PUT` stores a document.",
    "Nothing.",
)
UNKNOWN_VERSION = ProblemType(
    "unknown-version",
    404,
    "a published document",
    "Unknown Version",
    "The version is not among the last ones that the store keeps.",
    "`GET /feeds/NAME/versions` lists those that it keeps; six characters of a version are enough.",
    "Nothing.",
)
AMBIGUOUS_VERSION = ProblemType(
    "ambiguous-version",
    409,
    "a published document",
    "Ambiguous Version",
    "Several versions begin with these characters.",
    "Send more characters of the version.",
    "Nothing.",
)
LENGTH_REQUIRED = ProblemType(
    "length-required",
    411,
    "a published document",
    "Length Required",
    "The document is sent in chunks, so that nobody knows whether it is too large before it is there.",
    "Send it with `Content-Length`. With curl, `--data-binary @FILE` does so, and `-T -` does not.",
    "Nothing.",
)
TOO_MANY_UPLOADS = ProblemType(
    "too-many-uploads",
    503,
    "a published document",
    "Too Many Uploads",
    "The documents that arrive at this moment fill the memory that is set aside for them.",
    "Come back after `Retry-After`.",
    "Have publishers write one after the other, or send patches.",
)
MALFORMED_CONDITION = ProblemType(
    "malformed-condition",
    400,
    "a published document",
    "Malformed Condition",
    "`If-Match` or `If-None-Match` is no list of entity tags, or has too many. To pass over it would overwrite what it "
    "protects.",
    'Send tags as they were received, in quotes: `If-Match: "…"`.',
    "Nothing.",
)
MALFORMED_PATCH = ProblemType(
    "malformed-patch",
    400,
    "a published document",
    "Malformed Patch",
    "The content is not a patch of its media type (RFC 6902, RFC 7396). Nothing was changed.",
    "Repair the program that makes the patch; `detail` names the place.",
    "Nothing.",
)
PATCH_CONFLICT = ProblemType(
    "patch-conflict",
    422,
    "a published document",
    "Patch Does Not Fit",
    "The patch is well-formed, and cannot be applied to the stored document: a test fails, or a place is not there. "
    "Nothing was changed.",
    "Read the document again, and make the patch anew.",
    "Nothing.",
)
INVALID_DOCUMENT = ProblemType(
    "invalid-document",
    422,
    "a published document",
    "Invalid Document",
    "The document is not one that livefeed serves: UTF-8 JSON, no name twice in an object, no `NaN`, not empty, not "
    "larger than `max_bytes`. Nothing was changed.",
    "Repair the document; `detail` names the place. `livefeed check` tries one without a server.",
    "Nothing: watchers still see the last good document.",
)
RULE_REFUSED = ProblemType(
    "rule-refused",
    422,
    "a published document",
    "Refused by a Rule",
    "The publisher has asked for strict handling, and a rule of the feed refuses the document. The members `rule` and "
    "`pointer` name the rule and the place. Nothing was changed.",
    "Compare the value at `pointer` with that before. Without `Prefer: handling=strict`, the document is stored, and "
    "waits at the desk.",
    "If the document is right, publish it without strictness, and give `livefeed ctl release`.",
)
FEED_ENDED = ProblemType(
    "feed-ended",
    409,
    "a published document",
    "Feed Ended",
    "An operator has ended the feed: no more versions will come.",
    "Stop publishing.",
    "`livefeed ctl resume` takes the end back.",
)
MALFORMED_TIME = ProblemType(
    "malformed-time",
    400,
    "a published document",
    "Malformed Time",
    "`Livefeed-Publish-At` has no time in the form of RFC 3339 with a zone, or stands in a request that sends no whole "
    "document.",
    "Send a time such as `2026-11-30T18:00:00Z`, with `PUT`.",
    "Nothing.",
)
TIME_OUT_OF_RANGE = ProblemType(
    "time-out-of-range",
    422,
    "a published document",
    "Time Out of Range",
    "The time of the embargo has passed by the clock of livefeed, or is more than a year ahead. Nothing is set aside.",
    "Compare the clocks; `detail` has that of livefeed. To publish now, leave the time out.",
    "Check the clock of the machine.",
)
TOO_MANY_EMBARGOES = ProblemType(
    "too-many-embargoes",
    429,
    "a published document",
    "Too Many Embargoes",
    "The feed has as many embargoes as it may have, or their documents are too large together. Nothing is set aside.",
    "Come back when one of them is over.",
    "`livefeed ctl embargo` lists them, and `livefeed ctl embargo cancel ID` cancels one.",
)
STORE_NOT_OPEN = ProblemType(
    "store-not-open",
    503,
    "a published document",
    "Store Not Open",
    "The store takes no requests at this moment: another process takes it over, or too many writes wait.",
    "Come back after `Retry-After`, and send the request again. It has changed nothing.",
    "If it lasts for more than some seconds, the log has the reason; a disk may hang.",
)
STORE_FULL = ProblemType(
    "store-full",
    507,
    "a published document",
    "Disk Full",
    "The disk of the state directory is full, so the document was not stored. Watchers still see the last one.",
    "Come back later. Nothing was changed.",
    "Free space on the file system of `state_dir`, then publish again.",
)
STORE_FAILED = ProblemType(
    "store-failed",
    500,
    "a published document",
    "Store Failed",
    "The disk or the file system has refused the write or the read. Nothing was changed, as far as the system says.",
    "Read the document before you write again.",
    "`detail` and the log have the file and the reason of the system: permissions, a file system that is read-only, a "
    "damaged disk.",
)

TYPES = types_in(globals())
"""The types of this module, in the order in which lists show them."""

ALL = (*problems.TYPES, *TYPES)
"""The types of both ports, in this order."""
