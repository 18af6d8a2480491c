"""The Redis family: a document in one server, behind sentinels, or in a cluster, of Redis or Valkey.

url             what an operator writes, read into its parts
replies         what a server answers, read into values; pure
connection      one connection: TLS, user and password, one question at a time
values          what is asked for, and how the answer becomes a document
replication     whether a server is a replica that has lost its master
trail           the names on the way to a connection, which may lead elsewhere by now
servers         who is asked: one server
sentinel        who is asked: the master that sentinels know
cluster         who is asked: the node of a cluster that has the key
announcements   a second connection, on which changes are told of
source          the source that is made of these
"""

from livefeed.sources.redis.source import RedisSource

__all__ = ["RedisSource"]
