"""HTTP connections and their answers. How a feed is followed is in ``livefeed.delivery``.

- ``access_log``: one line for each answered request, also for those that replay answers.
- ``answers``: the answer as a whole, and the small JSON body of errors.
- ``channel``: one connection: the data that comes in, and the requirements of the fast transport on it.
- ``channel_state``: the state of a connection; time limits, closing, head checks, pipelining, handing over and channel
  build on it in this order.
- ``closing``: the ends of a connection, and the refusal of bytes of which no request is made.
- ``coded``: small content that is compressed once.
- ``conditional``: conditional requests. Pure.
- ``cors``: the origins whose pages may read answers.
- ``credentials``: the token of a request.
- ``deadline``: the time limit of a connection on a transport that sweeps none.
- ``failures``: counts wrong tokens of each address.
- ``forwarded``: the client's address in X-Forwarded-For or Forwarded.
- ``handing_over``: the way of a connection to another protocol.
- ``head_checks``: heads that are refused although twisted.web would accept them.
- ``interfaces``: the requirements of channels and requests on the objects around them.
- ``last_answers``: answers that end their connections and say when the client comes back, during a stop.
- ``negotiation``: the fields of a request, parsed once. Pure.
- ``operator_problems``: the types of problems that only the operator's port has.
- ``pipelining``: the turns of a client's requests, and back-pressure.
- ``plain_http``: the answer to clients without TLS on a port with TLS.
- ``prepared``: the heads of a document's answers, made once.
- ``problem_type``: a kind of refusal, with all that its page says. Pure.
- ``problems``: the types of problems on the public port.
- ``reconnect_slots``: the delays after which refused and released clients come back.
- ``refusals``: the refusal of event streams.
- ``rendering``: one answer for many requests.
- ``replay``: answers that may be repeated.
- ``request``: one request: limits, and the answer to a failure.
- ``resources``: the base of all resources, and small content such as pages.
- ``site``: the factory of channels.
- ``time_limits``: the deadline of a connection.
- ``uncounted``: a site for the requests with which livefeed checks itself.
- ``upgrades``: handshakes of WebSockets that are accepted without a channel.
- ``whole_heads``: plain request heads that arrive whole, read in one pass.
"""
