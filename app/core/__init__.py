"""The words: values that every process shares.

What lives here imports nothing of ours, does no I/O and reads no clock: time and randomness arrive as arguments.
`secret` and `errors` also keep clear of third-party packages, because the keeper (which must stay small) uses them.
"""
