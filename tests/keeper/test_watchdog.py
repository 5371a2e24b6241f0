"""When an engine counts as standing still, look by look. Pure."""

from __future__ import annotations

from app.keeper.watchdog import Patience, Question, Standstill, Watchdog
from app.system.effort import Effort

PATIENCE = Patience()
TICK = PATIENCE.tick_s
FULL = 1.0  # of a processor


class Clock:
    """A watchdog over an engine that computes at some share of a processor, looked at as a test says."""

    def __init__(self, patience: Patience = PATIENCE) -> None:
        self.dog = Watchdog(patience)
        self.at_s = 1000.0
        self.cpu_s = 50.0
        self.asked: list[int] = []

    def look(
        self, share: float = FULL, span_s: float = TICK, *, waits: bool = False, hearing: bool = False, unknown: bool = False
    ) -> Standstill | None:
        self.at_s += span_s
        self.cpu_s += share * span_s
        found = self.dog.look(self.at_s, None if unknown else Effort(self.cpu_s, waits), hearing=hearing)
        if isinstance(found, Question):
            self.asked.append(found.number)
            return None
        return found

    def stuck(self) -> Clock:
        """Asked once, and nothing comes."""
        self.look()
        self.look()
        assert self.asked == [1]
        return self


def test_it_is_ended_after_four_looks_without_an_answer_and_not_before() -> None:
    clock = Clock().stuck()
    assert [clock.look() for _ in range(3)] == [None] * 3
    found = clock.look()
    assert found == Standstill(20.0, 20.0)
    assert clock.asked == [1], "none while one is unanswered"


def test_an_idle_engine_is_not_even_asked() -> None:
    clock = Clock()
    assert [clock.look(0.001) for _ in range(1000)] == [None] * 1000
    assert clock.asked == []


def test_one_that_answers_is_asked_again_and_never_ended() -> None:
    clock = Clock()
    for _ in range(1000):
        assert clock.look() is None
        if clock.asked:
            clock.dog.answered(clock.asked[-1])
    assert clock.asked == list(range(1, 1000))


def test_an_answer_in_the_last_moment_counts() -> None:
    clock = Clock().stuck()
    for _ in range(3):
        clock.look()
    clock.dog.answered(1)
    assert clock.look() is None
    assert clock.asked == [1, 2]
    assert [clock.look() for _ in range(3)] == [None] * 3, "the count is that of the second question"
    assert clock.look() is not None


def test_answers_to_other_questions_and_nonsense_are_none() -> None:
    clock = Clock().stuck()
    for wrong in (0, 2, -1, "1", None, [], {}, 1.5):
        clock.dog.answered(wrong)
    found = [clock.look() for _ in range(4)]
    assert found[-1] is not None


def test_a_stopped_engine_and_one_that_waits_for_the_disk_are_left_alone_and_found_once_they_compute_again() -> None:
    clock = Clock().stuck()
    clock.look()
    assert [clock.look(0.0) for _ in range(100)] == [None] * 100, "stopped: it computes nothing"
    assert [clock.look(0.04) for _ in range(100)] == [None] * 100, "it waits, and hardly computes"
    assert [clock.look(FULL, waits=True) for _ in range(100)] == [None] * 100, "its loop waits for the disk while a thread computes"
    found = [clock.look() for _ in range(4)]
    assert found[:3] == [None] * 3, "the count begins with what it computes now"
    assert found[3] is not None


def test_a_late_look_begins_the_count_anew() -> None:
    for late_s in (TICK + PATIENCE.late_s + 0.1, 60.0, 8 * 3600.0, -5.0):
        clock = Clock().stuck()
        for _ in range(3):
            assert clock.look() is None
        assert clock.look(span_s=late_s) is None, "asleep, stopped or too busy: nobody knows whether it could have answered"
        assert [clock.look() for _ in range(3)] == [None] * 3
        assert clock.look() is not None


def test_a_machine_that_is_too_busy_for_the_keeper_ends_nothing() -> None:
    clock = Clock().stuck()
    assert [clock.look(0.5, TICK + 2.0) for _ in range(1000)] == [None] * 1000


def test_on_a_busy_machine_it_is_ended_when_it_computed_more_than_any_honest_work() -> None:
    clock = Clock().stuck()
    looks = 1
    while clock.look(0.1) is None:
        looks += 1
        assert looks < 100
    assert looks == 20, "10 s of computing at a tenth of a processor: 100 s"


def test_an_answer_that_may_wait_behind_what_the_keeper_is_busy_with_is_waited_for() -> None:
    clock = Clock().stuck()
    assert [clock.look(hearing=True) for _ in range(100)] == [None] * 100
    found = [clock.look() for _ in range(4)]
    assert found[3] is not None


def test_where_it_is_not_known_what_it_computes_nothing_is_ended() -> None:
    clock = Clock()
    assert [clock.look(unknown=True) for _ in range(100)] == [None] * 100
    clock = Clock().stuck()
    assert [clock.look(unknown=True) for _ in range(100)] == [None] * 100
    assert [clock.look() for _ in range(4)] == [None] * 4, "what was before is not known any more"
    assert clock.look() is not None
