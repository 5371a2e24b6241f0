"""The engine process: one asyncio loop that answers client programs and the control channel. No Qt, no keyring, no socket of its own.

It lives on descriptors that the keeper hands it: two or three listening sockets at boot, a connected one per dial. It starts no
process and talks to no D-Bus, so that the kernel can be asked to refuse both.

    main      boot, wiring, drain                 exchange  one proxied request, as numbered steps
    lifeline  the line to the keeper              routing   model name -> account and model (pure)
    server    listeners, limits, one clock        accounts  accounts and their keys in memory
    web       what server hands to handlers       clients   who is asking
    safety    Host, Origin, content type (pure)   echo      the built-in model
    recorder  journal, then ledger in batches     control   the control API; `figures` and `audit_routes` are parts of it
    bus       snapshot and events for windows     tasks     start a task and keep it
    opening   the store, at start                 entry     one account at work
    auditing  signing the audit log               network   what is known of the network; `declared`: who asked for it
    verifying how far a verification is           audit_keys, audit_answers, audit_routes   parts of auditing and of control
    upkeep    what is done to old rows            status    how the engine is doing
    working   what the loop is at, for the keeper
"""
