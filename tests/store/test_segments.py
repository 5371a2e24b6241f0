"""The form of one journal segment against cuts, flips, swaps and noise: nothing is ever read that was not written there."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.store import segments

KEY = bytes(range(32))
SALT = b"s" * segments.SALT_BYTES
RECORDS = [b"first", b"the second, a longer one", b"", b"\xa7G" * 9, b"fifth" * 20]


def sealed(number: int = 7, records: list[bytes] = RECORDS, salt: bytes = SALT) -> tuple[bytes, list[int]]:
    """A segment's bytes, and where each record ends (the head of the file counts as the end of none)."""
    sealer = segments.Sealer(KEY, number, salt)
    data, ends = sealer.head, [len(sealer.head)]
    for record in records:
        data += sealer.seal(record)
        ends.append(len(data))
    return data, ends


def is_part_in_order(part: list[bytes], whole: list[bytes]) -> bool:
    rest = iter(whole)
    return all(record in rest for record in part)


def test_records_come_back_in_order() -> None:
    data, _ = sealed()
    assert segments.read(data, KEY, 7) == segments.Contents(records=RECORDS, count=5)


def test_a_cut_at_every_byte_is_a_torn_end_and_never_damage() -> None:
    data, ends = sealed()
    for cut in range(len(data)):
        found = segments.read(data[:cut], KEY, 7)
        whole = sum(end <= cut for end in ends[1:])
        assert found.records == RECORDS[:whole]
        assert found.damage == ""
        assert found.torn is (cut not in ends)


def test_room_that_was_never_filled_is_a_torn_end() -> None:
    records = [bytes([number]) * 700 for number in range(1, 9)] + [b"x"] * 300  # some heads lie across a block's end
    data, ends = sealed(records=records)
    for cut in range(512, len(data), 512):  # a disk writes whole blocks
        found = segments.read(data[:cut] + bytes(4096), KEY, 7)
        assert found.records == records[: sum(end <= cut for end in ends[1:])]
        assert (found.damage, found.torn) == ("", True)
    found = segments.read(data + bytes(4096), KEY, 7)
    assert (found.records, found.damage, found.torn) == (records, "", True)


def test_every_flipped_bit_is_found_and_costs_one_record_at_most() -> None:
    data, ends = sealed()
    for place in range(len(data)):
        for bit in (0, 7):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            found = segments.read(bytes(flipped), KEY, 7)
            assert found.damage, (place, bit)
            assert is_part_in_order(found.records, RECORDS)
            if place >= ends[0]:
                assert len(found.records) == len(RECORDS) - 1


def test_a_record_dropped_swapped_repeated_or_moved_is_found() -> None:
    data, ends = sealed()
    frames = [data[start:end] for start, end in pairwise(ends)]
    head = data[: ends[0]]
    elsewhere, other_ends = sealed(8)
    foreign = elsewhere[other_ends[2] : other_ends[3]]
    for name, changed in {
        "dropped in the middle": [*frames[:2], *frames[3:]],
        "dropped at the beginning": frames[1:],
        "swapped": [frames[0], frames[2], frames[1], *frames[3:]],
        "repeated": [*frames[:3], frames[1], *frames[3:]],
        "put in from another segment": [*frames[:2], foreign, *frames[3:]],
        "put at the end from another segment": [*frames, foreign],
    }.items():
        found = segments.read(head + b"".join(changed), KEY, 7)
        assert found.damage, name
        assert is_part_in_order(found.records, RECORDS), name


def test_a_segment_under_another_number_salt_or_key_says_nothing() -> None:
    data, _ = sealed()
    other_salt, ends = sealed(salt=b"t" * 16)
    for attempt in (
        segments.read(data, KEY, 8),
        segments.read(data, bytes(32), 7),
        segments.read(other_salt[: ends[0]] + data[ends[0] :], KEY, 7),
    ):
        assert attempt.records == []
        assert attempt.damage


def test_an_index_is_never_used_twice_so_what_failed_leaves_a_gap() -> None:
    sealer = segments.Sealer(KEY, 1, SALT)
    first, _lost, third = (sealer.seal(b"same") for _ in range(3))
    assert len({first, _lost, third}) == 3
    found = segments.read(sealer.head + first + third, KEY, 1)
    assert (found.records, found.count) == ([b"same", b"same"], 3)
    assert found.damage


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=300))
def test_noise_is_read_without_an_error(noise: bytes) -> None:
    data, ends = sealed()
    for bytes_read in (noise, data[: ends[0]] + noise, data + noise):
        found = segments.read(bytes_read, KEY, 7)
        assert is_part_in_order(found.records, RECORDS)


@pytest.mark.slow
def test_many_random_changes_never_bring_up_a_record_that_was_not_written() -> None:
    data, _ = sealed()
    chance = random.Random(7)
    for _ in range(100_000):
        changed = bytearray(data)
        for _ in range(chance.randint(1, 6)):
            act, place = chance.randrange(3), chance.randrange(len(changed))
            if act == 0:
                changed[place] = chance.randrange(256)
            elif act == 1:
                del changed[place : place + chance.randint(1, 60)]
            else:
                start = chance.randrange(len(data))
                changed[place:place] = data[start : start + chance.randint(1, 60)]
        found = segments.read(bytes(changed), KEY, 7)
        assert is_part_in_order(found.records, RECORDS)
        assert found.damage or found.torn or found.records == RECORDS[: len(found.records)]
