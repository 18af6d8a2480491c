"""twisted.web as its documentation has it: a Resource behind listenSSL."""

import sys
from pathlib import Path

from twisted.internet import reactor, ssl
from twisted.web.resource import Resource
from twisted.web.server import Site

port, plain_port, cert, key, document = sys.argv[1:]
DATA = Path(document).read_bytes()


class Feed(Resource):
    """Answers with the document."""

    isLeaf = True

    def render_GET(self, request):
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"cache-control", b"public, max-age=1")
        request.setHeader(b"access-control-allow-origin", b"*")
        return DATA


class Quiet(Site):
    """Without the access log, which none of the others writes either."""

    def log(self, request):
        pass


root = Resource()
root.putChild(b"feed", Feed())
reactor.listenSSL(
    int(port), Quiet(root), ssl.DefaultOpenSSLContextFactory(key, cert), backlog=1024, interface="127.0.0.1"
)
reactor.listenTCP(int(plain_port), Quiet(root), backlog=1024, interface="127.0.0.1")
reactor.run()
