"""MongoDB, or the server that takes its place: one document of a collection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.integration.harness import HOST
from tests.integration.mongo import COLLECTION, DATABASE, MongoStore
from tests.integration.store import Store, registered

if TYPE_CHECKING:
    from pathlib import Path


@registered("mongodb")
class DocumentStore(Store):
    """A document, found by its ``_id``."""

    has_middle = True
    # pymongo reads one answer of the server whole, up to 16 MiB; test_mongo.py tests such an answer.
    can_be_large = False
    says_hanging = "no answer within (?:0.8|1) s"
    # The relay in front of it still accepts connections, and pymongo retries for the whole time that a pull may take.
    says_dead = f"cannot connect|lost|{says_hanging}"
    says_missing = "no document matches the filter"
    flood = b"\x00\x00\xa0\x00" + b"\x01" * 12

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._mongo = MongoStore(directory)

    @property
    def servers(self) -> list[MongoStore]:
        """Store API."""
        return [self._mongo]

    def source(self, port: int | None) -> str:
        """Store API."""
        query = "filter=%7B%22_id%22%3A%22results%22%7D&watch=false"
        return f"mongodb://{HOST}:{port}/{DATABASE}/{COLLECTION}?{query}"

    def document(self, number: int) -> bytes:
        """Store API."""
        return b'{"_id":"results","n":%d,"a":1.5,"c":"\xc3\xbc"}' % number

    def put(self, number: int) -> None:
        """Store API."""
        self._mongo.set_document({"n": number, "a": 1.5, "c": "ü"})

    def remove(self) -> None:
        """Store API."""
        self._mongo.remove_document()
