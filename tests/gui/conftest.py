"""Real widgets on Qt's offscreen platform, against a real control server."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import pytest

os.environ["QT_QPA_PLATFORM"] = "offscreen"

from PySide6.QtCore import QCoreApplication, QEvent
from PySide6.QtWidgets import QApplication

from tests.gui.desk import Desk, Server

Wait = Callable[[Callable[[], object]], None]


@pytest.fixture(scope="package", autouse=True)
def collected_on_this_thread() -> Iterator[None]:
    """As in the program (app/gui/sweeper.py): on another thread the collector would delete widgets."""
    gc.disable()
    yield
    gc.collect()
    gc.enable()


@pytest.fixture(scope="session")
def application() -> QApplication:
    from app.gui.main import make_application

    return make_application()


@pytest.fixture(autouse=True)
def no_slot_fails(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An exception in a slot does not reach the test by itself: Qt prints it and goes on."""
    failures: list[BaseException] = []

    def note(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
        failures.append(error)

    monkeypatch.setattr(sys, "excepthook", note)
    yield
    if failures:
        raise failures[0]


@pytest.fixture
def wait(application: QApplication) -> Wait:
    """Runs the event loop until something is true; fails after 30 s."""

    def until(true: Callable[[], object]) -> None:
        end = time.monotonic() + 30
        while not true():
            assert time.monotonic() < end, "it did not happen within 30 s"
            application.processEvents()
            time.sleep(0.005)

    return until


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


@pytest.fixture
def desk(application: QApplication, server: Server, data_dir: Path, wait: Wait) -> Iterator[Desk]:
    """A window on the server's snapshot, with a keeper that only notes what it is told."""
    made = Desk(server, data_dir)
    made.show()
    made.prove()
    wait(lambda: made.session.state.live and made.session.state.snapshot is not None)
    wait(lambda: made.session.state.recent_read or server.state != "running")
    yield made
    made.end()
    for _ in range(3):
        application.processEvents()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete.value)
    gc.collect()
