"""twisted.web as its documentation has it: a Resource behind listenSSL, with a tag, and gzip if asked for."""

import hashlib
import sys
from pathlib import Path

from twisted.internet import reactor, ssl
from twisted.web.http import CACHED
from twisted.web.resource import EncodingResourceWrapper, Resource
from twisted.web.server import GzipEncoderFactory, Site

port, plain_port, cert, key, document, ciphersuite = sys.argv[1:]
DATA = Path(document).read_bytes()
ETAG = b'"%s"' % hashlib.sha256(DATA).hexdigest().encode()


class Feed(Resource):
    """Answers with the document."""

    isLeaf = True

    def render_GET(self, request):
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"cache-control", b"public, max-age=1")
        request.setHeader(b"access-control-allow-origin", b"*")
        return b"" if request.setETag(ETAG) is CACHED else DATA


class Quiet(Site):
    """Without the access log, which none of the others writes either."""

    def log(self, request):
        pass


root = Resource()
root.putChild(b"feed", EncodingResourceWrapper(Feed(), [GzipEncoderFactory()]))
tls = ssl.DefaultOpenSSLContextFactory(key, cert)
tls.getContext().set_tls13_ciphersuites(ciphersuite.encode())
reactor.listenSSL(int(port), Quiet(root), tls, backlog=1024, interface="127.0.0.1")
reactor.listenTCP(int(plain_port), Quiet(root), backlog=1024, interface="127.0.0.1")
reactor.run()
