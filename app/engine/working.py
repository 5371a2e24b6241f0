"""What this process is at, on a page that the keeper reads when nothing here answers any more.

The event loop has one slot of the page, each thread for large texts another (`apart`). A piece of work is put there before each of its
steps and taken away after it, so that what stands still is named, and not what came last: between two steps others have the loop. It is
one copy of some hundred bytes without a lock or a call to the system; where there is no page it goes to memory of our own.

Put down are the id of the exchange, the client's and the model's name as the ledger shows them, and the endpoint; never a text of it.
"""

from __future__ import annotations

import threading
import types
from collections.abc import Callable, Coroutine, Generator
from mmap import mmap
from typing import Any, Final, TypeVar

from app.core.stuck import printable
from app.system.shared_page import SEPARATOR, SIZE, SLOT_BYTES, SLOTS, UNUSED, of_text, of_thread, record

T = TypeVar("T")

_page: mmap | bytearray = bytearray(SIZE)
_loops: bytes = UNUSED  # what the loop is at
_THREAD: Final = threading.get_native_id()  # the first thread, which imports this, is the loop's
_free: Final = list(range(1, SLOTS))  # slots for threads; taking and giving back is one step of the interpreter each


def use(page: mmap | None) -> None:
    """Write to this page from now on; None: there is none."""
    global _page  # noqa: PLW0603 - there is one loop and one keeper to a process
    if page is not None:
        _page = page


class Work:
    """Something that the loop is at, in steps."""

    __slots__ = ("_record",)

    def __init__(self, endpoint: str = "", model: str = "") -> None:
        """Without an endpoint nothing is known yet."""
        self._record = record(_THREAD, ("", "", endpoint, printable(model))) if endpoint else UNUSED

    def say(self, request: str, client: str, endpoint: str, model: str) -> None:
        """More is known of it now, in the middle of one of its steps. model: as it may be shown."""
        global _loops  # noqa: PLW0603
        said = self._record = of_text(
            _THREAD, f"{request}{SEPARATOR}{client}{SEPARATOR}{endpoint}{SEPARATOR}{model}".encode("utf-8", "replace")
        )
        _loops = said
        _page[: len(said)] = said

    @types.coroutine
    def steps(self, coroutine: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        """What `coroutine` returns; each of its steps is this work."""
        global _loops  # noqa: PLW0603
        step: Callable[[Any], Any] = coroutine.send
        given: Any = None
        while True:
            before, said = _loops, self._record
            _loops = said
            _page[: len(said)] = said
            try:
                awaited = step(given)
            except StopIteration as ended:
                result: T = ended.value
                return result
            finally:
                _loops = before
                _page[: len(before)] = before
            try:
                given = yield awaited
                step = coroutine.send
            except BaseException as error:  # noqa: BLE001 - handed on: it is the coroutine's to decide
                given, step = error, coroutine.throw


def apart(work: Callable[[], T]) -> Callable[[], T]:
    """`work`, which is what the loop is at now, to be done on a thread."""
    said = _loops
    if said == UNUSED:
        return work

    def done() -> T:
        try:
            slot = _free.pop()
        except IndexError:
            return work()
        start = slot * SLOT_BYTES
        own = of_thread(said, threading.get_native_id())
        _page[start : start + len(own)] = own
        try:
            return work()
        finally:
            _page[start : start + 1] = UNUSED
            _free.append(slot)

    return done
