"""What each upstream is: data first, code only for real differences. Pure.

What lives here: the shape of a row and the requests built from it (`provider`), the rows (`catalogue`), and what things cost
(`prices`). What must not: sockets, keys at rest, memory of requests.

The public surface:

    catalogue.KINDS: Mapping[str, Provider]         # by kind id, in the order in which a person is offered them
    catalogue.kind(id) -> Provider                  # AppError kind_unknown
    provider.base_url(row, given) -> str            # what Account.base_url holds; AppError url_invalid
    provider.speech(row, account, dialect, endpoint) -> Speech | None   # how this account speaks a dialect there; None: it does not
    provider.request(row, account, dialect, endpoint, headers, secret, model=...) -> Outgoing
                                                    # AppError dialect_mismatch, provider_key_missing
    provider.check(row, account, secret) -> Check        # the request that tests a key; `then`: the next one, e.g. the list of models
    provider.reply_headers(row, dialect, pairs) -> tuple of pairs   # what goes back to the client
    prices.cost(kind, model, usage, at_us) -> Cost(microusd, price) | None      # usage: wire.Usage or core Tokens; None: unpriced
    prices.version() -> str                         # date of the price file

`Outgoing.headers` is everything but `host`, `accept-encoding` and framing, which belong to the connection.
"""
