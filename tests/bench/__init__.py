"""``make bench``: livefeed against today's servers, on the same document, each on one core, the load on the other."""
