"""Makes ``twistd livefeed`` known. Every twistd on the machine reads this file, so it imports nothing of livefeed."""

from twisted.application.service import ServiceMaker

livefeed = ServiceMaker("livefeed", "livefeed.tap", "Serve one live JSON document over HTTPS and WebSocket", "livefeed")
