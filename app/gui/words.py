"""Visible text: every sentence of the window passes through here, so that it can be translated."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication


def tr(text: str, /, **values: object) -> str:
    """`text` in the person's language, with `{name}` replaced by `values`. The values are never parsed again."""
    words = QCoreApplication.translate("Gatehouse", text)
    return words.format(**values) if values else words


def plural(count: int, one: str, many: str, /, **values: object) -> str:
    """`one` or `many`, both may say `{n}`: the count with thousands separated."""
    return tr(one if count == 1 else many, n=f"{count:,}", **values)
