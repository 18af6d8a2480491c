"""The site: what twisted.web serves of a feed, and what livefeed refuses that twisted.web would let through."""
