"""The whole program in a network of its own, where a packet to anything undeclared cannot hide.

`inside` is the story, run by `unshare -nm` (root) or `unshare -Urnm` (any user); `world` is that network: an exit nobody answers on, a
resolver that notes every name, two providers with certificates the machine trusts; `capture` reads every packet and judges it; `child`
starts the program's real children and, when told to, plants leaks in them. `tests/journeys/test_nothing_else_leaves.py` asserts.
"""
