"""A task that is ended early knows why, and so does whoever it answers."""

from __future__ import annotations

import asyncio

from app.core.errors import AppError
from app.engine import tasks


def ended_by(*reasons: AppError | None, plain: bool = False) -> AppError | str | None:
    """What a task makes of its end: the error it can still tell, or None when nobody waits."""

    async def work() -> AppError | None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            why = tasks.why_cut()
            if why is not None:
                await asyncio.sleep(0)  # it goes on, and may wait again
            return why
        raise AssertionError

    async def run() -> AppError | None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        if plain:
            task.cancel()
        for reason in reasons:
            tasks.cut(task, reason)
        return await task

    return asyncio.run(run())


def test_a_client_that_leaves_is_told_nothing() -> None:
    assert ended_by(None) is None


def test_the_reason_is_what_comes_out() -> None:
    error = AppError("body_invalid", "No.")
    assert ended_by(error) is error


def test_the_first_reason_counts() -> None:
    error = AppError("body_invalid", "No.")
    assert ended_by(error, None) is error
    assert ended_by(None, error) is None


def test_an_end_without_a_reason_is_gatehouses_and_never_the_clients() -> None:
    why = ended_by(plain=True)
    assert isinstance(why, AppError)
    assert (why.code, why.status) == ("draining", 503)
