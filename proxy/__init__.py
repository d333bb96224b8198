"""Token Proxy: plain HTTP in, authorized HTTP out.

A request goes down `forwarding` once, a token comes up `tokens` once; `model.TokenSource` is the
seam between them, and `app` the only module that knows both. The map:

    model, errors     shared nouns; every error that we answer with
    config            what can be set, and what is wrong with a file
    telemetry         what operators see: metrics and log
    tokens            pure: lease, grant, client_authentication; I/O: endpoint; conductor: cache
    forwarding        pure: routing, message; I/O: connection, pool; conductor: gateway
    admin, commands   the second listener; the command line
"""

__version__ = "0.1.0"
