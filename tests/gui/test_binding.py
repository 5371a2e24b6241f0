"""The binding to Qt counts references right: PySide6 6.12.0 did not before Python 3.12 (PYSIDE-3474), and the window aborted."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest
from PySide6.QtCore import QObject, Signal
from PySide6.QtWidgets import QApplication, QWidget


class _Sender(QObject):
    sent = Signal(object)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="None and True cannot be given away any more")
def test_calls_into_qt_do_not_give_away_none_or_true(application: QApplication) -> None:
    sender, widget = _Sender(), QWidget()
    sender.sent.connect(lambda _value: None)
    calls: dict[str, Callable[[], object]] = {
        "emit": lambda: sender.sent.emit(1),
        "nothing": widget.parentWidget,
        "property": lambda: widget.property("none"),
        "event loop": application.processEvents,
    }
    lost = {}
    for name, call in calls.items():
        before = sys.getrefcount(None) + sys.getrefcount(True)
        for _ in range(100):
            call()
        lost[name] = before - sys.getrefcount(None) - sys.getrefcount(True)
    assert not {name: count for name, count in lost.items() if count >= 90}
