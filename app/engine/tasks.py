"""Start a task, keep a reference to it, give it a name, and say in the log when it fails. End one, and say why."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final
from weakref import WeakKeyDictionary

from app.core.errors import AppError
from app.core.stuck import TASK
from app.engine.working import Work

_log: Final = logging.getLogger(__name__)
_running: Final[set[asyncio.Task[Any]]] = set()
_cut: Final[WeakKeyDictionary[asyncio.Task[Any], AppError | None]] = WeakKeyDictionary()


def start(work: Coroutine[Any, Any, Any], name: str, of: Work | None = None) -> asyncio.Task[Any]:
    """Run `work` on the current loop. An exception is logged by type and place; cancellation is normal and silent.

    of: what it is a part of; None: of nothing but itself."""
    task = asyncio.get_running_loop().create_task(_stepwise(work, of or Work(TASK, name)), name=name)
    _running.add(task)
    task.add_done_callback(_finished)
    return task


async def _stepwise(work: Coroutine[Any, Any, Any], of: Work) -> Any:
    return await of.steps(work)


def cut(task: asyncio.Task[Any], why: AppError | None) -> None:
    """Cancel `task`. why: what Gatehouse ends it for; None: nobody waits for it any more. The first reason is the one that counts."""
    _cut.setdefault(task, why)
    task.cancel()


def why_cut() -> AppError | None:
    """For the current task, which was cancelled: None when nobody waits for it; else what to tell whoever does, and it may go on to do so.

    A cancellation without a reason is Gatehouse's end too: a client that leaves always gives one.
    """
    task = asyncio.current_task()
    assert task is not None
    why = _cut.get(task, stopped())
    if why is not None:
        task.uncancel()
    return why


def stopped() -> AppError:
    """What a request is cut for when Gatehouse ends."""
    return AppError("draining", "Gatehouse was stopped before this request was finished.", "Ask again once it runs.", retry_after_s=5)


def _finished(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if task.cancelled() or (error := task.exception()) is None:
        return
    if isinstance(error, AppError):
        _log.info("task %s: %s", task.get_name(), error.code)  # expected, and told to whoever waits for it
    else:
        _log.error("task %s failed", task.get_name(), exc_info=error)
