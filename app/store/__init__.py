"""The only package that knows SQL: the encrypted database, and the journal that covers what is not in it yet.

`database` opens the file and hands out transactions; `tables` names its columns, `migrations` makes them; `ledger`, `rollups`, `audit`,
`accounts`, `clients` and `hosts` are the nouns, each a set of functions that take a connection; `words` keeps texts that repeat once.
`journal` is a folder of sealed records beside the database and imports no SQL. `days` cuts time into local days.

Everything here is synchronous and may wait for the disk, so it never runs on the event loop; `Journal.opened` and `Journal.closed`
alone are made for it. Errors of SQLite and of the file system become `AppError` here. No decision about requests belongs here, and
no secret: provider keys live in the vault, client keys only as their digest.
"""
