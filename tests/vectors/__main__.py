"""Writes ``vectors.json`` anew."""

from tests.vectors.layout import FILE, written

if __name__ == "__main__":
    FILE.write_text(written(), "ascii")
