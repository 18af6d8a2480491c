"""The servers that are compared, one program a module; ``tests.bench.servers`` is their registry.

- ``server``: a server's processes, their time and memory, and what all are started with.
- ``livefeed``: livefeed, in the ways in which it is compared.
- ``nginx``: nginx, and nginx with nchan.
- ``h2o``: h2o.
- ``axum``: axum with rustls and tungstenite, of which ``tests/bench/peers/rust`` is the program.
- ``caddy``: Caddy.
- ``centrifugo``: Centrifugo, for subscribers alone.
- ``golang``: Go's net/http, of which ``tests/bench/go`` is the program.
- ``varnish``: Varnish behind hitch.
- ``twistedweb``: twisted.web without livefeed, of which ``tests/bench/twisted_web.py`` is the program.
"""
