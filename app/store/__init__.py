"""The only package that knows SQL: the encrypted database, and the journal that covers what is not in it yet.

`database` opens the file and hands out transactions (`cipher` keys the connections, `pool` keeps them, `migrations` makes the tables
by its frozen `steps`);
`ledger`, `rollups`, `audit`, `accounts`, `clients` and `hosts` are the nouns, each a set of functions that take a connection; `words`
keeps texts that repeat once, `days` cuts time into local days. `search` finds rows by any filter (over `families` of them), `usage`
sums them over any time (over `rollups` and `daily`), `minutes` counts them over a short one: none gets slower as the ledger grows.
`forms` says what the digest of a batch covers,
`retention` lets old rows go, `repricing` works their costs out again, `rows_out` writes them as a file. `sealing` signs the audit log,
`checkpoints` holds it against what was signed, `exporting` takes it out, and `refusals` finds in it what a row was refused for. `egress`
is the second book, of connections. `journal` is a folder of sealed records
beside the database and knows no SQL (`segments` is the form of its files, `journal_form` of its records, `replay` reads them at start).

Everything here is synchronous and may wait for the disk, so it never runs on the event loop; `Journal.opened`, `closed` and
`committed` alone are made for it. Errors of SQLite and of the file system become `AppError` here. No decision about requests belongs
here, and no secret: provider keys live in the vault, client keys only as their digest.
"""
