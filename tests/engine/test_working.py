"""What the engine is at, step by step, as the keeper would read it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from app.engine import tasks, working
from app.engine.apart import Apart
from app.engine.draft import Draft
from app.engine.working import Work
from app.system.shared_page import SIZE, Entry, entries
from app.wire.body import LARGE


@pytest.fixture(autouse=True)
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[bytearray]:
    made = bytearray(SIZE)
    monkeypatch.setattr(working, "_page", made)
    yield made
    assert entries(bytes(made)) == [], "nothing stays"


def at(page: bytearray) -> list[str]:
    """The ids, and for what has none the model's place."""
    return [one.fields[0] or one.fields[3] for one in entries(bytes(page))]


def one(name: str) -> Work:
    work = Work()
    work._record = working.record(working._THREAD, (name, "client", "chat", "model"))
    return work


def test_each_step_is_named_and_nothing_between(page: bytearray) -> None:
    seen: list[tuple[str, list[str]]] = []

    async def work(name: str) -> str:
        for _ in range(3):
            seen.append((name, at(page)))
            await asyncio.sleep(0)
        return name

    async def both() -> list[str]:
        async def bare() -> None:
            for _ in range(3):
                seen.append(("", at(page)))
                await asyncio.sleep(0)

        async def named(name: str) -> str:
            return await one(name).steps(work(name))

        done = await asyncio.gather(named("a"), named("b"), bare())
        return [text for text in done if text]

    assert asyncio.run(both()) == ["a", "b"]
    assert len(seen) == 9
    assert all(found == ([name] if name else []) for name, found in seen)


def test_work_within_work_is_named_while_it_lasts(page: bytearray) -> None:
    seen = []

    async def inner() -> None:
        seen.append(at(page))
        await asyncio.sleep(0)
        seen.append(at(page))

    async def outer() -> None:
        seen.append(at(page))
        await one("inner").steps(inner())
        seen.append(at(page))

    async def run() -> None:
        await one("outer").steps(outer())

    asyncio.run(run())
    assert seen == [["outer"], ["inner"], ["inner"], ["outer"]]


def test_what_is_known_later_is_said_at_once_and_stays(page: bytearray) -> None:
    seen = []

    async def run() -> None:
        draft = Draft(1, "chat/completions", "openai")

        async def work() -> None:
            seen.append(at(page))
            draft.client = "Tool"
            draft.say()
            seen.append(entries(bytes(page))[0].fields)
            await asyncio.sleep(0)
            draft.asked = "a\x1fb\x1b[31m\n" + "m" * 1000
            draft.say()
            await asyncio.sleep(0)
            seen.append(entries(bytes(page))[0].fields)

        await draft.work.steps(work())
        assert seen[0] == []
        assert seen[1] == (draft.id, "Tool", "chat/completions", "")
        assert seen[2] == (draft.id, "Tool", "chat/completions", "a?b?[31m?" + "m" * 191)

    asyncio.run(run())


@pytest.mark.parametrize("how", ["raises", "is cancelled", "is cancelled and goes on", "is closed"])
def test_errors_and_cancellations_go_through(page: bytearray, how: str) -> None:
    ended = []

    async def work() -> str:
        try:
            await asyncio.sleep(0)
            if how == "raises":
                raise KeyError("x")
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            ended.append(at(page))
            if how == "is cancelled and goes on":
                await asyncio.sleep(0)
                ended.append(at(page))
                return "went on"
            raise
        finally:
            ended.append(at(page))
        return "never"

    async def run() -> None:
        task = tasks.start(work(), "work", one("w"))
        await asyncio.sleep(0.01)
        task.cancel()
        try:
            assert await task == "went on"
            assert how == "is cancelled and goes on"
        except KeyError:
            assert how == "raises"
        except asyncio.CancelledError:
            assert how == "is cancelled"

    if how == "is closed":
        steps = one("w").steps(work())
        next(iter(steps))
        steps.close()
    else:
        asyncio.run(run())
    assert ended
    assert all(found == ["w"] for found in ended)


def test_a_task_of_its_own_has_its_name(page: bytearray) -> None:
    seen: list[Entry] = []

    async def work() -> None:
        seen.extend(entries(bytes(page)))

    async def run() -> None:
        await tasks.start(work(), "recorder")

    asyncio.run(run())
    assert seen[0].fields == ("", "", "task", "recorder")


def test_work_on_a_thread_has_a_slot_and_the_number_of_its_thread(page: bytearray) -> None:
    seen: dict[str, list[Entry]] = {}
    both, looked = threading.Barrier(2), threading.Barrier(2)

    def heavy(name: str) -> int:
        both.wait(10)
        seen[name] = entries(bytes(page))
        looked.wait(10)
        return threading.get_native_id()

    async def run() -> dict[str, int]:
        apart = Apart()

        async def named(name: str) -> tuple[str, int]:
            return name, await one(name).steps(apart.run(LARGE + 1, lambda: heavy(name)))

        return dict(await asyncio.gather(named("a"), named("b")))

    threads = asyncio.run(run())
    for found in seen.values():
        assert {(each.fields[0], each.thread) for each in found if each.thread != working._THREAD} == set(threads.items())


def test_more_threads_than_slots_are_done_without_a_name(page: bytearray) -> None:
    async def run() -> list[int]:
        aparts = [Apart() for _ in range(4)]

        async def named(number: int) -> int:
            return await one(str(number)).steps(aparts[number % 4].run(LARGE + 1, lambda: number))

        return await asyncio.gather(*(named(number) for number in range(200)))

    assert asyncio.run(run()) == list(range(200))
    assert sorted(working._free) == [1, 2]
