"""The table of what works, as the README carries it."""

from __future__ import annotations

from collections.abc import Mapping

BEGIN, END = "<!-- dialects: begin -->", "<!-- dialects: end -->"

# The client has no words for the feature.
NOT_ASKED = "-"

# (client, provider, feature) -> "" when it works, else why it is not possible.
Results = Mapping[tuple[str, str, str], str]


def table(results: Results) -> str:
    """Markdown: one table per client, one line per feature, one column per provider; what is not possible is said below."""
    clients = list(dict.fromkeys(client for client, _, _ in results))
    targets = list(dict.fromkeys(target for _, target, _ in results))
    features = list(dict.fromkeys(feature for _, _, feature in results))
    notes: dict[str, int] = {}
    lines = []
    # Clients of which everything is the same share a table.
    groups: dict[tuple[tuple[str, ...], ...], list[str]] = {}
    for client in clients:
        found = tuple(tuple(results.get((client, target, feature), NOT_ASKED) for target in targets) for feature in features)
        groups.setdefault(found, []).append(client)
    for rows, names in groups.items():
        lines += ["", f"| {', '.join(f'`{name}`' for name in names)} | {' | '.join(targets)} |", "|---|" + "---|" * len(targets)]
        for feature, row in zip(features, rows, strict=True):
            cells = ["yes" if not why else why if why == NOT_ASKED else f"no ({notes.setdefault(why, len(notes) + 1)})" for why in row]
            lines.append(f"| {feature} | {' | '.join(cells)} |")
    lines.append("")
    lines += [f"{number}. Not possible, because {why}." for why, number in notes.items()]
    return "\n".join(lines).strip() + "\n"


def carried(readme: str) -> str:
    """The table that `readme` holds; "" if there is none."""
    _, mark, rest = readme.partition(BEGIN + "\n")
    return rest.partition(END)[0] if mark else ""
