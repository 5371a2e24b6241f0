"""The cycle collector never deletes a widget on another thread."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator

import pytest
from PySide6.QtWidgets import QApplication, QWidget

from app.gui.sweeper import Sweeper


@pytest.fixture
def sweeper(application: QApplication) -> Iterator[Sweeper]:
    yield Sweeper()
    gc.unfreeze()


class _Knot(QWidget):
    """A widget that only the cycle collector can find."""

    def __init__(self) -> None:
        super().__init__()
        self.itself = self


def test_what_another_thread_allocates_starts_no_collection(sweeper: Sweeper) -> None:
    knot = weakref.ref(_Knot())
    thread = threading.Thread(target=lambda: [[number] for number in range(200_000)])
    thread.start()
    thread.join()
    assert knot() is not None
    for _ in range(800):
        sweeper.sweep()
    assert knot() is None


def test_the_long_look_waits_while_a_pause_would_be_noticed(application: QApplication) -> None:
    looked_at = True
    sweeper = Sweeper(looked_at=lambda: looked_at)
    seen: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            seen.append(info["generation"])

    gc.callbacks.append(note)
    try:
        for _ in range(100):
            sweeper.sweep()
        assert set(seen) == {1}
        looked_at = False
        sweeper.sweep()
        assert seen[-1] == 2
    finally:
        gc.callbacks.remove(note)
        gc.unfreeze()
