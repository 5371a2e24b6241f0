"""Start a task, keep a reference to it, give it a name, and say in the log when it fails."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

from app.core.errors import AppError

_log: Final = logging.getLogger(__name__)
_running: Final[set[asyncio.Task[Any]]] = set()


def start(work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
    """Run `work` on the current loop. An exception is logged by type and place; cancellation is normal and silent."""
    task = asyncio.get_running_loop().create_task(work, name=name)
    _running.add(task)
    task.add_done_callback(_finished)
    return task


def _finished(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if task.cancelled() or (error := task.exception()) is None:
        return
    if isinstance(error, AppError):
        _log.info("task %s: %s", task.get_name(), error.code)  # expected, and told to whoever waits for it
    else:
        _log.error("task %s failed", task.get_name(), exc_info=error)
