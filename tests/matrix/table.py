"""The table of what works, as the README carries it."""

from __future__ import annotations

from collections.abc import Mapping

BEGIN, END = "<!-- dialects: begin -->", "<!-- dialects: end -->"

# The client has no words for the feature.
NOT_ASKED = "-"
# It works, with this to be known.
BUT = "but "

# (client, provider, feature) -> "" when it works, NOT_ASKED, BUT and what, or why it is not possible.
Results = Mapping[tuple[str, str, str], str]


def table(results: Results) -> str:
    """Markdown: a line per feature, a column per client; each cell says at which providers. What is not possible is said below."""
    clients = list(dict.fromkeys(client for client, _, _ in results))
    targets = list(dict.fromkeys(target for _, target, _ in results))
    features = list(dict.fromkeys(feature for _, _, feature in results))
    notes: dict[str, int] = {}

    def cell(client: str, feature: str) -> str:
        found = {target: results.get((client, target, feature), NOT_ASKED) for target in targets}
        if set(found.values()) == {NOT_ASKED}:
            return NOT_ASKED
        works = [target for target, said in found.items() if not said or said.startswith(BUT)]
        marks = dict.fromkeys(notes.setdefault(said, len(notes) + 1) for said in found.values() if said and said != NOT_ASKED)
        numbers = "".join(f" ({mark})" for mark in marks)
        missing = [target for target in targets if target not in works]
        if not missing:
            return "all" + numbers
        if not works:
            return "none" + numbers
        return (f"only {', '.join(works)}" if len(works) < len(missing) else f"not {', '.join(missing)}") + numbers

    lines = [f"| | {' | '.join(f'`{client}`' for client in clients)} |", "|---|" + "---|" * len(clients)]
    lines += [f"| {feature} | {' | '.join(cell(client, feature) for client in clients)} |" for feature in features]
    lines.append("")
    for why, number in notes.items():
        lines.append(f"{number}. {why.removeprefix(BUT)}." if why.startswith(BUT) else f"{number}. Not possible, because {why}.")
    return "\n".join(lines) + "\n"


def carried(readme: str) -> str:
    """The table that `readme` holds; "" if there is none."""
    _, mark, rest = readme.partition(BEGIN + "\n")
    return rest.partition(END)[0] if mark else ""
