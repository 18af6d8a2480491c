"""The Redis family: a key of one server, behind sentinels, or in a cluster, of Redis or Valkey.

- ``announcements``: a second connection, on which the server reports changes.
- ``cluster``: which server is asked: the node of a cluster that has the key.
- ``connection``: one connection: TLS, user and password, one command at a time.
- ``replication``: whether a server is a replica that has lost its master.
- ``replies``: a server's replies, read into values; pure.
- ``sentinel``: which server is asked: the master that the sentinels know.
- ``servers``: which server is asked: the one server of the URL.
- ``source``: the source that is made of these.
- ``trail``: the names on the way to a connection, which may lead elsewhere by now.
- ``url``: the URL, read into its parts.
- ``values``: the command that reads the key, and the document in its reply.
"""

from livefeed.sources.redis.source import RedisSource

__all__ = ["RedisSource"]
