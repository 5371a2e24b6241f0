"""The figures for a person and for a program."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tests.bench.figures import Figure


def table(machine: dict[str, object], command: str, figures: Sequence[Figure]) -> str:
    """One line per figure: the gateway's median, its lowest and highest round, the other sides, and the goal."""
    lines = [f"command   {command}"]
    lines += [f"{name:<9} {value}" for name, value in machine.items()]
    head = f"{'':<46}{'Gatehouse':>10} {'low - high':>19}{'nginx':>10}{'direct':>10}  {'unit':<4} goal"
    part = ""
    for figure in figures:
        if figure.part != part:
            part = figure.part
            lines += ["", f"{part:-<120}", head]
        lines.append(f"{figure.name:<46}{figure.refused}" if figure.refused else _line(figure))
    return "\n".join(lines)


def as_json(machine: dict[str, object], command: str, figures: Sequence[Figure]) -> str:
    return json.dumps({"command": command, "machine": machine, "figures": [figure.facts() for figure in figures]}, indent=1)


def _line(figure: Figure) -> str:
    ours = figure.values.get("gateway", [])
    spread = f"{_number(min(ours))} - {_number(max(ours))}" if len(ours) > 1 else ""
    cells = [_number(figure.median(side)) for side in ("gateway", "nginx", "direct")]
    line = f"{figure.name:<46}{cells[0]:>10} {spread:>19}{cells[1]:>10}{cells[2]:>10}  {figure.unit:<4} "
    if figure.goal is not None:
        aim = "" if figure.aim is None else f", aim {figure.aim:g}"
        line += f"<= {figure.goal:g}{aim}: {'met' if figure.met else 'MISSED'}"
    return line.rstrip()


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
