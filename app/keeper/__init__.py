"""The trusted core: the first process, small enough to be read in one sitting.

`main` (one instance, children, revive, quit), `watchdog` (does the engine still answer), `listeners` (the ports), `broker` (the only way
out), `consent` (whether a person wanted it: `grants` of now, what is `remembered`), `watch` (which sockets there really are), `vault`
(keys, asked of the short-lived child in `vault_child`), `writers` (what the window exports, written by the short-lived child in
`writer_child`), `links` (pages that may be opened), `proof` (does our own listener answer).

Standard library only, and no event loop: it must stay under 25 MB, and what it does is little. It knows no table, no page, no provider's
dialect; and no prompt or reply ever passes through it.
"""
