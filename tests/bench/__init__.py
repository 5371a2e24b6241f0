"""What Gatehouse costs, measured on this machine: real gateway, real sockets, a local provider, a load generator. Not run as a test.

    python -m tests.bench                   everything, about nine minutes
    python -m tests.bench --quick           fewer and shorter rounds
    python -m tests.bench --only streams    one part (may be given several times)
    python -m tests.bench --json            the same numbers for a program

Everything is on: client key, journal, ledger, price, door, local web safety. A part is refused, not rounded, when a single reply was not
200, when a process was replaced meanwhile, or when a request has no row in the ledger.

How to read it. Each number is the median of several rounds, with the lowest and highest beside it. In every round each side gets the same
load in turn: `Gatehouse`, `nginx` (a plain reverse proxy that looks at nothing, the least a proxy can cost) and `direct` (nobody in
between: what the generator and the provider manage themselves, so the ceiling of the rate). On a shared machine compare sides within one
run rather than two runs; `pace_ms`, a fixed piece of work, says how quick the machine was at the beginning and at the end.

requests      CPU of engine and keeper per request, with the commit to the ledger that follows; requests per second, as many as go, in a
              closed loop. Requests are about 1 KB, with the headers of the official Python SDK.
latency       one request at a time. `added`: the side's percentile less the direct one's of the same round.
first-chunk   streams, one at a time, until the first piece of the body.
large         the same as requests with 200 KB of body, as agents send them.
streams       a thousand at once, 20 chunks a second each. CPU per chunk is taken between the moments when the last stream has begun and
              the first one ends. `between chunks`: at the client; the direct one is the timer of the provider and the generator's own.
translation   CPU of a chunk of text in `app.wire` alone, relayed and between any two dialects.
leaving       from the client's `close()` until the provider sees its connection end.
start         from the command to the first 200 of /health/liveness, to the line `ready`, and to the first reply of the built-in model,
              with an existing data folder and compiled modules. The vault is one with a passphrase, whose key is stretched on purpose.
memory        resident size (and in brackets the share of shared pages) on a fresh gateway, then after requests and streams.
window        from the command to the window mapped and painted, on a virtual display.
ledger        95th percentiles of every question of Activity and Usage, of ledgers of a million and ten million rows over a year that
              `seed_ledger` makes (about a minute a million), recording and bytes a row. Not part of a run without `--only ledger`.
retention     what a client and somebody who changes a setting feel while nine tenths of a ledger go, beside the same a moment before.
              Not part of a run without `--only retention`.

What lives here: `machine`, `processes` (CPU, memory, starting and ending), `generator` and `load`, `nginx`, `rig` (what is measured on),
`figures` and `report`, and one file per part. What must not: checks of behaviour, which are tests.
"""
