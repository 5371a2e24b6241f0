"""The dialects, sans-io: bytes in, bytes out. What a client program says, what a provider answers, and what of it we must know.

What lives here: reading a request body (`body`), the four dialects, server-sent events (`sse`), the passage of one exchange (`bridge`),
the neutral exchange between two dialects (`chat`), token counts (`usage`, `count`), and the removal of keys from providers' messages
(`redact`) and of what identifies a person from requests (`identifiers`). What must not: sockets, clocks, tasks, headers of a connection,
names of accounts.

A dialect is several files, none of which knows another dialect (`openai_family` holds what OpenAI's two share, `anthropic_schema` which
JSON schemas Anthropic takes):

    openai_chat  openai_responses  anthropic  gemini      what is known without translating: usage, errors, the end, lists (`Dialect`)
    *_read     a request into the neutral call            refuses what has the wrong shape (`shape`)
    *_write    a request out of it                        names what the target cannot express, refuses what would change the meaning
    *_answer   replies and streams, both ways             (Responses: *_stream)
    dialogue, dialogues                                   the seam between them, and the list of them (`DIALOGUES`)
    prepare    what holds for every target                own features left out, tools renamed, free-text tools made functions, and back
    carry      seals of thoughts                          through fields that every client returns untouched

The public surface, in the order in which an exchange uses it:

    spot = dialects.place(path, anthropic=..., query=...)   # Place(dialect, endpoint, model, stream, array, item, methods) or None
    dialects.speaker(path, anthropic=...)           # the dialect in which to refuse a path that is no endpoint

    call = body.understand(raw, endpoint, model=spot.model, stream=spot.stream)
                                                    # Understood(model, stream, usage_asked, members); AppError body_not_json,
                                                    #   body_too_deep, body_invalid, body_names_host, model_missing
    way = bridge.passage(client_dialect, provider_dialect, endpoint, raw, call, model, ask_usage=..., redactor=..., max_tokens=...,
                         quirks=..., call_id=..., now_s=..., array=spot.array)
                                                    # Relay (one dialect: `raw` but for model and stream_options) or Bridge;
                                                    #   AppError body_invalid, not_expressible
    way.request_body, way.endpoint, way.headers     # what the provider gets, where under its base URL, and with which headers besides
    way.dropped                                     # what it cannot be told: for `x-gatehouse-dropped` and the row
    way.content_type                                # of a stream, for the client

    way.feed(chunk) -> bytes                        # streams: complete events only, so anything may be written between two calls.
                                                    #   AppError provider_broken when one event exceeds 10 MiB
    way.finish() -> bytes                           # the provider ended the stream
    way.ping() -> bytes                             # keepalive between two events
    way.error_event(error, call_id) -> bytes        # an error inside the stream, with what ends it
    way.reply(body) -> bytes                        # a whole 2xx reply. AppError provider_not_json (a captive portal's HTML); a Bridge
                                                    #   also raises the error that a 200 reports
    way.refusal(status, body, call_id) -> Refusal   # a reply that is not 2xx: status, redacted body, AppError for the ledger

    way.usage: Usage, way.tokens: Tokens            # what was used so far, at any moment; estimated when the provider sent none
    way.started: bool                               # an event that is no error went through; before that an error can be a status
    way.error: AppError | None                      # the provider reported an error inside a 200, or (Bridge) broke off
    way.complete: bool                              # the reply came to its proper end

    count.estimate(endpoint, raw) -> bytes          # the answer of an endpoint in count.COUNTS where the provider has none
    dialect.error_body(error, call_id) -> bytes     # an AppError as a JSON reply; the status is `error.status`
    dialect.models(entries) -> bytes                # GET models; entries: ModelEntry(id, owner, created_s)
    dialect.model(entry) -> bytes                   # GET models/{id}
    dialect.read_models(body) -> tuple[str, ...]    # a provider's own list; AppError provider_not_json

Whoever drives an exchange does not ask whether it holds a Relay or a Bridge.
"""
