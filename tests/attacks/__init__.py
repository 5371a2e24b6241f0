"""A kit that attacks an installed Gatehouse: `python3 -m tests.attacks`. See README.md in this folder. Standard library only."""
