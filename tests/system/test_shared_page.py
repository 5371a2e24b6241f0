"""The page that two processes share: what comes through, and that nothing the writer does harms the reader."""

from __future__ import annotations

import mmap
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.system import shared_page
from app.system.shared_page import SIZE, SLOT_BYTES, SLOTS, Entry, Page, entries, lasting, of_text, record, writable

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="descriptors are POSIX's")


@pytest.fixture(params=["memory", "file"])
def page(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    if request.param == "file":
        monkeypatch.setattr(shared_page, "_LINUX", False)
    elif sys.platform != "linux":
        pytest.skip("memory without a name is Linux's")
    made = Page(tmp_path)
    yield made
    made.close()
    assert list(tmp_path.iterdir()) == []


def write(page: Page) -> mmap.mmap:
    found = writable(os.dup(page.inherited[0]))
    assert found is not None
    return found


def test_what_one_writes_the_other_reads(page: Page) -> None:
    assert entries(page.read()) == []
    with write(page) as theirs:
        first, second = record(7, ("a", "b", "", "é“")), record(8, ("c",))
        theirs[: len(first)] = first
        theirs[SLOT_BYTES : SLOT_BYTES + len(second)] = second
        assert entries(page.read()) == [Entry(7, ("a", "b", "", "é“")), Entry(8, ("c",))]
        theirs[:1] = shared_page.UNUSED
        assert entries(page.read()) == [Entry(8, ("c",))]


def test_another_process_that_was_killed_leaves_its_last_word(page: Page) -> None:
    code = (
        "import os, signal, sys\n"
        "from app.system.shared_page import record, writable\n"
        "page, said = writable(int(sys.argv[1])), record(3, ('last word',))\n"
        "page[:len(said)] = said\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(page.inherited[0])], pass_fds=page.inherited, check=False)
    assert done.returncode == -9
    assert entries(page.read()) == [Entry(3, ("last word",))]


def test_what_does_not_fit_is_cut_off_also_within_a_letter() -> None:
    for length in range(490, 520):
        said = record(1, ("x", "ü" * length))
        assert len(said) == SLOT_BYTES
        fields = entries(said + bytes(SIZE - len(said)))[0].fields
        assert fields[0] == "x"
        assert set(fields[1]) == {"ü"}


def test_any_bytes_are_read_without_an_error() -> None:
    chance = random.Random(1)
    for _ in range(5000):
        noise = bytearray(chance.randbytes(chance.choice((0, 1, 6, 7, SLOT_BYTES, SIZE - 1, SIZE, 2 * SIZE))))
        for slot in range(SLOTS):
            if slot * SLOT_BYTES < len(noise) and chance.random() < 0.7:
                noise[slot * SLOT_BYTES] = 1
        found = entries(bytes(noise))
        assert len(found) <= SLOTS
        text = chance.randbytes(chance.randrange(600)).replace(b"\0", b"\x1f")
        found += entries(of_text(chance.getrandbits(32), text))
        for one in found:
            assert len(one.fields) <= 8
            assert sum(len(text) for text in one.fields) <= SLOT_BYTES


@pytest.mark.skipif(sys.platform != "linux", reason="seals are Linux's")
def test_the_writer_cannot_shorten_it_or_make_it_large(tmp_path: Path) -> None:
    page = Page(tmp_path)
    for size in (0, SIZE - 1, SIZE + 1, 1 << 40):
        with pytest.raises(PermissionError):
            os.ftruncate(page.inherited[0], size)
    with pytest.raises(PermissionError):
        os.pwrite(page.inherited[0], b"x" * 10_000, SIZE)
    assert len(page.read()) == SIZE
    page.close()


def test_a_reader_of_a_file_that_was_shortened_reads_less_and_does_not_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_page, "_LINUX", False)
    page = Page(tmp_path)
    os.ftruncate(page.inherited[0], 3)
    assert entries(page.read()) == []
    page.close()


@pytest.mark.parametrize("name", [None, "", "a name", -1, 1 << 20, 2.5, [], {}])
def test_a_name_of_no_page_is_none(name: object) -> None:
    assert writable(name) is None


def test_what_changes_between_two_readings_does_not_stand_still() -> None:
    same, one, other = record(1, ("stands",)), record(2, ("x",)), record(2, ("y",))

    def page(*records: bytes) -> bytes:
        return b"".join(each.ljust(SLOT_BYTES, b"\0") for each in records)

    assert lasting(page(same, one), page(same, other)) == [Entry(1, ("stands",))]
    assert lasting(page(same, one), page(shared_page.UNUSED, one)) == [Entry(2, ("x",))]
    assert lasting(page(same), b"") == lasting(b"", page(same)) == []
