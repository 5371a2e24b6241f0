"""Everything that differs between operating systems, and nothing that decides what the product does.

`paths` (folders and files of one installation), `folders` (made private, and refused where others had a hand in them), `files` (opened
through no link), `sink` (new files for a person, named when they are whole: `renaming`), `targets` (where a window may have them),
`places` (where the sockets are), `owners`, `access_list` (who could have put something there), `peers` (who is at the other end of a
local connection), `channel` (framed messages and descriptors between our processes), `children` (starting them), `environment` (what they
inherit), `sockets` (listening, connected, counted), `instance` (one per data folder), `processes` (facts about processes), `effort` (what
they compute), `shared_page` (memory that two of ours share), `keyrings` (the keyring of the system; used by the vault child alone),
`shortcut` (menu entries), `names` (look-ups), `sandbox` (what the kernel refuses us: `seccomp` with `bpf` and `system_calls`, `landlock`;
tried by `neighbours` and `reach`), `leaks` (trying to get out), `socket_table` (who has which socket).

`sys.platform` is read here and nowhere else. Nothing here knows a provider, a page or a table.
"""
