"""Gatehouse: a private LLM gateway on your own machine, in a desktop app.

The package map, from the bottom up: `core` (words), `wire` and `system` (dialects; operating systems),
`store`, `egress`, `providers`, `control` (one resource each), and on top the three processes that never import
each other: `keeper`, `engine`, `gui`. Import rules are in `pyproject.toml` and are checked by every test run.
"""

__version__ = "0.1.0"
