"""The dialects, sans-io: bytes in, bytes out. What a client program says, what a provider answers, and what of it we must know.

What lives here: reading a request body (`body`), the dialects (`openai_chat`, `anthropic`; one file each, none knows another), server-sent
events (`sse`), the passage of one exchange (`bridge`), token counts (`usage`), and the removal of keys from providers' messages
(`redact`). What must not: sockets, clocks, tasks, headers of a connection, names of accounts.

The public surface, in the order in which an exchange uses it:

    spot = dialects.place(path, anthropic=...)      # Place(dialect, endpoint, model) or None: which dialect, by the raw path
    dialects.speaker(path, anthropic=...)           # the dialect in which to refuse a path that is no endpoint

    call = body.understand(raw, endpoint)           # Understood(model, stream, usage_asked, members); AppError body_not_json,
                                                    #   body_too_deep, body_invalid, body_names_host, model_missing
    relay = bridge.Relay(dialect, endpoint, raw, call, model, ask_usage=..., secrets=(key,))
    relay.request_body                              # bytes for the provider: `raw` but for model and stream_options

    relay.feed(chunk) -> bytes                      # streams: complete events only, so anything may be written between two calls.
                                                    #   AppError provider_broken when one event exceeds 10 MiB
    relay.finish() -> bytes                         # the provider ended the stream
    relay.reply(body) -> bytes                      # a whole 2xx reply. AppError provider_not_json (a captive portal's HTML)
    relay.refusal(status, body, call_id) -> Refusal # a reply that is not 2xx: status, redacted body, AppError for the ledger

    relay.usage: Usage, relay.tokens: Tokens        # what was used so far, at any moment; estimated when the provider sent none
    relay.started: bool                             # an event that is no error went through; before that an error can be a status
    relay.error: AppError | None                    # the provider reported an error inside a 200
    relay.complete: bool                            # the reply came to its proper end

    dialect.error_body(error, call_id) -> bytes     # an AppError as a JSON reply; the status is `error.status`
    dialect.error_event(error, call_id) -> bytes    # the same inside a stream, with what ends the stream
    dialect.ping() -> bytes                         # keepalive between two events
    dialect.models(entries) -> bytes                # GET models; entries: ModelEntry(id, owner, created_s)
    dialect.model(entry) -> bytes                   # GET models/{id}
    dialect.read_models(body) -> tuple[str, ...]    # a provider's own list; AppError provider_not_json

A passage between two dialects will have the same members as `Relay`: whoever drives an exchange does not ask which one it holds.
"""
